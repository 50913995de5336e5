"""Journal files of systemd, written by systemd-journal-remote out of entries that a test makes up."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from field import wait_for

from collectors._journals import journals_in

REMOTE = Path("/lib/systemd/systemd-journal-remote")
BASE_US = 1_764_174_645_000_000  # 2025-11-26T16:30:45Z
needs_journald = pytest.mark.skipif(
    not (REMOTE.exists() and shutil.which("journalctl")), reason="systemd-journal-remote is not installed"
)


def entry(number: int, *, host: str = "web1", **fields: str | bytes | list[str]) -> bytes:
    """One in the export format; ten a second of its time, told by fields that may be replaced or added to."""
    time_us = BASE_US + number * 100_000
    whole: dict[str, str | bytes | list[str]] = {
        "__REALTIME_TIMESTAMP": str(time_us),
        "__MONOTONIC_TIMESTAMP": str(1_000_000 + number * 100_000),
        "_BOOT_ID": "a" * 32,
        "_HOSTNAME": host,
        "_TRANSPORT": "syslog",
        "SYSLOG_IDENTIFIER": "app",
        "_PID": str(number + 1),
        "PRIORITY": "6",
        "MESSAGE": f"message {number}",
        **fields,
    }
    lines = []
    for name, values in whole.items():
        for value in values if isinstance(values, list) else [values]:
            data = value.encode() if isinstance(value, str) else value
            # Times and boot id are not taken in the form for binary data.
            is_plain = name.startswith("__") or name == "_BOOT_ID"
            size = b"=" if is_plain else b"\n%b" % len(data).to_bytes(8, "little")
            lines.append(b"%b%b%b\n" % (name.encode(), size, data))
    return b"".join(lines) + b"\n"


def failure(number: int, *, host: str = "web1", address: str = "203.0.113.7") -> bytes:
    """Of sshd: a wrong password, the number is that of the process; journald had it 2 ms after it was sent."""
    sent_us = BASE_US + number * 100_000 - 2_000
    message = f"Failed password for root from {address} port 40022 ssh2"
    return entry(number, host=host, SYSLOG_IDENTIFIER="sshd", MESSAGE=message, _SOURCE_REALTIME_TIMESTAMP=str(sent_us))


def write(path: Path, entries: Iterable[bytes]) -> None:
    """Append to a journal file, which is made if there is none, and close it in order."""
    command = [str(REMOTE), f"--output={path}", "--split-mode=none", "-"]
    done = subprocess.run(command, input=b"".join(entries), capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def rotate(path: Path) -> Path:
    """Move a journal file away, as systemd does, so that the next writer begins a new one."""
    (sequence,) = journals_in(path.parent)[0][path.stem][-1:]
    rotated = path.with_name(f"{path.stem}@{sequence.id}-{sequence.first:016x}-{BASE_US + sequence.first:016x}.journal")
    path.rename(rotated)
    return rotated


def entries_in(*paths: Path) -> list[dict[str, Any]]:
    """All entries of the files, as journalctl prints them by itself."""
    command = ["journalctl", "--output=json", "--all", "--quiet", *(f"--file={path}" for path in paths)]
    found = subprocess.run(command, capture_output=True, timeout=120, check=True)
    return [json.loads(line) for line in found.stdout.splitlines()]


class Remote:
    """A systemd-journal-remote that writes what it is given to one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = 0
        self._found = self._count()  # nobody writes now; what begins may give a file that was not closed another name
        command = [str(REMOTE), f"--output={path}", "--split-mode=none", "-"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)

    def write(self, entries: list[bytes]) -> None:
        """Hand entries in, and return when they are in the file."""
        assert self._process.stdin is not None
        data = memoryview(b"".join(entries))
        while data:
            data = data[os.write(self._process.stdin.fileno(), data) :]
        self.written += len(entries)
        wait_for(lambda: self._count() >= self._found + self.written, "entries in the journal file")

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """By a signal; what it has not read yet, it does not write then, so `write` waits."""
        assert self._process.stdin is not None
        self._process.send_signal(how)
        self._process.stdin.close()
        self._process.wait(60)

    def _count(self) -> int:
        return sum(dict(map(_entries, self.path.parent.glob(f"{self.path.stem}*"))).values())


def _entries(path: Path) -> tuple[int, int]:
    """Which file it is, and how many entries it has; none if it has just been given another name."""
    try:
        with path.open("rb") as file:
            header, number = file.read(240), os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return 0, 0
    return number, int.from_bytes(header[152:160], "little")  # n_entries (JOURNAL_FILE_FORMAT, "File Header")


@contextmanager
def remote(path: Path) -> Iterator[Remote]:
    writer = Remote(path)
    try:
        yield writer
    finally:
        writer.end()  # again, if the test has done it
