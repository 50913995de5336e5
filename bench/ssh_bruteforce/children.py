"""Runs a child process to its end, and says what it cost."""

import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

PATIENCE_S = 900.0


def run(command: Sequence[str], output: Path, *, timeout_s: float = PATIENCE_S) -> float:
    """Run `command` with its standard output in `output`; return its CPU seconds, user and system.

    Those of its own children count too. A child that takes longer than `timeout_s` is killed.

    Raises:
        RuntimeError: it failed; with the end of what it said on standard error, kept beside `output`.
    """
    complaints = output.with_suffix(".stderr")
    with output.open("wb") as out, complaints.open("wb") as err:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    killer = threading.Timer(timeout_s, child.kill)
    killer.start()
    _, status, used = os.wait4(child.pid, 0)
    killer.cancel()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        said = complaints.read_text(errors="backslashreplace")[-2000:]
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}:\n{said}")
    return used.ru_utime + used.ru_stime
