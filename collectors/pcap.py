"""Finished capture files, such as `tcpdump -G` leaves: each is decoded by a process of its own, and read once."""

import asyncio
import os
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import ClassVar

from msgspec.structs import replace
from pydantic import Field, field_validator

from collectors._beating import beating
from collectors._captures import Found, Mark, Progress, decode_done, encode_done, survey
from socmon.capture.told import MAX_LINE_BYTES, Told, read_told
from socmon.component import BEAT_S, Collector, CollectorSettings, Context
from socmon.errors import ComponentError, ParseError
from socmon.event import Record
from socmon.worker import Worker

BATCH_RECORDS = 1000
READ_BYTES = 256 * 1024
MAX_DONE = 2000
SURVEY_S = 300.0
END_S = 10.0  # for a process to end that has closed its output
_MIB = 1024 * 1024
_DONE, _AT = "done", "at"  # streams: marks of the files that are read; how far the one in hand is


class PcapSettings(CollectorSettings):
    """Options of `kind: pcap`."""

    paths: list[str] = Field(
        min_length=1, description="Capture files (pcap, pcapng), absolute; * ? [ ] and ** match several."
    )
    settle_s: float = Field(
        default=30.0,
        ge=0,
        le=86_400,
        description="Seconds for which a file must not have changed: then it is taken for finished, and read.",
    )
    poll_s: float = Field(default=5.0, gt=0, le=3600, description="Seconds between looks for new files.")
    timeout_s: float = Field(
        default=1800.0, gt=0, le=86_400, description="Seconds for the decoding of one file; then it is set aside."
    )
    memory_mib: int = Field(
        default=2048, ge=256, le=1_048_576, description="MiB of address space for the decoding of one file."
    )
    format: str = Field(default="zeek", description="How to read a record: a parser's name, or auto.")

    @field_validator("paths")
    @classmethod
    def _are_absolute(cls, paths: list[str]) -> list[str]:
        for path in paths:
            if not path.startswith("/"):
                raise ValueError(f"{path!r} is not absolute; write it from the root, such as /var/captures/*.pcap")
        return paths


