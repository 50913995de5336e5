"""Receiving datagrams from whoever sends them: nobody is made to wait, and what is lost is counted."""

import asyncio
import socket
import time
from abc import abstractmethod
from contextlib import closing, suppress
from typing import Literal, TypeVar

from msgspec.structs import replace
from pydantic import Field

from collectors._datagrams import KernelDrops, widen
from collectors._listening import Allowed, ListenerSettings, listener_for
from socmon import metrics
from socmon.addresses import address as in_one_spelling
from socmon.component import BEAT_S, Collector, Context
from socmon.errors import ComponentError
from socmon.event import Record, Source
from socmon.log import Rarely

BATCH_RECORDS = 1000
TURN_BATCHES = 10  # then others have their turn, and the journal takes some of what was read
TURN_S = 0.003
# Messages lie in the kernel meanwhile and travel together, where each would be a batch; 600 of them at 60,000 a second.
REST_S = 0.01
STOP_S = 2.5  # of the 5 s that the daemon gives collectors to stop
MAX_DISCARDED = 100_000
MAX_SOURCES = 10_000  # anybody can make up addresses
STREAM = "kernel drops"  # its position is what KernelDrops gives
LARGEST_BYTES = 65_535  # no datagram is longer (RFC 768)

_Left = Literal["idle", "nothing", "more", "no_room"]


class DatagramSettings(ListenerSettings):
    """Options of every kind that takes datagrams."""

    receive_buffer_bytes: int = Field(
        default=8 * 1024 * 1024,
        ge=64 * 1024,
        le=1024 * 1024 * 1024,
        description="Bytes that the kernel keeps for us while we are busy, about 400 for a short message. More than "
        "net.core.rmem_max needs CAP_NET_ADMIN, or ReceiveBuffer= in a socket unit.",
    )


SettingsT = TypeVar("SettingsT", bound=DatagramSettings)


