"""A proxy that cuts connections after so many bytes on their way.

    python cutting_proxy.py PORT TARGET CUT_AFTER TIMES

It prints a line for each connection that it has cut, and lets the ones after the first TIMES pass.
"""

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from contextlib import suppress

_CHUNK = 1024


class Proxy:
    """Passes bytes on, and cuts the first connections."""

    def __init__(self, target: int, cut_after: int, times: int) -> None:
        self._target = target
        self._cut_after = cut_after
        self._left = times

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        there_reader, there = await asyncio.open_connection("127.0.0.1", self._target)
        back = asyncio.create_task(self._pass(there_reader, writer, sys.maxsize))
        await self._pass(reader, there, self._cut_after if self._left > 0 else sys.maxsize)
        back.cancel()
        for each in (writer, there):
            each.transport.abort()

    async def _pass(self, reader: StreamReader, writer: StreamWriter, room: int) -> None:
        with suppress(OSError):
            while data := await reader.read(min(_CHUNK, room)):
                writer.write(data)
                await writer.drain()
                room -= len(data)
                if not room:
                    self._left -= 1
                    print("cut", flush=True)
                    return


async def main(port: int, target: int, cut_after: int, times: int) -> None:
    server = await asyncio.start_server(Proxy(target, cut_after, times).serve, "127.0.0.1", port)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
