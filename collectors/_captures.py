"""Capture files on disk: which there are, what tells one from another, and which have been read."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from glob import glob
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from socmon.errors import ComponentError

HEAD_BYTES = 4096
_VERSION = 1
_MARK = Struct(">QHQ8s")
_EVENTS = Struct(">Q")


class Mark(NamedTuple):
    """What tells a capture file from another, under whatever name.

    The device is left out: its number may be another after the next start of the machine.

    Attributes:
        known: how many bytes from its start the digest vouches for.
        size: bytes in it when it was read.
    """

    inode: int
    known: int
    size: int
    digest: bytes

    def encode(self) -> bytes:
        """26 bytes."""
        return _MARK.pack(*self)

    @classmethod
    def of(cls, found: "Found") -> "Mark":
        """The mark of a file as it is now."""
        return cls(found.inode, len(found.head), found.size, _digest(found.head))


class Found(NamedTuple):
    """A file as it was when it was looked at."""

    path: str
    inode: int
    size: int
    mtime_ns: int
    head: bytes

    def fits(self, mark: Mark) -> bool:
        """Whether it is the file of `mark`, which may have grown."""
        return self.inode == mark.inode and self.size >= mark.known and _digest(self.head[: mark.known]) == mark.digest


class Progress(NamedTuple):
    """How far a file was read: so many of its events are in the journal."""

    mark: Mark
    events: int

    def encode(self) -> bytes:
        """As a position."""
        return bytes([_VERSION]) + self.mark.encode() + _EVENTS.pack(self.events)

    @classmethod
    def decode(cls, position: bytes | None) -> "Progress | None":
        """What `encode` gave, or None."""
        if position is None or len(position) != 1 + _MARK.size + _EVENTS.size or position[0] != _VERSION:
            return None
        return cls(Mark(*_MARK.unpack_from(position, 1)), *_EVENTS.unpack_from(position, 1 + _MARK.size))


def encode_done(marks: Iterable[Mark]) -> bytes:
    """The marks of files that are read, as a position."""
    return bytes([_VERSION]) + b"".join(mark.encode() for mark in marks)


def decode_done(position: bytes | None) -> list[Mark]:
    """What `encode_done` gave; nothing where there is no such position."""
    if not position or position[0] != _VERSION or (len(position) - 1) % _MARK.size:
        return []
    return [Mark(*fields) for fields in _MARK.iter_unpack(position[1:])]


def survey(patterns: Iterable[str], known: dict[str, Found]) -> tuple[dict[str, Found], dict[str, str]]:
    """Look for files; blocks on the disk.

    Args:
        known: what the last look has found: the head of a file that has not changed is not read again.

    Returns:
        Path → file, and path → why it cannot be read.

    Raises:
        ComponentError: a folder is not there, or closed.
    """
    found: dict[str, Found] = {}
    troubles: dict[str, str] = {}
    for path in (path for pattern in patterns for path in _matches(pattern)):
        try:
            found[path] = _look(path, known.get(path))
        except OSError as error:
            troubles[path] = (error.strerror or str(error)).lower()
    return found, troubles


def _look(path: str, before: Found | None) -> Found:
    with Path(path).open("rb") as file:
        status = os.fstat(file.fileno())
        now = (status.st_ino, status.st_size, status.st_mtime_ns)
        if before is not None and now == before[1:4]:
            return before
        return Found(path, *now, file.read(HEAD_BYTES))


def _matches(pattern: str) -> Iterator[str]:
    folder = Path(pattern).parent
    while any(wildcard in str(folder) for wildcard in "*?["):
        folder = folder.parent
    try:
        with os.scandir(folder):
            pass  # may be listed: glob would find nothing and not say why
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ComponentError(f"cannot look for {pattern}: {folder}: {reason}; create it, or correct paths") from error
    for path in sorted(glob(pattern, recursive=True)):  # noqa: PTH207  pathlib's glob takes hidden files too
        if Path(path).is_file():
            yield path


def _digest(head: bytes) -> bytes:
    return hashlib.blake2b(head, digest_size=8).digest()
