"""`socmon` in this process: the same words, bytes and exit code as in one of its own, without the start of Python.

What only a process has (signals, a pipe that breaks, the environment it begins with) is tested with processes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import CompletedProcess

import pytest
from click.testing import CliRunner

from socmon.cli import main

# What would choose a language, a zone or colours.
CHOOSING = ("LC_ALL", "LC_MESSAGES", "LANG", "TZ", "NO_COLOR", "SOCMON_CONFIG", "COLUMNS")


def run_here(*words: str, stdin: bytes = b"") -> "CompletedProcess[bytes]":
    """What `socmon WORDS` does, with nothing chosen by the environment."""
    runner = CliRunner()
    with _environment():
        result = runner.invoke(main, words, stdin, prog_name="socmon", catch_exceptions=False)
    return CompletedProcess(["socmon", *words], result.exit_code, result.stdout_bytes, result.stderr_bytes)


def text_here(*words: str) -> "CompletedProcess[str]":
    """The same as text, as `subprocess` would read it."""
    done = run_here(*words)
    out, err = (stream.decode("utf-8", "replace").replace("\r\n", "\n") for stream in (done.stdout, done.stderr))
    return CompletedProcess(done.args, done.returncode, out, err)


@contextmanager
def _environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in CHOOSING:
            patch.delenv(name, raising=False)
        time.tzset()
        yield
    time.tzset()
