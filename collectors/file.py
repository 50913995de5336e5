"""Log files, followed line by line across rotations and restarts."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from glob import glob
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from pydantic import Field, field_validator

from collectors._changes import Changes
from collectors._generations import base_of, current_generation
from collectors._logfile import COMPRESSED, FileId, Position
from collectors._tail import Block, Start, Tail, unreadable
from socmon import failpoints
from socmon.component import Collector, CollectorSettings, Context
from socmon.errors import ComponentError

BATCH_RECORDS = 1000
MAX_FILES = 500
_STOP_S = 5.0
_EVER_US = 2**63

T = TypeVar("T")


class FileSettings(CollectorSettings):
    """Options of `kind: file`."""

    paths: list[str] = Field(
        min_length=1,
        description="Files to follow, absolute; * ? [ ] and ** match several. Rotated files are found by themselves.",
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

    def __init__(self, context: Context[FileSettings]) -> None:
        super().__init__(context)
        self._tails: dict[str, Tail] = {}
        self._renamed: dict[str, FileId] = {}
        self._nameless: set[str] = set()
        self._since_us = 0
        self._forgets = False

    async def run(self) -> None:
        """Follow the files until cancelled.

        Raises:
            ComponentError: a file cannot be read, its directory does not exist, or there are too many.
        """
        self._since_us = 0
        self._forgets = failpoints.hit("file.position")
        changes = Changes(self.settings.poll_s, self._cannot_watch)
        try:
            await self._follow(changes)
        finally:
            changes.close()
            await off_loop(self._close)

    async def _follow(self, changes: Changes) -> None:
        directories = [fixed_part(path) for path in self.settings.paths]
        while True:
            if changes.look_due():
                found = await off_loop(expand, self.settings.paths)
                self._adopt({path: file_id for path, file_id in found.items() if self._is_text(path)})
                await off_loop(changes.watch, list(self._tails), directories)
            more = False
            for tail in list(self._tails.values()):
                block = await off_loop(tail.read)
                await self._pass_on(tail, block)
                more = more or block.more
            if not more:
                await changes.wait()

    async def _pass_on(self, tail: Tail, block: Block) -> None:
        for start in range(0, len(block.records), BATCH_RECORDS):
            await self.context.emit(block.records[start : start + BATCH_RECORDS])
        if block.size_bytes:
            self.context.counters.received(len(block.records), block.size_bytes)
        for trouble, times in Counter(block.troubles).items():
            self.context.log.warning("file not read in full", path=tail.path, reason=trouble, times=times)
            for _ in range(times):
                self.context.counters.error(trouble)

    def _adopt(self, found: dict[str, FileId | None]) -> None:
        """Begin with the files that are new, and forget those that are gone."""
        for path in [path for path, tail in self._tails.items() if path not in found and not tail.ids]:
            del self._tails[path]
        new = self._new(found)
        if len(self._tails) + len(new) > MAX_FILES:
            raise ComponentError(
                f"more than {MAX_FILES} files match {self.settings.paths!r}; narrow paths", retry=False
            )
        positions = {path: self._position(path) for path in new}
        skip_before_us = 0 if self._since_us else self._first_look(positions.values())
        for path, position in positions.items():
            self._tails[path] = Tail(
                self.source(path),
                Start(position, self._since_us, 0 if found[path] is None else skip_before_us),
                max_bytes=self.settings.max_bytes,
                rotate_wait_s=self.settings.rotate_wait_s,
            )
            self.context.log.info("following file", path=path, exists=found[path] is not None)

    def _is_text(self, path: str) -> bool:
        """Whether a path can be written down in UTF-8, as the journal must; told once when it cannot."""
        name = os.fsencode(path).decode("utf-8", "backslashreplace")
        if name != path and path not in self._nameless:
            self._nameless.add(path)
            self.context.log.error("file not followed, its name is not UTF-8; rename it", path=name)
            self.context.counters.error("bad_name")
        return name == path

    def _new(self, found: dict[str, FileId | None]) -> list[str]:
        """The paths of logs that are not followed yet."""
        unknown = {path: file_id for path, file_id in found.items() if path not in self._tails}
        taken = {file_id for tail in self._tails.values() for file_id in tail.ids}
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
        return self._since_us if starts else _EVER_US

    def _position(self, path: str) -> Position | None:
        data = None if self._forgets else self.context.position(path)
        return None if data is None else Position.decode(data, path)

    def _is_rotated(self, path: str, found: dict[str, FileId | None]) -> bool:
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
            tail.close()
        self._tails.clear()


def expand(patterns: list[str]) -> dict[str, FileId | None]:
    """Path → file, None for one that is named without wildcards and does not exist yet. Blocks on the disk.

    A file that several paths lead to stands under the first.

    Raises:
        ComponentError: the directory of a pattern does not exist or cannot be listed.
    """
    found: dict[str, FileId | None] = {}
    seen: set[FileId] = set()
    for pattern in patterns:
        for path in _matches(pattern):
            file = current_generation(path)
            if file is None:
                found.setdefault(path, None)
            elif file.id not in seen:
                found[path] = file.id
                seen.add(file.id)
    return found


def _matches(pattern: str) -> list[str]:
    directory = fixed_part(pattern)
    try:
        with os.scandir(directory):
            pass  # may be listed: glob would find nothing and not say why
        if not _is_glob(pattern):
            return [pattern]
        found = glob(pattern, recursive=True)  # noqa: PTH207  pathlib's glob takes hidden files too
        return sorted(path for path in found if Path(path).is_file())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ComponentError(
            f"cannot follow {pattern}: directory {directory} does not exist; create it, or correct paths"
        ) from error
    except OSError as error:
        raise unreadable(pattern, error) from error


def fixed_part(pattern: str) -> str:
    """The directory that `pattern` begins with, up to its first wildcard."""
    directory = Path(pattern).parent
    while _is_glob(str(directory)):
        directory = directory.parent
    return str(directory)


def _is_glob(pattern: str) -> bool:
    return any(wildcard in pattern for wildcard in "*?[")


async def off_loop(work: Callable[..., T], *arguments: object) -> T:
    """Run `work` in a thread. A cancelled caller waits for its end: no file is closed while it is being read."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        ended, _ = await asyncio.wait([task], timeout=_STOP_S)
        for late in ended:
            late.exception()  # seen: the cancellation is what counts now
        raise
