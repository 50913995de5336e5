"""A disk in memory that forgets: what was not synced is lost, torn or kept at random when the power is cut."""

import errno
import os
from collections.abc import Callable, Sequence
from random import Random
from typing import Self

_SECTOR_BYTES = 512


class PowerCutError(BaseException):
    """The machine is off; no code of the journal may catch this."""


class Inode:
    """A file's bytes as programs see them, as the platter has them, and the writes in between.

    Attributes:
        broken: reading fails with EIO.
    """

    def __init__(self) -> None:
        self.seen = bytearray()
        self.durable = bytearray()
        self.unsynced: list[Callable[[bytearray], None]] = []
        self.room = 0
        self.broken = False

    def apply(self, change: Callable[[bytearray], None]) -> None:
        change(self.seen)
        self.unsynced.append(change)

    def sync(self) -> None:
        self.durable = bytearray(self.seen)
        self.unsynced.clear()


class FakeFiles:
    """One directory (a FileLayer).

    Attributes:
        steps: changes and syncs done so far.
        cut_at: the step, counted from 1, at which the power is cut; a write is then torn.
        free_bytes: room left on the disk; None for no end.
        failing: names of operations that fail with EIO.
        read_bytes: read so far.
    """

    def __init__(self, *, cut_at: int | None = None, seed: int = 0) -> None:
        self.steps = 0
        self.cut_at = cut_at
        self.free_bytes: int | None = None
        self.failing: set[str] = set()
        self.read_bytes = 0
        self.random = Random(seed)
        self.names: dict[str, Inode] = {}
        self._durable_names: dict[str, Inode] = {}
        self._unsynced: list[Callable[[dict[str, Inode]], None]] = []

    def crash(self) -> Self:
        """The disk after the power is back: each unsynced change is kept or lost, in any mixture."""
        after = type(self)(seed=self.random.randrange(1 << 30))
        names = dict(self._durable_names)
        for change in self._unsynced:
            if self.random.random() < 0.5:
                change(names)
        survivors = {id(inode): self._surviving(inode) for inode in names.values()}
        after.names = {name: survivors[id(inode)] for name, inode in names.items()}
        after._durable_names = dict(after.names)
        return after

    def step(self, operation: str) -> bool:
        """Count a step; True when the power is cut in it. Raises OSError if the operation is to fail."""
        if operation in self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.steps += 1
        return self.steps == self.cut_at

    def change_names(self, operation: str, change: Callable[[dict[str, Inode]], None]) -> None:
        cut = self.step(operation)
        change(self.names)
        self._unsynced.append(change)
        if cut:
            raise PowerCutError

    def take_room(self, inode: Inode, size: int) -> int:
        """Grow the room of a file to `size` bytes as far as the disk has it; the room it then has."""
        if self.free_bytes is not None and size > inode.room:
            size = min(size, inode.room + self.free_bytes)
            self.free_bytes -= size - inode.room
        inode.room = max(inode.room, size)
        return inode.room

    def make_directory(self) -> None:
        pass

    def list(self) -> list[str]:
        return list(self.names)

    def create(self, name: str) -> "FakeFile":
        inode = Inode()
        self.change_names("create", lambda names: names.__setitem__(name, inode))
        return FakeFile(self, inode, write=True)

    def open(self, name: str, *, write: bool = False) -> "FakeFile":
        if name not in self.names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return FakeFile(self, self.names[name], write=write)

    def size(self, name: str) -> int:
        return self.open(name).size()

    def rename(self, old: str, new: str) -> None:
        inode = self.names[old]

        def change(names: dict[str, Inode]) -> None:
            if names.get(old) is inode:
                del names[old]
            names[new] = inode

        self.change_names("rename", change)

    def remove(self, name: str) -> None:
        if name not in self.names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        inode = self.names[name]
        if self.free_bytes is not None:
            self.free_bytes += inode.room

        def change(names: dict[str, Inode]) -> None:
            names.pop(name, None)

        self.change_names("remove", change)

    def sync_directory(self) -> None:
        if self.step("sync_directory"):
            raise PowerCutError
        self._durable_names = dict(self.names)
        self._unsynced.clear()

    def _some(self, versions: Sequence[bytes]) -> bytes:
        return versions[-1] if self.random.random() < 0.5 else self.random.choice(versions)

    def _surviving(self, inode: Inode) -> Inode:
        """Each sector as it was at some moment since the last sync: a later write never gets there alone."""
        versions = [bytes(inode.durable)]
        for change in inode.unsynced:
            data = bytearray(versions[-1])
            change(data)
            versions.append(bytes(data))
        survivor = Inode()
        size = len(self._some(versions))
        for at in range(0, size, _SECTOR_BYTES):
            survivor.seen += self._some(versions)[at : at + _SECTOR_BYTES].ljust(min(_SECTOR_BYTES, size - at), b"\0")
        del survivor.seen[size:]
        survivor.sync()
        survivor.room = len(survivor.seen)
        return survivor


class FakeFile:
    """An open file (a File)."""

    def __init__(self, files: FakeFiles, inode: Inode, *, write: bool) -> None:
        self._files = files
        self._inode = inode
        self._write = write
        self._open = True

    def read_at(self, offset: int, size: int) -> bytes:
        self._check()
        if self._inode.broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        data = bytes(self._inode.seen[offset : offset + size])
        self._files.read_bytes += len(data)
        return data

    def write_at(self, offset: int, data: bytes) -> None:
        self._check()
        assert self._write, "opened for reading"
        cut = self._files.step("write")
        got_through = self._files.random.randrange(len(data) + 1) if cut else len(data)
        room = self._files.take_room(self._inode, offset + len(data))
        fitting = data[: max(0, room - offset)]
        for start in range(0, min(got_through, len(fitting)), _SECTOR_BYTES):
            self._write_sector(offset + start, fitting[start : min(start + _SECTOR_BYTES, got_through)])
        if cut:
            raise PowerCutError
        if len(fitting) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def preallocate(self, size: int) -> None:
        self._check()
        if self._files.step("preallocate"):
            raise PowerCutError
        if self._files.take_room(self._inode, size) < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._inode.apply(lambda data: data.extend(bytes(max(0, size - len(data)))))

    def truncate(self, size: int) -> None:
        self._check()
        if self._files.step("truncate"):
            raise PowerCutError
        if self._files.free_bytes is not None:
            self._files.free_bytes += max(0, self._inode.room - size)
        self._inode.room = min(self._inode.room, size)
        self._inode.apply(lambda data: data.__delitem__(slice(size, None)))

    def size(self) -> int:
        self._check()
        return len(self._inode.seen)

    def sync(self) -> None:
        self._check()
        if self._files.step("sync"):
            raise PowerCutError
        self._inode.sync()

    def close(self) -> None:
        self._check()
        self._open = False

    def _write_sector(self, offset: int, sector: bytes) -> None:
        def change(data: bytearray) -> None:
            data.extend(bytes(max(0, offset + len(sector) - len(data))))
            data[offset : offset + len(sector)] = sector

        self._inode.apply(change)

    def _check(self) -> None:
        assert self._open, "used after it was closed"
