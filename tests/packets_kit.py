"""The `packets` collector by itself, and sensors of every kind that speak to it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from harness import LIMIT_S, FakeContext, running, until

from collectors.packets import PacketsCollector, PacketsSettings
from socmon.capture.sending import Sending
from socmon.capture.told import Told

PacketsContext = FakeContext[PacketsSettings]
RUN = "0123456789abcdef"


@contextmanager
def socket_path() -> Iterator[Path]:
    """A path that is short enough for a socket (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="socmon") as folder:
        yield Path(folder) / "capture.sock"


def packets_context(socket: Path, positions: Mapping[str, bytes] | None = None, **options: object) -> PacketsContext:
    settings = PacketsSettings.model_validate({"socket": socket, **options})
    return FakeContext(settings, name="net", positions=positions)


@asynccontextmanager
async def hearing(context: PacketsContext) -> AsyncIterator[PacketsCollector]:
    """The collector, listening."""
    collector = PacketsCollector(context)
    async with running(collector):
        await until(lambda: logged(context, "listening"))
        yield collector


def logged(context: PacketsContext, event: str) -> list[dict[str, object]]:
    return [dict(entry) for entry in context.logged if entry["event"] == event]


def event(number: int) -> bytes:
    return b'{"_path":"conn","ts":%d.5}' % number


def numbered(first: int, last: int) -> list[bytes]:
    return [event(number) for number in range(first, last + 1)]


class RealSensor:
    """The sending half of a real socmon-capture."""

    def __init__(self, socket: Path, *, limit_bytes: int = 1_000_000, sensor: str = "net1", run: str = RUN) -> None:
        self.counts: dict[str, Any] = {}
        self.sending = Sending(socket, limit_bytes, lambda following: self._told(sensor, run, following))

    def _told(self, sensor: str, run: str, following: int) -> Told:
        dropped = self.sending.dropped
        return Told(sensor=sensor, run=run, next=following, events_dropped=dropped, **self.counts)

    def put(self, *lines: bytes) -> None:
        for line in lines:
            self.sending.put(line)
        self.sending.flush()


@asynccontextmanager
async def sensor(socket: Path, **options: object) -> AsyncIterator[RealSensor]:
    """A sensor that reaches for the daemon as long as the body runs."""
    made = RealSensor(socket, **options)  # type: ignore[arg-type]  # as the caller wants
    task = asyncio.create_task(made.sending.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.wait([task])


async def says(socket: Path, data: bytes) -> bytes:
    """What the collector answers to `data`, until it closes the connection."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        writer.write(data)
        async with asyncio.timeout(LIMIT_S):
            return await reader.read()
    except (ConnectionResetError, BrokenPipeError):  # closed while `data` was still being written
        return b""
    finally:
        writer.transport.abort()
