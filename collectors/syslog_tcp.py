"""Syslog over TCP: octet counting and newline framing (RFC 6587, section 3.4). Plain, without TLS."""

import asyncio
import socket
import time
from collections import Counter
from contextlib import suppress
from typing import ClassVar, cast

from pydantic import Field

from collectors._apart import MAX_APART_BYTES, Lanes, size_of
from collectors._framing import Framing
from collectors._listening import BACKLOG, Allowed, ListenerSettings, listener_for
from socmon.addresses import address as in_one_spelling
from socmon.component import BEAT_S, Collector, Context
from socmon.event import Record, Source
from socmon.log import Rarely

BATCH_RECORDS = 1000
GATHER_S = 0.05
BUFFER_BYTES = 64 * 1024
# What may wait for the journal, with what Python needs around each message; then senders are slowed, down to half.
MAX_WAITING_BYTES = 8 * 1024 * 1024
# Together within the 5 s that the daemon gives collectors to stop: LEAVE_S may pass twice.
LEAVE_S = 1.0
STOP_S = 2.5
# Found dead after two minutes: a half-open connection holds a place among max_connections.
_KEEPALIVE = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 20, socket.TCP_KEEPCNT: 3}


class SyslogTcpSettings(ListenerSettings):
    """Options of `kind: syslog_tcp`."""

    max_connections: int = Field(
        default=500, ge=1, le=10_000, description="Open connections, at most; further ones are refused."
    )
    max_connections_per_source: int = Field(
        default=50, ge=1, le=10_000, description="Open connections from one address, at most."
    )
    idle_s: float = Field(
        default=86_400.0,
        gt=0,
        le=2_592_000,
        description="Seconds without a byte after which a connection is closed. A sender may lose a message by that; "
        "one that is dead is found within two minutes in any case.",
    )
    max_bytes: int = Field(
        default=65_536,
        ge=256,
        le=1_048_576,
        description="Longest message, in bytes. The rest of a longer one is cut off and the cut counted as too_long.",
    )


