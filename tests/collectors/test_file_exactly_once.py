"""Whatever happens to a log and to the process that follows it, each line is journalled once and in order.

The model knows which lines nobody could have read for certain: those that a truncation destroyed before they were
journalled, and those that were rotated away after the content that the last position vouches for was destroyed.
"""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from file_kit import append_bytes, copy_truncate, file_collector, file_context, rotate
from harness import LIMIT_S, FakeContext, until
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import file as file_module
from collectors.file import FileSettings
from socmon.event import Record

TWO_LINES = 2  # a batch, so that processes die within a block


class Throttled(FakeContext[FileSettings]):
    """Lets `batches_left` batches into the journal, then makes the collector wait."""

    batches_left = 0

    async def emit(self, batch: Sequence[Record]) -> None:
        await until(lambda: self.batches_left > 0, timeout_s=60)
        self.batches_left -= 1
        await super().emit(batch)


class World:
    """A log, all that was ever written to it, and the journal of the process that follows it.

    Args:
        upward: the newest rotated file has the greatest number.

    Attributes:
        losable: indices in `written`, which may be missing from the journal.
        drained: how many of `written` are journalled for certain.
        content: index in `written` of the first line in what the file holds now.
        vouched: where the content is that the last position was taken in: in the file (`current`), in a rotated one
            (`older`), perhaps destroyed, but its inode is known (`emptied`), or perhaps untraceable (`gone`).
    """

    def __init__(self, directory: Path, *, upward: bool) -> None:
        self.log = directory / "auth.log"
        self._upward = upward
        self.written: list[bytes] = []
        self.losable: set[int] = set()
        self.partial = b""
        self.drained = self.content = 0
        self.vouched = "current"
        self.journal: list[bytes] = []
        self._settings = file_context(self.log).settings
        self._positions: dict[str, bytes] = {}
        self._context = Throttled(self._settings)
        self._process: asyncio.Task[None] | None = None

    def write(self, count: int, *, partial: bool = False) -> None:
        lines = [b"line %d of the log" % (len(self.written) + n) for n in range(count)]
        self.written += lines
        data = b"".join(line + b"\n" for line in lines)
        if lines:
            data = data.removeprefix(self.partial)
            self.partial = b""
        if partial and not self.partial:
            self.partial = b"line %d of" % len(self.written)
            data += self.partial
        append_bytes(self.log, data)

    def rename(self, *, compress: bool) -> None:
        self._end_content()
        if self.vouched == "emptied" and compress:
            self.vouched = "gone"
        if self.vouched == "gone":
            self._may_lose(self.drained)
        elif self.vouched == "current":
            self.vouched = "older"
        rotate(self.log, compress=compress, upward=self._upward)
        self.content = len(self.written)

    async def copy_and_truncate(self) -> None:
        if self._process is not None and self.vouched != "current":
            await self.drain()  # a copy that is read while it is being made is what rotate_wait_s is for
        self._end_content()
        if self.vouched == "current":
            self.vouched = "older"
        else:
            self._may_lose(self.drained)
        copy_truncate(self.log, upward=self._upward)
        self.content = len(self.written)

    def truncate(self) -> None:
        self._end_content()
        self._may_lose(max(self.drained, self.content))
        if self.vouched != "gone":
            self.vouched = "emptied"
        os.truncate(self.log, 0)
        self.content = len(self.written)

    def start(self, batches: int) -> None:
        """Let the process, started if need be, journal so many batches."""
        if self._process is None:
            self._context = Throttled(self._settings, positions=self._positions)
            self._process = asyncio.create_task(file_collector(self._context).run())
        self._context.batches_left = batches

    async def kill(self) -> None:
        if self._process is None:
            return
        self._process.cancel()
        await asyncio.wait([self._process], timeout=LIMIT_S)
        assert self._process.cancelled()
        self._process = None
        self.journal += self._context.lines
        self._positions = self._context.positions

    async def drain(self) -> None:
        """Write a line, which ends every earlier file, and wait until all is journalled that must be."""
        self.write(1)
        self.start(1_000_000)
        must = {line for number, line in enumerate(self.written) if number not in self.losable} - set(self.journal)
        await until(lambda: must <= set(self._context.lines))
        self.drained = len(self.written)
        self.vouched = "current"

    def _end_content(self) -> None:
        """Nothing more is written to what the file holds now; it may hold nothing."""
        self.log.touch()
        if self.partial:
            self.written.append(self.partial)
            self.partial = b""

    def _may_lose(self, first: int) -> None:
        self.losable |= set(range(first, len(self.written)))


Step = tuple[str, int, bool]
plain_steps = st.sampled_from(["rename", "compress", "copy", "truncate", "drain", "kill"])
steps = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 5), st.booleans()),
    st.tuples(plain_steps, st.just(0), st.just(value=False)),
    st.tuples(st.just("start"), st.integers(0, 3), st.just(value=False)),
)


async def play(world: World, script: Sequence[Step]) -> None:
    for step, count, partial in script:
        match step:
            case "write":
                world.write(count, partial=partial)
            case "start":
                world.start(count)
            case "rename" | "compress":
                world.rename(compress=step == "compress")
            case "truncate":
                world.truncate()
            case "copy":
                await world.copy_and_truncate()
            case "drain":
                await world.drain()
            case "kill":
                await world.kill()
        await asyncio.sleep(0)


@settings(max_examples=150, deadline=None)
@given(script=st.lists(steps, max_size=20), upward=st.booleans())
async def test_each_line_is_journalled_once_and_in_order(script: list[Step], *, upward: bool) -> None:
    with tempfile.TemporaryDirectory() as directory, patch.object(file_module, "BATCH_RECORDS", TWO_LINES):
        world = World(Path(directory), upward=upward)
        try:
            await world.drain()
            await play(world, script)
            await world.drain()
        finally:
            await world.kill()
    seen = set(world.journal)
    assert world.journal == [line for line in world.written if line in seen]
    assert {line for number, line in enumerate(world.written) if number not in world.losable} <= seen
