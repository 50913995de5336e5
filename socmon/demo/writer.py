"""Writes the sample logs live: line by line, dated now, numbered, to files, over TCP and UDP as syslog senders do.

The sensor's capture files too, each whole: as when `tcpdump -G` has gone on to the next one.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from socmon.demo.capture import capture, events
from socmon.demo.sample import SENSOR, Line, Stream, lines, written
from socmon.intake import until

_PAUSE_S = 0.05
_CONNECT_S = 2.0
_SENSOR_SHARE = 0.5


class Way(Protocol):
    """Where written lines go."""

    async def put(self, first: int, data: Sequence[bytes]) -> None:
        """Take messages `first`, `first + 1`, …; some may be lost on the way."""

    async def close(self) -> None:
        """Nothing more comes."""


class FileWay:
    """Appends to a log file, as rsyslog does."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def put(self, first: int, data: Sequence[bytes]) -> None:  # noqa: ARG002  a file loses nothing
        """Append."""
        await asyncio.to_thread(self._append, b"".join(line + b"\n" for line in data))

    def _append(self, data: bytes) -> None:
        with self._path.open("ab") as log:
            log.write(data)

    async def close(self) -> None:
        """Nothing is kept open."""


class TcpWay:
    """Sends over one connection, made anew when it breaks; what could not be sent yet is kept, in memory.

    What the kernel had taken and the daemon had not read when it was killed is lost: plain syslog has no answer.

    Attributes:
        resumed: the first message that each connection after the first one sent.
    """

    def __init__(self, port: int, *, counted: bool) -> None:
        self.resumed: list[int] = []
        self._port = port
        self._counted = counted
        self._waiting: list[tuple[int, bytes]] = []
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._connected_once = False

    async def put(self, first: int, data: Sequence[bytes]) -> None:
        """Send what waits and `data`, if somebody listens."""
        self._waiting += enumerate(data, first)
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CONNECT_S):
                await self._send()

    async def _send(self) -> None:
        if self._streams is not None and (self._streams[0].at_eof() or self._streams[1].is_closing()):
            await self.close()
        if self._streams is None and self._waiting:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            if self._connected_once:
                self.resumed.append(self._waiting[0][0])
            self._connected_once = True
        if self._streams is None:
            return
        sending, self._waiting = self._waiting, []
        self._streams[1].write(b"".join(self._framed(message) for _, message in sending))
        try:
            await self._streams[1].drain()
        except OSError:
            await self.close()

    def _framed(self, message: bytes) -> bytes:
        return b"%d %b" % (len(message), message) if self._counted else message + b"\n"

    async def flushed(self) -> bool:
        """Try once more to send what waits; whether nothing waits any more."""
        await self.put(0, ())
        return not self._waiting

    async def close(self) -> None:
        """End the connection, if there is one."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CONNECT_S):
                    await streams[1].wait_closed()


class UdpWay:
    """Sends each line as a datagram, and never learns what became of it (RFC 5426)."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))

    async def put(self, first: int, data: Sequence[bytes]) -> None:  # noqa: ARG002  nothing is kept
        """Send."""
        for message in data:
            with suppress(ConnectionRefusedError):  # nobody listens, says the kernel of a datagram before
                self._socket.send(message)

    async def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Writer:
    """Writes one stream, until its sample is over or `stop` is set.

    Attributes:
        sent: messages written.
        turns: how often the sample was written to its end.
    """

    def __init__(self, stream: Stream, way: Callable[[], Way], stop: asyncio.Event) -> None:
        self.stream = stream
        self.sent = 0
        self.turns = 0
        self._make_way = way
        self._stop = stop
        self._lines = lines(stream)
        self._way: Way | None = None

    @property
    def way(self) -> Way:
        """Made at its first use: a port is known only then."""
        if self._way is None:
            self._way = self._make_way()
        return self._way

    async def write_turn(self, length_s: float) -> None:
        """Write the sample once, spread evenly over `length_s` seconds."""
        loop = asyncio.get_running_loop()
        began_s, done, count = loop.time(), 0, len(self._lines)
        while done < count and not self._stop.is_set():
            due = min(count, int(count * (loop.time() - began_s) / length_s) + 1)
            await self._put(self._lines[done:due])
            done = due
            await until(self._stop, _PAUSE_S)
        if done == count:
            self.turns += 1

    async def close(self) -> None:
        """Nothing more comes."""
        if self._way is not None:
            await self._way.close()

    async def _put(self, batch: Sequence[Line]) -> None:
        now, first = datetime.now(UTC), self.sent + 1
        data = [written(self.stream, line, number, self.turns, now) for number, line in enumerate(batch, first)]
        self.sent += len(batch)
        await self.way.put(first, data)


class Sensor:
    """Leaves a capture file in each turn, in the middle of it.

    Attributes:
        sent: events that its files give.
        turns: how many files it has left.
    """

    def __init__(self, folder: Path, stop: asyncio.Event) -> None:
        self.stream = SENSOR
        self.sent = 0
        self.turns = 0
        self._folder = folder
        self._stop = stop

    async def write_turn(self, length_s: float) -> None:
        """Leave the file of this turn shortly before the daemon is killed, so that it is being read then."""
        if await until(self._stop, _SENSOR_SHARE * length_s):
            return
        self.sent += await asyncio.to_thread(self._leave, self.turns)
        self.turns += 1

    async def close(self) -> None:
        """Nothing is kept open."""

    def _leave(self, turn: int) -> int:
        data = capture(turn, time.time_ns() // 1000)
        unfinished = self._folder / "unfinished"
        unfinished.write_bytes(data)
        unfinished.rename(self._folder / f"{turn:06}.pcap")
        return len(events(data))
