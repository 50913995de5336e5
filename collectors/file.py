"""Log files, followed line by line across rotations and restarts."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from glob import glob
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from pydantic import Field, field_validator

from collectors._apart import Apart
from collectors._beating import beating
from collectors._changes import Changes
from collectors._generations import base_of, current_generation
from collectors._logfile import COMPRESSED, FileId, Position
from collectors._tail import Block, Start, Tail, unreadable
from socmon import failpoints
from socmon.component import Collector, CollectorSettings, Context
from socmon.errors import ComponentError
from socmon.worker import Worker

BATCH_RECORDS = 1000
MAX_FILES = 500
MAX_APART = 32  # files over their quota whose blocks, of 256 KiB, wait at once; then all files do
HANG_S = 300.0  # finding a line again in a compressed file of many gigabytes takes minutes
STOP_S = 5.0
_EVER_US = 2**63

T = TypeVar("T")


class _HangError(ComponentError):
    """Reading takes too long."""


class FileSettings(CollectorSettings):
    """Options of `kind: file`."""

    paths: list[str] = Field(
        min_length=1,
        description="Files to follow, absolute; * ? [ ] and ** match several. "
        "Rotated files beside them are found by themselves: by name, content and modification time.",
    )
    start: Literal["beginning", "end"] = Field(
        default="end",
        description="Where to begin in files that are there when the collector starts for the first time. "
        "Files that appear later are read from the beginning.",
    )
    max_bytes: int = Field(
        default=65_536,
        ge=256,
        le=1_048_576,
        description="Longest line, in bytes. The rest of a longer one is cut off and the cut counted as too_long.",
    )
    poll_s: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="Seconds between looks at the files when no change is reported by the kernel.",
    )
    rotate_wait_s: float = Field(
        default=2.0,
        ge=0,
        le=60,
        description="Seconds that a renamed file is still read before the new one is begun; keeps lines in order.",
    )

    @field_validator("paths")
    @classmethod
    def _can_be_followed(cls, paths: list[str]) -> list[str]:
        for path in paths:
            if not path.startswith("/"):
                raise ValueError(f"{path!r} is not absolute; write it from the root, such as /var/log/auth.log")
            if path.endswith(COMPRESSED):
                raise ValueError(f"{path!r} is compressed and cannot be followed; name the log that is being written")
        return paths


class FileCollector(Collector[FileSettings]):
    """Follows log files. A record is a line without its end; empty lines are passed over.

    A last line without its end waits for it, or for the file's rotation. Where the file was truncated, what was not
    read yet is taken from a copy beside it (logrotate's `copytruncate`).
    """

    settings_type: ClassVar[type[FileSettings]] = FileSettings
    _left_hanging: ClassVar[dict[str, Worker]] = {}
    """By name of the collector, so that a restart begins no second thread that hangs as well."""

    def __init__(self, context: Context[FileSettings]) -> None:
        super().__init__(context)
        self._worker = Worker(f"collector {context.name}")
        self._tails: dict[str, Tail] = {}
        self._apart_ended = asyncio.Event()
        self._apart = Apart(context.name, self._apart_ended.set)
        self._troubles: dict[str, ComponentError] = {}
        self._told: dict[str, str] = {}
        self._left_out: set[str] = set()
        self._left_out_told = 0
        self._renamed: dict[str, FileId] = {}
        self._nameless: set[str] = set()
        self._since_us = 0
        self._quiet_us = 0
        self._forgets = False

    async def run(self) -> None:
        """Follow the files until cancelled; once.

        Raises:
            ComponentError: no file can be read, or reading hangs, still or again.
        """
        left = self._left_hanging.get(self.context.name)
        if left is not None and left.busy:
            paths = ", ".join(self.settings.paths)
            raise ComponentError(f"cannot read {paths}: the last read still hangs; check the disk and its mount")
        self._left_hanging.pop(self.context.name, None)
        self._forgets = failpoints.hit("file.position")
        changes = Changes(self.settings.poll_s, self._cannot_watch)
        try:
            await self._follow(changes)
        finally:
            changes.close()
            try:
                await self._apart.stop()
            finally:
                await self._let_go()

    async def _follow(self, changes: Changes) -> None:
        paths = self.settings.paths
        directories = [fixed_part(path) for path in paths]
        while True:
            self.context.beat()
            if failpoints.hit("collector.hang"):
                await asyncio.Event().wait()
            if changes.look_due():
                found, self._troubles = await self._off_loop(", ".join(paths), expand, paths)
                self._adopt({path: file_id for path, file_id in found.items() if self._is_text(path)})
                await self._off_loop(", ".join(paths), changes.watch, list(self._tails), directories)
            more = False
            self._apart_ended.clear()
            for path, tail in list(self._tails.items()):
                if path not in self._troubles and path not in self._apart:
                    more = await self._read(tail) or more
            self._tell_troubles()
            self._apart.check()
            if not more:
                with beating(self.context):
                    await self._wait(changes)

    async def _wait(self, changes: Changes) -> None:
        """Return when there may be something to read."""
        if not len(self._apart) and not self._apart_ended.is_set():
            await changes.wait()
            return
        waits = [asyncio.ensure_future(changes.wait()), asyncio.ensure_future(self._apart_ended.wait())]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)
        for wait in done:
            wait.result()

    async def _read(self, tail: Tail) -> bool:
        """Pass on the next lines of one file; whether there may be more. One that cannot be read waits for a look."""
        try:
            block = await self._off_loop(tail.path, tail.read)
        except _HangError:
            raise  # it still has the thread, or has moved on unheard: only a new start reads from where that was
        except ComponentError as error:
            self._troubles[tail.path] = error
            return False
        records = block.records
        if not records or not self.context.over_quota(records[0].source, len(records)):
            await self._pass_on(tail, block)
            return block.more
        while len(self._apart) >= MAX_APART:
            self._apart_ended.clear()
            await self._apart_ended.wait()
        self._apart.begin(tail.path, self._pass_on(tail, block))
        return False  # it is read on when that has ended

    async def _off_loop(self, path: str, work: Callable[..., T], *arguments: object) -> T:
        try:
            # That a read takes long is no hang of ours: a file server that is gone ends at HANG_S.
            with beating(self.context):
                async with asyncio.timeout(HANG_S):
                    return await self._worker.run(work, *arguments)
        except TimeoutError as error:
            raise _HangError(f"cannot read {path}: no answer for {HANG_S:g} s; check the disk and its mount") from error

    async def _let_go(self) -> None:
        """Close the files, each after its read; one that hangs is left to its thread."""
        closing = asyncio.ensure_future(self._worker.run(self._close))
        try:
            await asyncio.wait([closing], timeout=STOP_S)
        finally:
            self._worker.close()
            if self._worker.busy:
                self._left_hanging[self.context.name] = self._worker

    def _tell_troubles(self) -> None:
        """Tell each trouble once, and its end.

        Raises:
            ComponentError: all there is to follow is in trouble.
        """
        if self._troubles and not self._tails.keys() - self._troubles.keys():
            raise min(self._troubles.values(), key=lambda error: not error.retry)
        reasons = {path: str(error) for path, error in self._troubles.items()}
        for path, reason in reasons.items():
            if self._told.get(path) != reason:
                self.context.log.warning("file cannot be read, the others go on", path=path, error=reason)
                self.context.counters.error("unreadable")
        for path in self._told.keys() - reasons.keys():
            if path in self._tails or path in self.settings.paths:
                self.context.log.info("file can be read again", path=path)
        self._told = reasons

    async def _pass_on(self, tail: Tail, block: Block) -> None:
        for start in range(0, len(block.records), BATCH_RECORDS):
            await self.context.emit(block.records[start : start + BATCH_RECORDS])
        if block.size_bytes:
            self.context.counters.received(len(block.records), block.size_bytes)
        for trouble, times in Counter(block.troubles).items():
            self.context.log.warning("file not read in full", path=tail.path, reason=trouble, times=times)
            for _ in range(times):
                self.context.counters.error(trouble)

    def _adopt(self, found: Mapping[str, FileId | None]) -> None:
        """Begin with the files that are new, and forget those that are gone."""
        for path in [path for path, tail in self._tails.items() if path not in found and not tail.ids]:
            del self._tails[path]
        left_out = self._left_out
        positions = self._chosen({path: self._position(path) for path in self._new(found)})
        is_first = not self._since_us
        skip_before_us = self._first_look(positions.values()) if is_first else self._quiet_us
        for path, position in positions.items():
            was_there = found[path] is not None and (is_first or path in left_out)
            self._tails[path] = Tail(
                self.source(path),
                Start(position, self._since_us, skip_before_us if was_there else 0),
                max_bytes=self.settings.max_bytes,
                rotate_wait_s=self.settings.rotate_wait_s,
            )
            self.context.log.info("following file", path=path, exists=found[path] is not None)

    def _chosen(self, new: Mapping[str, Position | None]) -> dict[str, Position | None]:
        """As many of `new` as there is room for: named ones, then those that were followed before, then the others.

        Whoever may make files in a folder may not end the collection of the logs that are followed.
        """
        ranked = sorted(new, key=lambda path: (path not in self.settings.paths, new[path] is None))
        room = max(0, MAX_FILES - len(self._tails))
        self._left_out = set(ranked[room:])
        # Told again when it has doubled or is over: not for each file of a flood.
        if len(self._left_out) >= max(1, 2 * self._left_out_told):
            self._left_out_told = len(self._left_out)
            self.context.log.error(
                "too many files match, some are not followed; narrow paths",
                followed=MAX_FILES,
                not_followed=len(self._left_out),
            )
            self.context.counters.error("too_many_files")
        elif not self._left_out:
            self._left_out_told = 0
        return {path: new[path] for path in ranked[:room]}

    def _is_text(self, path: str) -> bool:
        """Whether a path can be written down in UTF-8, as the journal must; told once when it cannot."""
        name = os.fsencode(path).decode("utf-8", "backslashreplace")
        if name != path and path not in self._nameless:
            self._nameless.add(path)
            self.context.log.error("file not followed, its name is not UTF-8; rename it", path=name)
            self.context.counters.error("bad_name")
        return name == path

    def _new(self, found: Mapping[str, FileId | None]) -> list[str]:
        """The paths of logs that are not followed yet."""
        unknown = {path: file_id for path, file_id in found.items() if path not in self._tails}
        taken = {file_id for tail in self._tails.values() for file_id in tail.held()}
        # A followed file under a new name that a pattern matches is not a new file, not even when it is let go.
        self._renamed = {
            path: file_id
            for path, file_id in unknown.items()
            if file_id is not None and (file_id in taken or self._renamed.get(path) == file_id)
        }
        new = [path for path in unknown if path not in self._renamed]
        return [path for path in new if path in self.settings.paths or not self._is_rotated(path, found)]

    def _first_look(self, positions: Iterable[Position | None]) -> int:
        """Settle when the collector was first started; return before when a file must have been written to be skipped.

        A file without a position that was not written since the first start holds only what was to be skipped.
        Until a line has been collected, every start is the first.
        """
        starts = [position.since_us for position in positions if position is not None]
        self._since_us = min(starts, default=time.time_ns() // 1000)
        if self.settings.start == "beginning" or self._forgets:
            return 0
        self._quiet_us = self._since_us
        return self._since_us if starts else _EVER_US

    def _position(self, path: str) -> Position | None:
        data = None if self._forgets else self.context.position(path)
        return None if data is None else Position.decode(data, path)

    def _is_rotated(self, path: str, found: Mapping[str, FileId | None]) -> bool:
        """Whether `path` is an older generation of a log that is followed under its own name."""
        if path.endswith(COMPRESSED):
            return True
        base = str(Path(path).with_name(base_of(Path(path).name)))
        return base != path and (base in found or base in self._tails or self.context.position(base) is not None)

    def _cannot_watch(self, error: OSError) -> None:
        self.context.log.warning("cannot watch directories, looking every poll_s instead", error=str(error))
        self.context.counters.error("no_inotify")

    def _close(self) -> None:
        for tail in self._tails.values():
            with suppress(OSError):  # it was only read
                tail.close()
        self._tails.clear()


def expand(patterns: list[str]) -> tuple[dict[str, FileId | None], dict[str, ComponentError]]:
    """Path → file, and pattern → why it cannot be followed: no such directory, or closed. Blocks on the disk.

    A file that several paths lead to stands under the first. It is None for one that is named without wildcards and
    does not exist yet, and for one that cannot be looked at: reading it will say why.
    """
    found: dict[str, FileId | None] = {}
    troubles: dict[str, ComponentError] = {}
    seen: set[FileId] = set()
    for pattern in patterns:
        try:
            matches = _matches(pattern)
        except ComponentError as error:
            troubles[pattern] = error
            continue
        for path in matches:
            file_id = _id_of(path)
            if file_id is None:
                found.setdefault(path, None)
            elif file_id not in seen:
                found[path] = file_id
                seen.add(file_id)
    return found, troubles


def _id_of(path: str) -> FileId | None:
    try:
        file = current_generation(path)
    except OSError:
        return None
    return None if file is None else file.id


def _matches(pattern: str) -> list[str]:
    directory = fixed_part(pattern)
    try:
        with os.scandir(directory):
            pass  # may be listed: glob would find nothing and not say why
        if not _is_glob(pattern):
            return [pattern]
        found = glob(pattern, recursive=True)  # noqa: PTH207  pathlib's glob takes hidden files too
        return sorted(path for path in found if _may_be_file(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ComponentError(
            f"cannot follow {pattern}: directory {directory} does not exist; create it, or correct paths"
        ) from error
    except OSError as error:
        raise unreadable(pattern, error) from error


def _may_be_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:
        return True  # a link into a closed directory, say


def fixed_part(pattern: str) -> str:
    """The directory that `pattern` begins with, up to its first wildcard."""
    directory = Path(pattern).parent
    while _is_glob(str(directory)):
        directory = directory.parent
    return str(directory)


def _is_glob(pattern: str) -> bool:
    return any(wildcard in pattern for wildcard in "*?[")
