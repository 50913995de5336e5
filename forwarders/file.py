"""Appends alerts to a file, one JSON object a line (NDJSON), each once even if socmon is killed while it writes."""

import asyncio
import fcntl
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct
from pydantic import Field

from socmon.component import Context, Forwarder, ForwarderSettings, Outcome, Release, Released
from socmon.errors import ComponentError
from socmon.event import Alert, rfc3339

SCHEMA = "socmon.alert/1"
_STREAM = "alerts"
_BLOCK_BYTES = 64 * 1024
_MAX_LINE_BYTES = 64 * 1024 * 1024


class FileSettings(ForwarderSettings):
    """Where to write."""

    path: Path = Field(description="The file; made with mode 0640 if there is none. It may be rotated by renaming it.")


class _Place(Struct, order=True, frozen=True):
    """The place of a line in the stream; a greater one comes later."""

    epoch: str
    seq: int


class FileForwarder(Forwarder[FileSettings]):
    """Appends to a file. The file itself says how far it got: its last line carries epoch and sequence."""

    settings_type = FileSettings

    def __init__(self, context: Context[FileSettings]) -> None:
        super().__init__(context)
        self._last = _Place("", 0)

    def stream(self, alert: Alert) -> str:  # noqa: ARG002  the contract's signature
        """One stream: a file has one order."""
        return _STREAM

    def render(self, alert: Alert, release: Release) -> bytes:
        """The line, with its newline; all of the alert, evidence too."""
        return msgspec.json.encode(_line(alert, release)) + b"\n"

    async def send(self, released: Sequence[Released]) -> Sequence[Outcome]:
        """Append what the file does not have yet; return after fsync.

        Raises:
            ComponentError: the file cannot be written, or holds something else than alerts.
        """
        return await asyncio.to_thread(self._append, released)

    def _append(self, released: Sequence[Released]) -> list[Outcome]:
        path = self.settings.path
        try:
            with _open(path) as file:
                # Only one may write: a batch that was given up on may still be on its way in another thread.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._last = max(self._last, _repair(file, path))
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
        self._last = max([self._last, *map(_place, released)])
        return outcomes

    def _is_new(self, item: Released) -> bool:
        return _place(item) > self._last


def _place(item: Released) -> _Place:
    return _Place(item.release.epoch, item.release.seq)


def _line(alert: Alert, release: Release) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "stream": release.stream,
        "epoch": release.epoch,
        "seq": release.seq,
        "revision": release.revision,
        "released": rfc3339(release.released_us),
        "id": alert.id,
        "rule": alert.rule_id,
        "title": alert.title,
        "level": alert.level,
        "tags": alert.tags,
        "status": alert.status,
        "group": alert.group,
        "host": alert.host,
        "agency": alert.agency,
        "entities": alert.entities,
        "first_seen": rfc3339(alert.first_us),
        "last_seen": rfc3339(alert.last_us),
        "count": alert.count,
        "approximate": alert.approximate,
        "evidence": [
            {
                "seq": evidence.seq,
                "time": rfc3339(evidence.time_us),
                "host": evidence.host,
                "collector": evidence.collector,
                "peer": evidence.peer,
                "raw": evidence.raw,
                "sha256": evidence.sha256,
                "fields": evidence.fields,
            }
            for evidence in alert.evidence
        ],
    }


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


def _repair(file: IO[bytes], path: Path) -> _Place:
    """Cut off a line that a crash left without its end, and return the place of the last whole one.

    Raises:
        ComponentError: what is there was not written by this forwarder; it is left as it is.
    """
    tail, start = _tail(file, path)
    end = tail.rfind(b"\n") + 1
    last = tail[:end].rstrip(b"\n").rpartition(b"\n")[2]
    place = _read_place(last, path) if last else _Place("", 0)
    if end < len(tail):
        os.ftruncate(file.fileno(), start + end)
    file.seek(0, os.SEEK_END)
    return place


def _tail(file: IO[bytes], path: Path) -> tuple[bytes, int]:
    """The file's end, from where it starts: the last whole line and whatever follows it are in it."""
    size = file.seek(0, os.SEEK_END)
    length = 0
    while length < size:
        length = min(max(length * 2, _BLOCK_BYTES), size)
        file.seek(size - length)
        tail = file.read(length)
        if length == size or tail.count(b"\n") > 1:
            return tail, size - length
        if length > _MAX_LINE_BYTES:
            raise ComponentError(f"{path} ends in {length} bytes without lines of alerts; move it away")
    return b"", 0


def _read_place(line: bytes, path: Path) -> _Place:
    try:
        return msgspec.json.decode(line, type=_Place)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        text = f"the last line of {path} is not one that socmon wrote: {line[:60]!r}; move the file away"
        raise ComponentError(text) from error
