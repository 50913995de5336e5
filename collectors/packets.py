"""Events that `socmon-capture` makes of packets, over a UNIX socket: once each, over any kill of the daemon."""

import asyncio
import os
import pwd
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, cast

from msgspec.structs import replace
from pydantic import Field, field_validator

from collectors._sensors import Sensor, user_of
from socmon import metrics
from socmon.capture.told import MAX_LINE_BYTES, SOCKET, Told, answer, read_told
from socmon.component import BEAT_S, Collector, CollectorSettings, Context
from socmon.errors import ComponentError, ParseError
from socmon.log import Rarely

BATCH_RECORDS = 1000
READ_BYTES = 256 * 1024
MAX_SENSORS = 64
MAX_HEARD = 1000
WAIT_S = 10.0  # for the first line, and for an answer to be taken
SILENT_S = 60.0  # a sensor speaks each second
STOP_S = 2.5  # of the 5 s that the daemon gives collectors to stop
_MODE = 0o660
_COUNTS = ("kernel_packets", "packets", "kernel_dropped", "bad", "evicted")


class PacketsSettings(CollectorSettings):
    """Options of `kind: packets`."""

    socket: Path = Field(
        default=SOCKET, description="Socket that socmon-capture sends to, absolute; it is made here, its folder is not."
    )
    users: list[str] = Field(
        default=["socmon-capture"],
        max_length=100,
        description="Users that may send, besides root and the daemon's own; all others are refused. The socket has "
        "mode 0660, so they must be in the daemon's group too.",
    )
    format: str = Field(default="zeek", description="How to read a record: a parser's name, or auto.")
    quota_per_s: int = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description="Records a second of one sensor that go before others; what is over waits until nothing else does. "
        "0 is no quota: a sensor stands for a whole network.",
    )

    @field_validator("socket")
    @classmethod
    def _is_absolute(cls, path: Path) -> Path:
        if not path.is_absolute():
            raise ValueError(f"{str(path)!r} is not absolute; write it from the root, such as {SOCKET}")
        return path