class PcapCollector(Collector[PcapSettings]):
    """Reads capture files, the one written first before the others. A record is an event that they give.

    The same bytes always give the same events. So the position is which file is in hand, and how many of its events are
    in the journal: a restart decodes it anew, and passes over so many.
    """

    settings_type: ClassVar[type[PcapSettings]] = PcapSettings

    def __init__(self, context: Context[PcapSettings]) -> None:
        super().__init__(context)
        self._worker = Worker(f"collector {context.name}")
        self._found: dict[str, Found] = {}
        self._since_s: dict[str, float] = {}  # by path, since when the file is as it is
        self._done: list[Mark] = decode_done(context.position(_DONE))
        self._told: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Read files until cancelled; once.

        Raises:
            ComponentError: there is no such folder, or looking for files hangs.
        """
        try:
            while True:
                self.context.beat()
                await self._look()
                if (found := self._next()) is not None:
                    await self._read(found)
                    continue
                with beating(self.context):
                    await asyncio.sleep(self.settings.poll_s)
        finally:
            self._worker.close()

    # ── which file ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _look(self) -> None:
        try:
            with beating(self.context):
                async with asyncio.timeout(SURVEY_S):
                    found, troubles = await self._worker.run(survey, self.settings.paths, self._found)
        except TimeoutError as error:
            raise ComponentError(f"no answer from the disk for {SURVEY_S:g} s; check it, and its mount") from error
        now_s = time.monotonic()
        same = {path for path, each in found.items() if self._found.get(path) == each}
        self._since_s = {path: self._since_s[path] if path in same else now_s for path in found}
        self._found = found
        for path, reason in troubles.items():
            self._tell("unreadable", path, "file cannot be read, the others go on", error=reason)
        self._told = {(reason, path) for reason, path in self._told if path in found or path in troubles}

    def _next(self) -> Found | None:
        """The file to read now: the one in hand before the last end, else the oldest."""
        there = {mark: each for mark in self._done for each in self._found.values() if each.fits(mark)}
        for mark, each in there.items():
            if each.size > mark.size:
                self._tell("grown", each.path, "capture file has grown since it was read; use a longer settle_s")
        self._done = [mark for mark in self._done if mark in there]
        read = {each.path for each in there.values()}
        new = [each for path, each in self._found.items() if path not in read and self._settled(each)]
        new = [each for each in new if self._is_text(each.path)]
        if new and len(self._done) >= MAX_DONE:
            self._tell("too_many_files", "", "too many capture files, no more are read; remove the oldest")
            return None
        at = Progress.decode(self.context.position(_AT))
        return min(new, key=lambda each: (not (at and each.fits(at.mark)), each.mtime_ns, each.path), default=None)

    def _settled(self, found: Found) -> bool:
        still_s = max(time.monotonic() - self._since_s[found.path], time.time() - found.mtime_ns / 1e9)
        return still_s >= self.settings.settle_s

    def _is_text(self, path: str) -> bool:
        """Whether a path can be written down in UTF-8, as the journal must."""
        name = os.fsencode(path).decode("utf-8", "backslashreplace")
        if name != path:
            self._tell("bad_name", name, "file not followed, its name is not UTF-8; rename it")
        return name == path

    def _tell(self, reason: str, path: str, event: str, **more: object) -> None:
        """Warn of one thing once for each file."""
        if (reason, path) not in self._told:
            self._told.add((reason, path))
            self.context.counters.error(reason)
            self.context.log.warning(event, path=path, **more)

    # ── reading it ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self, found: Found) -> None:
        """Journal the events of a file that are not journalled yet; in the end it is done, however it ended."""
        mark = Mark.of(found)
        at = Progress.decode(self.context.position(_AT))
        passed = at.events if at and found.fits(at.mark) else 0
        self.context.log.info("reading capture file", path=found.path, size_bytes=found.size, events_before=passed)
        self._done.append(mark)
        source, last = self.source(found.path), None
        async with _decoder(found.path, self.settings.memory_mib) as process:
            events = _Events(process, self.settings.timeout_s, passed)
            while True:
                with beating(self.context):
                    lines = await events.next()
                if not lines:
                    break
                now_us = time.time_ns() // 1000
                records = [Record(line, source, now_us) for line in lines]
                # The last one waits: it is to say that the file is done.
                records, last = ([last] if last else []) + records[:-1], records[-1]
                await self._emit(records, Progress(mark, events.number - 1))
            with beating(self.context):
                ended = await events.ended()
        if last is not None:
            await self.context.emit([replace(last, position=(_DONE, encode_done(self._done)))])
            self.context.counters.received(1, len(last.data))
        self._say(found, events, ended)

    async def _emit(self, records: list[Record], reached: Progress) -> None:
        for first in range(0, len(records), BATCH_RECORDS):
            batch = records[first : first + BATCH_RECORDS]
            left = len(records) - first - len(batch)
            position = reached._replace(events=reached.events - left).encode()
            batch[-1] = replace(batch[-1], position=(_AT, position))
            await self.context.emit(batch)
            self.context.counters.received(len(batch), sum([len(record.data) for record in batch]))

    def _say(self, found: Found, events: "_Events", ended: "Told | str") -> None:
        if isinstance(ended, str):
            self.context.counters.error("decoder_failed")
            self.context.log.error(
                "capture file set aside, it cannot be decoded", path=found.path, reason=ended, events=events.number
            )
            return
        if ended.trouble:
            self.context.counters.error("damaged")
            self.context.log.warning(
                "capture file is damaged, what came before is read", path=found.path, reason=ended.trouble
            )
        self.context.log.info(
            "capture file read", path=found.path, packets=ended.packets, bad=ended.bad, events=ended.events
        )


class _Events:
    """What a decoder writes.

    Args:
        passed: as many events at the beginning are passed over.

    Attributes:
        number: events up to now, those passed over too.
    """

    def __init__(self, process: asyncio.subprocess.Process, timeout_s: float, passed: int) -> None:
        assert process.stdout is not None  # noqa: S101  both are pipes
        assert process.stderr is not None  # noqa: S101
        self._process = process
        self._out = process.stdout
        self._complaints = asyncio.ensure_future(process.stderr.read(READ_BYTES))
        self._left_s = timeout_s
        self._passed = passed
        self._rest = b""
        self._failed = ""
        self.number = 0

    async def next(self) -> list[bytes]:
        """Some more events; none at the end. Only waits for the decoder count as its time."""
        loop = asyncio.get_running_loop()
        while not self._failed:
            began_s = loop.time()
            try:
                async with asyncio.timeout(max(0.0, self._left_s)):
                    data = await self._out.read(READ_BYTES)
            except TimeoutError:
                self._failed = "it took too long"
                break
            self._left_s -= loop.time() - began_s
            if not data:
                break
            *lines, self._rest = (self._rest + data).split(b"\n")
            if len(self._rest) > MAX_LINE_BYTES:
                self._failed = "an event that does not end"
            over = min(len(lines), max(0, self._passed - self.number))
            self.number += len(lines)
            if lines[over:]:
                return lines[over:]
        return []

    async def ended(self) -> Told | str:
        """What the decoder says in the end, or why it says nothing."""
        if not self._failed:
            try:
                async with asyncio.timeout(END_S):
                    code = await self._process.wait()
                    complaints = await self._complaints
                return read_told(complaints.splitlines()[-1] if complaints else b"")
            except TimeoutError:
                self._failed = "it did not end"
            except ParseError:
                self._failed = f"the decoder ended with {code}"
        self._complaints.cancel()
        return self._failed


@asynccontextmanager
async def _decoder(path: str, memory_mib: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that decodes a file; it is ended with the body.

    Raises:
        ComponentError: it cannot be started.
    """
    pipe, limit = asyncio.subprocess.PIPE, memory_mib * _MIB
    command = [sys.executable, "-m", "socmon.capture", "--read", path]
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, limit=READ_BYTES
        )
    except OSError as error:
        raise ComponentError(f"cannot start a decoder: {(error.strerror or str(error)).lower()}") from error
    try:
        with suppress(ProcessLookupError):  # it is over already
            resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=BEAT_S)
