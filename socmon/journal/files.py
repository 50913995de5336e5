"""The few file operations that the journal is made of, so that a test can put a failing disk in their place."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from socmon.errors import JournalError

_FILE_MODE = 0o640
_DIRECTORY_MODE = 0o750
_CHUNK_BYTES = 1024 * 1024


class File(Protocol):
    """An open file. Every method may raise OSError."""

    def read_at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; fewer only where the file ends."""

    def write_at(self, offset: int, data: bytes) -> None:
        """Write all of `data`, growing the file if needed; after an OSError any part of it may be written."""

    def preallocate(self, size: int) -> None:
        """Make the file `size` bytes long, zeros behind its present end, with the room for them set aside on disk."""

    def truncate(self, size: int) -> None:
        """Cut the file at `size` bytes."""

    def size(self) -> int:
        """Length in bytes."""

    def sync(self) -> None:
        """Return when everything written is on stable storage."""

    def close(self) -> None:
        """Let go of the file; what was not synced may still be lost with the machine."""


class FileLayer(Protocol):
    """The files of one directory, by name. Every method may raise OSError."""

    def make_directory(self) -> None:
        """Create the directory and its parents if absent."""

    def list(self) -> list[str]:
        """Names in the directory, in no order."""

    def create(self, name: str) -> File:
        """A new empty file, open for reading and writing; an old one of that name is emptied."""

    def open(self, name: str, *, write: bool = False) -> File:
        """Open an existing file; FileNotFoundError if there is none."""

    def size(self, name: str) -> int:
        """Length in bytes of the file `name`."""

    def rename(self, old: str, new: str) -> None:
        """Give a file a new name, taking the place of any file that has it."""

    def remove(self, name: str) -> None:
        """Delete a file; those who hold it open go on reading it."""

    def sync_directory(self) -> None:
        """Return when all creations, renames and removals are on stable storage."""


class OsFile:
    """A file of the operating system (see File); the descriptor belongs to this object."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read_at(self, offset: int, size: int) -> bytes:
        """See File."""
        data = os.pread(self._descriptor, size, offset)
        while len(data) < size and (more := os.pread(self._descriptor, size - len(data), offset + len(data))):
            data += more
        return data

    def write_at(self, offset: int, data: bytes) -> None:
        """See File."""
        written = os.pwrite(self._descriptor, data, offset)
        while written < len(data):
            written += os.pwrite(self._descriptor, memoryview(data)[written:], offset + written)

    def preallocate(self, size: int) -> None:
        """See File."""
        os.posix_fallocate(self._descriptor, 0, size)

    def truncate(self, size: int) -> None:
        """See File."""
        os.ftruncate(self._descriptor, size)

    def size(self) -> int:
        """See File."""
        return os.fstat(self._descriptor).st_size

    def sync(self) -> None:
        """See File."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """See File."""
        os.close(self._descriptor)
        self._descriptor = -1  # the number may soon be another file's


class OsFiles:
    """A directory of the operating system (see FileLayer); files are 0640, a new directory 0750."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def make_directory(self) -> None:
        """See FileLayer; every new name is synced into its parent."""
        absent = [path for path in (self._directory, *self._directory.parents) if not path.exists()]
        self._directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        for path in absent:
            _sync_path(path.parent)

    def list(self) -> list[str]:
        """See FileLayer."""
        return [path.name for path in self._directory.iterdir()]

    def create(self, name: str) -> OsFile:
        """See FileLayer."""
        return OsFile(os.open(self._directory / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, _FILE_MODE))

    def open(self, name: str, *, write: bool = False) -> OsFile:
        """See FileLayer."""
        return OsFile(os.open(self._directory / name, os.O_RDWR if write else os.O_RDONLY))

    def size(self, name: str) -> int:
        """See FileLayer."""
        return (self._directory / name).stat().st_size

    def rename(self, old: str, new: str) -> None:
        """See FileLayer."""
        (self._directory / old).replace(self._directory / new)

    def remove(self, name: str) -> None:
        """See FileLayer."""
        (self._directory / name).unlink()

    def sync_directory(self) -> None:
        """See FileLayer."""
        _sync_path(self._directory)


def dirt(file: File, offset: int) -> int:
    """How many bytes behind `offset` there are up to the last that is not zero. Raises OSError."""
    dirty_end = offset
    for at in range(offset, file.size(), _CHUNK_BYTES):
        chunk = file.read_at(at, _CHUNK_BYTES)
        if chunk != bytes(len(chunk)):
            dirty_end = at + len(chunk.rstrip(b"\0"))
    return dirty_end - offset


def wipe(file: File, offset: int) -> None:
    """Overwrite what is not zero behind `offset` with zeros; room that was set aside stays so. Raises OSError."""
    dirty_end = offset + dirt(file, offset)
    for at in range(offset, dirty_end, _CHUNK_BYTES):
        file.write_at(at, bytes(min(_CHUNK_BYTES, dirty_end - at)))


@contextmanager
def explained(action: str, path: Path, remedy: str) -> Iterator[None]:
    """Turn an OSError inside into a JournalError: cannot `action` `path`: the reason; `remedy`."""
    try:
        yield
    except OSError as error:
        raise JournalError(f"cannot {action} {path}: {error.strerror or error}; {remedy}") from error


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