class PacketsCollector(Collector[PacketsSettings]):
    """Takes the events of each socmon-capture that connects, and answers when they are in the journal.

    A sensor keeps what is not answered for, and sends it again over the next connection. So nothing is lost or doubled
    while it runs; what it had no room for it counts, and that is told here as dropped, `capture_full`.
    """

    settings_type: ClassVar[type[PacketsSettings]] = PacketsSettings

    def __init__(self, context: Context[PacketsSettings]) -> None:
        super().__init__(context)
        self._rarely = Rarely()
        self._uids: set[int] = set()
        self._connected: set[str] = set()
        self._heard: dict[str, Told] = {}  # by sensor, the last that is in the metrics
        self._conversations: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._failed = asyncio.Event()

    async def run(self) -> None:
        """Take events until cancelled; once.

        Raises:
            ComponentError: the socket cannot be made.
        """
        path = self.settings.socket
        self._uids = {0, os.geteuid(), *_uids(self.settings.users)}
        with _listening(path) as listener:
            server = await asyncio.start_unix_server(self._converse, sock=listener, limit=READ_BYTES)
            self.context.log.info("listening", socket=str(path), users=self.settings.users)
            try:
                await self._until_failed()
            finally:
                server.close()
                await self._end_all()

    async def _until_failed(self) -> None:
        while not self._failed.is_set():
            self.context.beat()
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S / 2):
                    await self._failed.wait()
        if self._failure is not None:
            raise self._failure

    async def _end_all(self) -> None:
        """End every conversation. What of it is journalled, the next daemon tells the sensor."""
        for task in self._conversations:
            task.cancel()
        if self._conversations:
            await asyncio.wait(self._conversations, timeout=STOP_S)

    # ── conversations ────────────────────────────────────────────────────────────────────────────────────────────

    def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name=f"collector {self.context.name}, a sensor")
        self._conversations.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._conversations.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = failure
            self._failed.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = cast("socket.socket", writer.get_extra_info("socket"))
        try:
            if (uid := user_of(peer)) not in self._uids:
                self._refuse("not_allowed", uid=uid)
            elif len(self._conversations) > MAX_SENSORS:
                self._refuse("too_many_connections", uid=uid)
            else:
                await self._hear(reader, writer)
        except ParseError as error:
            self.context.counters.error("bad_line")
            if times := self._rarely.times("bad_line"):
                self.context.log.warning("a sensor makes no sense, connection closed", error=str(error), times=times)
        except (OSError, EOFError):  # it is gone, or silent (TimeoutError is an OSError): it will connect again
            self.context.counters.error("connection_lost")
        finally:
            writer.transport.abort()

    def _refuse(self, reason: str, **who: object) -> None:
        self.context.counters.error(reason)
        if times := self._rarely.times(reason):
            self.context.log.warning("connection refused", reason=reason, times=times, **who)

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(WAIT_S):
            told = read_told(await _line(reader))
        if told.sensor in self._connected:
            self._refuse("sensor_in_use", sensor=told.sensor)
            return
        self._connected.add(told.sensor)
        try:
            sensor = Sensor(told, self.context.position(told.sensor))
            self.context.log.info("sensor connected", sensor=told.sensor, run=told.run, next=sensor.reached.wanted)
            self._drop(sensor.missing, "missing")
            self._count(sensor, [told])
            await self._answer(writer, sensor)
            await self._take(sensor, reader, writer)
        finally:
            self._connected.discard(told.sensor)
            self.context.log.info("sensor disconnected", sensor=told.sensor)

    async def _take(self, sensor: Sensor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source, rest = self.source(sensor.told.sensor), b""
        while True:
            async with asyncio.timeout(SILENT_S):
                data = await reader.read(READ_BYTES)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > MAX_LINE_BYTES:
                raise ParseError(f"{sensor.told.sensor}: a line of more than {MAX_LINE_BYTES} bytes")
            for first in range(0, len(lines), BATCH_RECORDS):
                part = lines[first : first + BATCH_RECORDS]
                records, said = sensor.take(part, source, time.time_ns() // 1000)
                self._count(sensor, said)
                if records:
                    self.context.counters.received(len(records), sum([len(record.data) for record in records]))
                    records[-1] = replace(records[-1], position=(sensor.stream, sensor.reached.encode()))
                    await self.context.emit(records)
                    await self._answer(writer, sensor)

    async def _answer(self, writer: asyncio.StreamWriter, sensor: Sensor) -> None:
        writer.write(answer(sensor.reached.wanted))
        async with asyncio.timeout(WAIT_S):
            await writer.drain()

    # ── what a sensor says of itself ─────────────────────────────────────────────────────────────────────────────

    def _count(self, sensor: Sensor, said: Sequence[Told]) -> None:
        if not said:
            return
        self._drop(sensor.dropped(), "capture_full")
        told, before = said[-1], self._heard.pop(sensor.told.sensor, None)
        if before is None or before.run != told.run:
            before = Told(sensor=told.sensor)
        if len(self._heard) >= MAX_HEARD:
            del self._heard[next(iter(self._heard))]
        self._heard[told.sensor] = told
        new = {name: max(0, getattr(told, name) - getattr(before, name)) for name in _COUNTS}
        metrics.captured(self.context.name, new)
        if (lost := new["kernel_dropped"]) and (packets := self._rarely.times("kernel", lost)):
            self.context.log.warning(
                "the kernel dropped packets before socmon-capture read them", sensor=told.sensor, packets=packets
            )

    def _drop(self, events: int, reason: str) -> None:
        if not events:
            return
        self.context.counters.received(events, 0)
        self.context.counters.dropped(events, reason)
        if times := self._rarely.times(reason, events):
            self.context.log.warning("events of a sensor are lost", reason=reason, events=times)


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The first line. Raises ParseError: it is too long."""
    try:
        return (await reader.readuntil(b"\n"))[:-1]
    except asyncio.LimitOverrunError as error:
        raise ParseError("a first line that does not end") from error


def _uids(users: Sequence[str]) -> Iterator[int]:
    """Of those that there are."""
    for name in users:
        with suppress(KeyError):
            yield pwd.getpwnam(name).pw_uid


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """A socket at `path`, which is removed at the end.

    Raises:
        ComponentError: it cannot be made, or another program listens there.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if _in_use(path):
            raise ComponentError(f"cannot listen on {path}: another program does; stop it, or set another socket")
        try:
            if path.exists() and not path.is_socket():  # a slip in the configuration must not remove somebody's file
                raise ComponentError(f"cannot listen on {path}: it is no socket; set another one")
            path.unlink(missing_ok=True)
            listener.bind(str(path))
            path.chmod(_MODE)  # before anyone can connect, for that takes a listen
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ComponentError(
                f"cannot listen on {path}: {reason}; create its folder, or set another socket"
            ) from error
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)
    finally:
        listener.close()


def _in_use(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as caller:
        try:
            caller.connect(str(path))
        except BlockingIOError:  # its queue is full
            return True
        except OSError:
            return False
    return True