class SyslogTcpCollector(Collector[SyslogTcpSettings]):
    """Takes messages from senders that connect. A record is a message without its framing.

    While the journal is behind, nothing is read, so that TCP slows the senders; of one that is over its quota, nothing
    is read while too much of it waits, and the others go on. There is no position: what a sender
    had sent and we had not journalled when the connection broke is lost (docs/semantics.md, "Ledger").

    Attributes:
        buffer: what is read goes here; one for all connections.
        full: nothing may be read until the journal has caught up.
    """

    settings_type: ClassVar[type[SyslogTcpSettings]] = SyslogTcpSettings

    def __init__(self, context: Context[SyslogTcpSettings]) -> None:
        super().__init__(context)
        self.rarely = Rarely()
        # A transport fills it and hands it over in one step, so two connections never use it at once.
        self.buffer = memoryview(bytearray(BUFFER_BYTES))
        self._allowed = Allowed(self.settings.allow)
        self._connections: set[_Connection] = set()
        self._by_source: Counter[str] = Counter()
        self._none_open = asyncio.Event()
        self._stopping = False
        self._waiting: list[Record] = []
        self._waiting_bytes = 0
        self._round: list[Record] = []  # what is handed in next
        self._batch: list[Record] = []  # what is being journalled
        self._due = asyncio.Event()
        self._over_quota = Lanes(context, self._less_waits, self._due.set)
        self._slowed: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._emptying = False
        self.full = False

    async def run(self) -> None:
        """Take messages until cancelled; once.

        Raises:
            ComponentError: the address cannot be listened on.
        """
        listener, inherited = listener_for(self.context, socket.SOCK_STREAM)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _Connection(self), sock=listener, backlog=BACKLOG, start_serving=False
        )
        # A task of its own: of a batch whose `emit` is cancelled nobody knows whether it is in the journal.
        passing = asyncio.create_task(self._pass_on(), name=f"collector {self.context.name}, to the journal")
        try:
            await server.start_serving()
            address, port = listener.getsockname()[:2]
            self.context.log.info("listening", address=address, port=port, inherited=inherited)
            while not passing.done():
                self.context.beat()
                await asyncio.wait([passing], timeout=BEAT_S)
            await passing
        finally:
            server.close()
            await self._stop(passing)

    # ── connections ──────────────────────────────────────────────────────────────────────────────────────────────

    def admit(self, connection: "_Connection", peer: str) -> bool:
        """Whether a new connection may stay; a refusal is counted, and told of now and then."""
        if self._stopping:
            return False
        if peer not in self._allowed:
            reason = "not_allowed"
        elif len(self._connections) >= self.settings.max_connections:
            reason = "too_many_connections"
        elif self._by_source[peer] >= self.settings.max_connections_per_source:
            reason = "too_many_from_source"
        else:
            self._connections.add(connection)
            self._by_source[peer] += 1
            return True
        self.context.counters.error(reason)
        if times := self.rarely.times(reason):
            self.context.log.warning("connection refused", reason=reason, peer=peer, times=times)
        return False

    def gone(self, connection: "_Connection", peer: str) -> None:
        """A connection that was admitted is over."""
        self._connections.discard(connection)
        self._by_source[peer] -= 1
        if not self._by_source[peer]:
            del self._by_source[peer]
        if not self._connections:
            self._none_open.set()

    # ── records ──────────────────────────────────────────────────────────────────────────────────────────────────

    def receive(self, source: Source, records: list[Record]) -> None:
        """Take what one read brought; when too much waits for the journal, nothing more is read."""
        if source.peer in self._over_quota:
            self._over_quota.put(source.peer, records)
            self._slow_down()
            return
        self._waiting += records
        self._waiting_bytes += size_of(records)
        self._look_whether_full()
        if self.full or len(self._waiting) >= BATCH_RECORDS:
            self._due.set()
        elif records and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._due.set)

    def must_wait(self, peer: str) -> bool:
        """Whether nothing may be read of `peer` now."""
        return self.full or peer in self._slowed

    def _look_whether_full(self) -> None:
        # Each sender that is slowed may have sent a little more, so there is a bound for all of them as well.
        much = self._waiting_bytes > MAX_WAITING_BYTES or self._over_quota.size_bytes > 2 * MAX_APART_BYTES
        if not self.full and much:
            self.full = True
            for connection in self._connections:
                connection.pause()

    def _slow_down(self) -> None:
        """Read no more of those who have too much waiting."""
        for peer in self._over_quota.crowded() - self._slowed:
            self._slowed.add(peer)
            for connection in self._of(peer):
                connection.pause()
        self._look_whether_full()

    def _of(self, peer: str) -> list["_Connection"]:
        return [connection for connection in self._connections if connection.peer == peer]

    async def _pass_on(self) -> None:
        """Emit what comes in, until `_emptying`; then what is left."""
        while self._waiting or not self._emptying:
            await self._due.wait()
            self._due.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._over_quota.check()
            # Not until nothing waits: of a steady trickle each message would become a batch.
            self._round, self._waiting = self._over_quota.part(self._waiting), []
            self._waiting_bytes = size_of(self._round)
            self._slow_down()
            while self._round:
                self._batch, self._round = self._round[:BATCH_RECORDS], self._round[BATCH_RECORDS:]
                await self.context.emit(self._batch)
                self._waiting_bytes -= size_of(self._batch)
                self._batch = []
                self._read_again()
        await self._over_quota.ended()
        self._over_quota.check()

    def _less_waits(self, peer: str) -> None:
        """A sender over its quota has less waiting than before."""
        if peer in self._slowed and peer not in self._over_quota.crowded(share=0.5):
            self._slowed.discard(peer)
            if not self.full:
                for connection in self._of(peer):
                    connection.resume()
        self._read_again()

    def _read_again(self) -> None:
        few = self._waiting_bytes <= MAX_WAITING_BYTES // 2 and self._over_quota.size_bytes <= MAX_APART_BYTES
        if self.full and few:
            self.full = False
            for connection in self._connections:
                if connection.peer not in self._slowed:
                    connection.resume()

    # ── the stop ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _stop(self, passing: asyncio.Task[None]) -> None:
        """Let senders know that we go, hand in the messages that are whole, and count what could not be journalled."""
        self._stopping = True
        try:
            if not passing.done():
                await self._take_leave()
            self._close_all()
            self._emptying = True
            self._due.set()
            await asyncio.wait([passing], timeout=STOP_S)
        finally:
            passing.cancel()
            self._over_quota.cancel()
            self._close_all()
            if left := len(self._batch) + len(self._round) + len(self._waiting) + self._over_quota.records:
                self.context.log.warning("messages received are lost, the journal did not take them", records=left)
                self.context.counters.dropped(left, "not_journalled")
        # A transport closes its socket in a later turn of the loop, which may end with us.
        await self._until_none_open()

    async def _take_leave(self) -> None:
        """Close our side. A sender that looks sends nothing more, and what it has sent until then is still read."""
        for connection in self._connections:
            connection.take_leave()
        await self._until_none_open()

    async def _until_none_open(self) -> None:
        self._none_open.clear()
        if self._connections:
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await self._none_open.wait()

    def _close_all(self) -> None:
        for connection in self._connections:
            connection.close()


