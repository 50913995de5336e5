"""Appends alerts to a file, one JSON object a line (NDJSON), each once even if socmon is killed while it writes.

Which are there already is read from the file's end: the last sequence of each stream and epoch in its last MiB. An
alert whose epoch ended before that, and which is still sent again, would be written twice.
"""

import asyncio
import fcntl
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct
from pydantic import Field

from forwarders._alert_json import alert_json
from forwarders._own_thread import in_own_thread
from socmon.component import Context, Forwarder, ForwarderSettings
from socmon.errors import ComponentError
from socmon.event import Alert
from socmon.outgoing import Outcome, Release, Released

_STREAM = "alerts"
_TAIL_BYTES = 1024 * 1024
_MAX_LINE_BYTES = 64 * 1024 * 1024


class FileSettings(ForwarderSettings):
    """Where to write."""

    path: Path = Field(description="The file; made with mode 0640 if there is none. It may be rotated by renaming it.")

    def problems(self) -> list[str]:
        """What keeps the file from being written, a line each; there are none if it can be made."""
        problem = self._problem()
        return [f"path: {problem}"] if problem else []

    def _problem(self) -> str:
        path, folder = self.path, self.path.parent
        if not os.access(folder, os.X_OK) or not folder.is_dir():
            return f"folder {folder} does not exist, or is closed to this user; make it, or name another one"
        if path.exists() and not path.is_file():
            return f"{path} is not a regular file; choose another path"
        written = path if path.exists() else folder
        if not os.access(written, os.W_OK):
            return f"this user may not write {written}; check as the user that runs socmon, or give this one the right"
        return ""


class _Place(Struct, frozen=True):
    """The place of a line: its sequence counts within its stream and epoch. Epochs have no order: clocks go back."""

    epoch: str
    seq: int
    stream: str = _STREAM


class FileForwarder(Forwarder[FileSettings]):
    """Appends to a file. The file itself says how far it got: its lines carry stream, epoch and sequence."""

    settings_type = FileSettings

    def __init__(self, context: Context[FileSettings]) -> None:
        super().__init__(context)
        self._last: dict[tuple[str, str], int] = {}  # (stream, epoch) → sequence

    def stream(self, alert: Alert) -> str:  # noqa: ARG002  the contract's signature
        """One stream: a file has one order."""
        return _STREAM

    def render(self, alert: Alert, release: Release) -> bytes:
        """The line, with its newline: the whole alert, with its first and last 5 events as evidence.

        `raw` is cut at 4 KiB, `cut` says so, and `sha256` is of all of it. `count` tells how many events there are.

        Raises:
            ValueError: the alert cannot be written as JSON.
        """
        return alert_json(alert, release) + b"\n"

    async def send(self, released: Sequence[Released]) -> Sequence[Outcome]:
        """Append what the file does not have yet; return after fsync, or after `timeout_s`.

        Raises:
            ComponentError: the file cannot be written, hangs, or holds something else than alerts.
        """
        path, timeout_s = self.settings.path, self.settings.timeout_s
        remedy = "check its disk or mount"
        # Not resolve(): it asks the disk, which may hang.
        name = f"write to {path.absolute()}"
        try:
            async with asyncio.timeout(timeout_s):
                return await in_own_thread(partial(self._append, released), name=name, remedy=remedy)
        except TimeoutError as error:
            raise ComponentError(f"{path} was not written within {timeout_s:g} s; {remedy}") from error

    def _append(self, released: Sequence[Released]) -> list[Outcome]:
        path = self.settings.path
        try:
            with _open(path) as file:
                # Only one may write: another socmon, or another name of this file, would tear the lines.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._reach(_repair(file, path))
                outcomes = [Outcome(item.id, "accepted" if self._is_new(item) else "duplicate") for item in released]
                file.write(b"".join(item.body for item in released if self._is_new(item)))
                file.flush()
                os.fsync(file.fileno())
        except BlockingIOError as error:
            raise ComponentError(f"{path} is being written by another process; give each its own file") from error
        except OSError as error:
            reason = (error.strerror or "error").lower()
            remedy = "see that its folder exists, that user socmon may write there, and that the disk is not full"
            raise ComponentError(f"cannot write {path}: {reason}; {remedy}") from error
        self._reach(_Place(item.release.epoch, item.release.seq, item.release.stream) for item in released)
        return outcomes

    def _is_new(self, item: Released) -> bool:
        return item.release.seq > self._last.get((item.release.stream, item.release.epoch), 0)

    def _reach(self, places: Iterable[_Place]) -> None:
        for place in places:
            numbering = (place.stream, place.epoch)
            self._last[numbering] = max(place.seq, self._last.get(numbering, 0))


def _open(path: Path) -> IO[bytes]:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    is_new = not path.exists()
    descriptor = os.open(path, flags, 0o640)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ComponentError(f"{path} is not a regular file; choose another path", retry=False)
    if is_new:
        _sync_folder(path.parent)
    return os.fdopen(descriptor, "r+b")


def _sync_folder(folder: Path) -> None:
    """Make a new file's name as durable as what will be in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _repair(file: IO[bytes], path: Path) -> list[_Place]:
    """Cut off a line that a crash left without its end, and return the places of the last whole ones.

    Raises:
        ComponentError: what is there was not written by this forwarder; it is left as it is.
    """
    tail, start = _tail(file, path)
    end = tail.rfind(b"\n") + 1
    whole = tail[:end].split(b"\n")[1 if start else 0 :]  # the first one's beginning may be missing
    places = _places([line for line in whole if line], path)
    if end < len(tail):
        os.ftruncate(file.fileno(), start + end)
    file.seek(0, os.SEEK_END)
    return places


def _tail(file: IO[bytes], path: Path) -> tuple[bytes, int]:
    """The file's end, from where it starts: the last MiB, or more until a whole line is in it."""
    size = file.seek(0, os.SEEK_END)
    length = 0
    while length < size:
        length = min(max(length * 2, _TAIL_BYTES), size)
        file.seek(size - length)
        tail = file.read(length)
        if length == size or tail.count(b"\n") > 1:
            return tail, size - length
        if length > _MAX_LINE_BYTES:
            raise ComponentError(f"{path} ends in {length} bytes without lines of alerts; move it away")
    return b"", 0


def _places(lines: Sequence[bytes], path: Path) -> list[_Place]:
    """Of each line that can be read; the last one must be ours, or nothing is written behind it."""
    if not lines:
        return []
    try:
        places = [msgspec.json.decode(lines[-1], type=_Place)]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        text = f"the last line of {path} is not one that socmon wrote: {lines[-1][:60]!r}; move the file away"
        raise ComponentError(text) from error
    for line in lines[:-1]:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            places.append(msgspec.json.decode(line, type=_Place))
    return places
