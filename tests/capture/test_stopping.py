"""What a sensor tells in time, and how it ends when it knows of many flows."""

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from packet_kit import ACK, CLIENT, SERVER, START, SYN, tcp

from socmon.capture.live import LIMITS, Capture, Live
from socmon.capture.ring import Ring
from socmon.network import Analysis
from socmon.notify import Manager
from socmon.replaying import LATENESS_S

FLOWS = 3_000


def syn(number: int) -> bytes:
    return tcp(CLIENT, 1_024 + number, SERVER, 9_999, SYN)


def test_a_connection_that_fell_silent_is_told_of_before_it_is_too_late_to_be_correlated() -> None:
    lines: list[dict[str, Any]] = []
    analysis = Analysis(lambda line: lines.append(json.loads(line)), limits=LIMITS)
    analysis.packet(syn(0), START)
    analysis.packet(tcp(SERVER, 9_999, CLIENT, 1_024, SYN | ACK), START + 1)
    waited_s = 0
    while not lines:
        waited_s += 1
        analysis.advance(START + 1 + waited_s)

    assert lines[0]["ts"] + lines[0]["duration"] == START + 1
    assert waited_s < LATENESS_S - 30


async def test_the_end_of_many_flows_drops_none_that_the_daemon_takes() -> None:
    """The queue has room for a small part of them: only the daemon's answers make more."""
    got: list[bytes] = []

    async def daemon(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wanted = 0
        writer.write(b"0\n")
        while line := await reader.readline():
            if not line.startswith(b'{"_path":"socmon_capture"'):
                got.append(line)
                wanted += 1
                writer.write(b"%d\n" % wanted)
        writer.close()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "socket"
        server = await asyncio.start_unix_server(daemon, path)
        # Nothing is read from its ring, and no service manager hears of it.
        capture = Capture(cast("Ring", None), Live(path, 900_000, "test"), cast("Manager", None))
        for number in range(FLOWS):
            capture._analysis.packet(syn(number), START)
        sending = asyncio.create_task(capture._sending.run())
        try:
            await capture._end_flows(time.monotonic() + 30)
            left = await capture._sending.finish(30)
        finally:
            sending.cancel()
            await asyncio.wait([sending])
            server.close()

    assert (len(got), left, capture._sending.dropped) == (FLOWS, 0, 0)
