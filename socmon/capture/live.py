"""Packets of an interface, as events, to the daemon: the process that runs all the time."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from socmon import log
from socmon.capture.ring import Packet, Ring
from socmon.capture.sending import Sending
from socmon.capture.told import Told
from socmon.errors import ComponentError
from socmon.network import Analysis, Limits
from socmon.notify import Manager

TURN_PACKETS = 500  # then the loop has its turn: answers, counters, signals
TURN_FLOWS = 500  # the same, at the end
TICK_S = 1.0
FINISH_S = 10.0  # of the 15 that its unit gives it
_ROUNDS = 20  # of RETIRE_MS and more, in which the last block must come
_ROUND_S = 0.05
_RUN_BYTES = 8

# What scapy reads gets a part of each second: the ring holds the rest meanwhile. A connection that fell silent is dated
# by its last packet; told of after Zeek's 300 s, it would be too late to be correlated (`detection.lateness_s`).
LIMITS = Limits(rare_s=0.1, tcp_s=240.0)

_log = log.get("capture")


class Live(Struct, frozen=True):
    """How to run.

    Attributes:
        socket: of the daemon.
        queue_bytes: what may wait for the daemon.
        sensor: the peer of the records.
    """

    socket: Path
    queue_bytes: int
    sensor: str


class Capture:
    """Reads `ring` until it is stopped; once.

    Args:
        clock: seconds since 1970, as packets are dated.
    """

    def __init__(self, ring: Ring, how: Live, manager: Manager, clock: Callable[[], float] = time.time) -> None:
        self._ring = ring
        self._how = how
        self._manager = manager
        self._clock = clock
        self._run_id = os.urandom(_RUN_BYTES).hex()
        self._sending = Sending(how.socket, how.queue_bytes, self._told)
        self._analysis = Analysis(self._sending.put, limits=LIMITS)
        self._packets = 0
        self._kernel_packets = 0
        self._kernel_dropped = 0
        self._told_dropped = 0
        self._down = False
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Read until SIGTERM or SIGINT, then send what is left.

        Raises:
            ComponentError: the interface is gone.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        sending = asyncio.create_task(self._sending.run(), name="to the daemon")
        loop.add_reader(self._ring, self._readable)
        _log.info("capturing", link=self._ring.link, sensor=self._how.sensor, socket=str(self._how.socket))
        self._manager.ready()
        try:
            await self._until_stopped()
            self._manager.stopping()
            loop.remove_reader(self._ring)
            await self._finish()
        finally:
            loop.remove_reader(self._ring)
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending

    async def _until_stopped(self) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._stop.wait()
            if self._failure is not None:
                raise self._failure
            self._tick()

    def _readable(self) -> None:
        packets = self._ring.read(TURN_PACKETS)
        try:
            if packets:
                self._take(packets)
            else:
                self._check()
        except BaseException as error:  # a callback's error would be the loop's to log, and no end of the process
            self._failure = error
            self._stop.set()
            if not isinstance(error, Exception):
                raise

    def _check(self) -> None:
        """Raises ComponentError: the interface is gone, which the kernel does not tell where it was down before."""
        if self._ring.failed() and not self._down:
            self._down = True
            _log.warning("the interface is down, nothing is captured until it is up")

    def _take(self, packets: list[Packet]) -> None:
        take, link = self._analysis.packet, self._ring.link
        self._down = False
        self._packets += len(packets)
        for moment, frame in packets:
            take(frame, moment, link)
        self._sending.flush()

    def _tick(self) -> None:
        """What is due each second."""
        self._check()
        before = self._kernel_packets
        self._count()
        if self._kernel_packets == before:  # packets move the time by themselves, and may lie in the ring for a while
            self._analysis.advance(self._clock() - TICK_S)
        self._sending.flush()
        self._sending.tell()
        if self._kernel_dropped > self._told_dropped:
            dropped, self._told_dropped = self._kernel_dropped - self._told_dropped, self._kernel_dropped
            _log.warning("the kernel dropped packets, they came faster than they were read", packets=dropped)
        self._manager.alive(self._sentence())

    def _count(self) -> None:
        seen, dropped = self._ring.statistics()
        self._kernel_packets += seen
        self._kernel_dropped += dropped

    def _sentence(self) -> str:
        counts = self._analysis.counts
        link = "the daemon has" if self._sending.connected else "the daemon is away;"
        return (
            f"{self._packets} packets, {self._kernel_dropped} dropped; {link} {self._sending.waiting} of "
            f"{counts.events} events to come"
        )

    def _told(self, following: int) -> Told:
        counts = self._analysis.counts
        return Told(
            sensor=self._how.sensor,
            run=self._run_id,
            next=following,
            packets=self._packets,
            kernel_packets=self._kernel_packets,
            kernel_dropped=self._kernel_dropped,
            bad=counts.bad,
            events=counts.events,
            events_dropped=self._sending.dropped,
            evicted=counts.evicted + counts.half_open_evicted,
        )

    async def _finish(self) -> None:
        """Read what the kernel has, close all flows, and send what that gives."""
        self._ring.shut()
        for _ in range(_ROUNDS):
            self._count()
            while packets := self._ring.read(TURN_PACKETS):
                self._take(packets)
            if self._packets + self._kernel_dropped >= self._kernel_packets:
                break
            await asyncio.sleep(_ROUND_S)
        ends_s = time.monotonic() + FINISH_S
        await self._end_flows(ends_s)
        left = await self._sending.finish(max(0.0, ends_s - time.monotonic()))
        self._sending.tell()
        if left:
            _log.warning("events are lost, the daemon did not take them before the stop", events=left)
        told = self._told(0)
        counts = ("packets", "kernel_packets", "kernel_dropped", "events", "events_dropped")
        _log.info("stopped", **{name: getattr(told, name) for name in counts}, events_left=left)

    async def _end_flows(self, ends_s: float) -> None:
        """End all flows, no faster than the daemon takes what that gives, as long as there is time for it."""
        for number, _ in enumerate(self._analysis.finishing(), 1):
            if number % TURN_FLOWS:
                continue
            self._sending.flush()
            await asyncio.sleep(0)
            while self._sending.crowded and time.monotonic() < ends_s:  # noqa: ASYNC110  a look now and then is enough
                await asyncio.sleep(_ROUND_S)
        self._sending.flush()


async def capture(ring: Ring, how: Live) -> None:
    """Run until a signal; see Capture.

    Raises:
        ComponentError: the interface is gone.
    """
    manager = Manager()
    try:
        await Capture(ring, how, manager).run()
    except ComponentError:
        manager.stopping()
        raise
    finally:
        manager.close()
        ring.close()
