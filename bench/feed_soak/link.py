"""A link that is cut when it is told to: in the middle of a request, or in the middle of a reply.

    python -m bench.feed_soak.link PORT TARGET

Each line on standard input, `request` or `reply`, arms a cut; for each that has struck it prints the same word.
"""

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from collections import Counter
from contextlib import suppress

_CHUNK = 1 << 16
# A heartbeat is smaller. In the first turns of a connection are the handshake and its tickets.
_BATCH_BYTES = 1000
_TURNS = 3


class Link:
    """Passes bytes on. It sees no plain text: a long record after the handshake is a batch, what follows its reply."""

    def __init__(self, target: int) -> None:
        self.armed: Counter[str] = Counter()
        self._target = target

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection, until one of its sides ends it or it is cut."""
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:  # the receiver is dead at the moment
            writer.transport.abort()
            return
        passing = _Passing(self.armed)
        ways = [
            asyncio.create_task(passing.pass_on(reader, there, "request")),
            asyncio.create_task(passing.pass_on(there_reader, writer, "reply")),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
            for each in (writer, there):
                each.transport.abort()


class _Passing:
    """What one connection has carried."""

    def __init__(self, armed: Counter[str]) -> None:
        self._armed = armed
        self._turns = 0
        self._last = ""
        self._asked_bytes = 0

    async def pass_on(self, reader: StreamReader, writer: StreamWriter, way: str) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                is_first = self._last != way
                self._count(way, len(data), is_first=is_first)
                if self._due(way, len(data), is_first=is_first):
                    self._armed[way] -= 1
                    writer.write(data[: len(data) // 2])
                    await writer.drain()
                    print(way, flush=True)
                    return
                writer.write(data)
                await writer.drain()

    def _count(self, way: str, size_bytes: int, *, is_first: bool) -> None:
        self._last = way
        if way == "request":
            self._turns += is_first
            self._asked_bytes = size_bytes if is_first else self._asked_bytes + size_bytes

    def _due(self, way: str, size_bytes: int, *, is_first: bool) -> bool:
        if self._turns <= _TURNS or not self._armed[way]:
            return False
        return size_bytes >= _BATCH_BYTES if way == "request" else is_first and self._asked_bytes >= _BATCH_BYTES


async def main(port: int, target: int) -> None:
    """Serve until standard input ends."""
    link = Link(target)
    told = StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    async with await asyncio.start_server(link.serve, "127.0.0.1", port):
        print("ready", flush=True)
        while word := (await told.readline()).decode().strip():
            link.armed[word] += 1


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:3])))