class _Connection(asyncio.BufferedProtocol):
    """One sender's connection, and the message that is not whole yet."""

    def __init__(self, collector: SyslogTcpCollector) -> None:
        self._collector = collector
        self._context = collector.context
        self._framing = Framing(collector.settings.max_bytes)
        self.peer = ""  # until it is admitted
        self._ended = False

    # ── called by the transport ──────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        name = transport.get_extra_info("peername")
        peer = in_one_spelling(name[0]) if name else None
        if peer is None:  # it is gone again
            self._context.counters.error("connection_lost")
        if peer is None or not self._collector.admit(self, peer):
            self._transport.abort()
            return
        self.peer = peer
        self._source = self._collector.source(peer)
        sender = transport.get_extra_info("socket")
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            sender.setsockopt(socket.IPPROTO_TCP, option, value)
        self._loop = asyncio.get_running_loop()
        self._heard_s = self._loop.time()
        self._idle = self._loop.call_later(self._collector.settings.idle_s, self._look_whether_idle)
        self._context.log.debug("connected", peer=peer)
        if self._collector.must_wait(peer):
            self.pause()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  asyncio's signature
        return self._collector.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._heard_s = self._loop.time()
        self._take(self._framing.feed(bytes(self._collector.buffer[:nbytes])), nbytes)
        if self._framing.lost:
            self._drop("bad_frame")
            if times := self._collector.rarely.times("bad_frame"):
                found = self._framing.lost
                self._context.log.warning("framing lost, connection closed", peer=self.peer, found=found, times=times)
            self._ended = True
            self.close()

    def eof_received(self) -> bool:
        self._end(closed_by_peer=True)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.peer:
            return
        if exc is not None:
            self._context.counters.error("connection_lost")
        self._end(closed_by_peer=False)
        self._idle.cancel()
        self._collector.gone(self, self.peer)
        self._context.log.debug("disconnected", peer=self.peer)

    # ── called by the collector ──────────────────────────────────────────────────────────────────────────────────

    def pause(self) -> None:
        """Read nothing: the kernel's buffer fills, and then the sender waits."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self._heard_s = self._loop.time()
        self._transport.resume_reading()

    def take_leave(self) -> None:
        """Close our side only."""
        with suppress(OSError):  # it is gone already
            self._transport.write_eof()

    def close(self) -> None:
        """Close both sides; the message that is not whole is lost."""
        self._end(closed_by_peer=False)
        self._transport.abort()

    # ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, messages: list[bytes], size_bytes: int) -> None:
        now_us, source = time.time_ns() // 1000, self._source
        self._context.counters.received(len(messages), size_bytes)
        self._collector.receive(source, [Record(message, source, now_us) for message in messages])
        if self._framing.too_long:
            for _ in range(self._framing.too_long):
                self._context.counters.error("too_long")
            self._framing.too_long = 0
            if times := self._collector.rarely.times("too_long"):
                self._context.log.warning("message cut at max_bytes", peer=self.peer, times=times)

    def _end(self, *, closed_by_peer: bool) -> None:
        """Nothing more comes: a last line without its end is a message if the peer closed after it, else incomplete."""
        if self._ended:
            return
        self._ended = True
        messages, incomplete = self._framing.finish()
        if closed_by_peer:
            self._take(messages, 0)
        if incomplete or (messages and not closed_by_peer):
            self._drop("incomplete")

    def _drop(self, reason: str) -> None:
        """Count one message that was received in part and is lost."""
        self._context.counters.received(1, 0)
        self._context.counters.dropped(1, reason)

    def _look_whether_idle(self) -> None:
        idle_s = self._collector.settings.idle_s
        left_s = self._heard_s + idle_s - self._loop.time()
        if self._collector.must_wait(self.peer) or left_s > 0:
            self._idle = self._loop.call_later(max(left_s, 1.0), self._look_whether_idle)
            return
        self._context.counters.error("idle")
        self._context.log.debug("idle, connection closed", peer=self.peer)
        self.close()