class DatagramCollector(Collector[SettingsT]):
    """Takes datagrams from whoever sends them, and never makes anybody wait.

    What socmon has no room for stays in the kernel's receive buffer; what that has no room for the kernel drops, and
    its count is told as dropped, `kernel` (docs/semantics.md, "Ledger").
    """

    def __init__(self, context: Context[SettingsT]) -> None:
        super().__init__(context)
        self.rarely = Rarely()
        self._allowed = Allowed(self.settings.allow)
        self._sources: dict[str, Source | None] = {}  # by the sender's address; None where it is refused
        self._emptied = False  # the last read found the kernel's receive buffer empty
        self._rest: list[Record] = []  # of a datagram that held more records than there was room for

    @abstractmethod
    def take(self, datagram: bytes, source: Source, now_us: int, records: list[Record]) -> None:
        """Put the records of one datagram behind `records`, and count what is none."""

    def finish(self) -> None:
        """Count what is still kept for a later datagram: none comes any more."""

    async def run(self) -> None:
        """Take datagrams until cancelled; once.

        Raises:
            ComponentError: the address cannot be listened on, or the socket failed.
        """
        self._listener, self._inherited = listener_for(self.context, socket.SOCK_DGRAM)
        with closing(self._listener):
            self._drops = KernelDrops(self._listener, self.context.position(STREAM))
            self._announce()
            try:
                await self._receive()
            except asyncio.CancelledError:
                await self._empty()
                raise
            except OSError as error:
                raise ComponentError(f"cannot receive on {self.settings.address}: {error.strerror}") from error
            finally:
                self.finish()

    def _announce(self) -> None:
        wished_bytes = self.settings.receive_buffer_bytes
        size_bytes = widen(self._listener, wished_bytes)
        metrics.RECEIVE_BUFFER[self.context.name].set(size_bytes)
        address, port = self._listener.getsockname()[:2]
        self.context.log.info(
            "listening", address=address, port=port, inherited=self._inherited, receive_buffer_bytes=size_bytes
        )
        if size_bytes < wished_bytes:
            remedy = f"sysctl net.core.rmem_max={wished_bytes}, or ReceiveBuffer={wished_bytes} in a socket unit"
            self.context.log.warning(
                "receive buffer is smaller than wished, a burst may be lost",
                size_bytes=size_bytes,
                wished_bytes=wished_bytes,
                remedy=remedy,
            )

    # ── receiving ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _receive(self) -> None:
        while True:
            self.context.beat()
            for _ in range(TURN_BATCHES):
                left = self._drain()
                if left != "more":
                    break
            if left == "idle":
                await self._readable()
            await asyncio.sleep(TURN_S if left == "more" else REST_S)

    async def _readable(self) -> None:
        """Return when a datagram has come in, in half a beat at the latest."""
        loop, come = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._listener, come.set)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S / 2):
                    await come.wait()
        finally:
            loop.remove_reader(self._listener)

    def _drain(self) -> _Left:
        """Hand on one batch of what has come in; what is left in the kernel then."""
        self._count_drops()
        most = min(BATCH_RECORDS, self.context.free_room())
        if not most:
            return "no_room"  # what is not read is not lost yet
        records, datagrams = self._read(most)
        records, self._rest = records[:most], records[most:]
        if records and self._inherited and (told := self._drops.due()):
            # In the frame that holds the drops, or a later one: what it says was told is in the journal.
            place = next((place for place, record in enumerate(records) if record.position is None), 0)
            records[place] = replace(records[place], position=(STREAM, told))
        self.context.offer(records)
        if self._rest or not self._emptied:
            return "more"
        return "nothing" if datagrams else "idle"

    def _read(self, most: int = BATCH_RECORDS) -> tuple[list[Record], int]:
        """At least one batch of records, if there are as many, and how many datagrams were read for it, up to `most`.

        The last datagram may hold records beyond `most`.
        """
        records, self._rest, self._emptied = self._rest, [], False
        now_us, size_bytes, datagrams, before = time.time_ns() // 1000, 0, 0, len(records)
        receive, sources = self._listener.recvfrom, self._sources
        while datagrams < most and len(records) < most:
            try:
                data, sender = receive(LARGEST_BYTES)
            except BlockingIOError:
                self._emptied = True
                break
            datagrams += 1
            address = sender[0]
            source = sources[address] if address in sources else self._meet(address)
            if source is None:
                self._refuse(address)
                continue
            size_bytes += len(data)
            self.take(data, source, now_us, records)
        self.context.counters.received(len(records) - before, size_bytes)
        return records, datagrams

    def _count_drops(self) -> None:
        if drops := self._drops.take():
            self.context.counters.received(drops, 0)
            self.context.counters.dropped(drops, "kernel")
            if records := self.rarely.times("kernel", drops):
                self.context.log.warning("the kernel dropped messages, its receive buffer was full", records=records)

    # ── senders ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _meet(self, address: str) -> Source | None:
        """The source of a sender that is not known yet, and whether it may send at all."""
        peer = in_one_spelling(address)
        source = self.source(peer, authenticated=False) if peer and peer in self._allowed else None
        if len(self._sources) >= MAX_SOURCES:
            del self._sources[next(iter(self._sources))]
        self._sources[address] = source
        return source

    def _refuse(self, address: str) -> None:
        self.context.counters.error("not_allowed")
        if times := self.rarely.times("not_allowed"):
            peer = in_one_spelling(address)
            self.context.log.warning("message refused", reason="not_allowed", peer=peer, times=times)

    # ── the stop ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _empty(self) -> None:
        """Journal what was read, and what the kernel holds of a socket of ours: it is lost with it.

        What there is no time for is counted. From an inherited socket the next start takes what is left.
        """
        loop, batch = asyncio.get_running_loop(), list[Record]()
        end_s, more = loop.time() + STOP_S, True
        try:
            while more and loop.time() < end_s:
                if self._inherited:
                    batch, self._rest, more = self._rest, [], False
                else:
                    batch, _ = self._read()
                    more = not self._emptied
                # Not awaited itself: cancelled in the middle of a write, `emit` waits for that to end.
                handing = asyncio.create_task(self.context.emit(batch), name=f"collector {self.context.name}, the rest")
                await asyncio.wait([handing], timeout=end_s - loop.time())
                if not handing.done():
                    handing.cancel()
                    break
                await handing
                batch = []
        finally:
            self._count_drops()
            if lost := len(batch) + self._discard():
                self.context.log.warning("messages received are lost, the journal did not take them", records=lost)
                self.context.counters.dropped(lost, "not_journalled")

    def _discard(self) -> int:
        """Count what still lies in the kernel; a sender that goes on may send more, so not for ever."""
        lost = len(self._rest)
        if self._inherited:
            return lost
        self._rest = []
        for _ in range(MAX_DISCARDED // BATCH_RECORDS):
            records, _ = self._read()
            lost += len(records)
            if self._emptied:
                break
        return lost
