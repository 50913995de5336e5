"""NetFlow v5 and v9 (RFC 3954) and IPFIX (RFC 7011) over UDP: each flow is a record, a line of Zeek's conn log."""

import time
from typing import ClassVar

from msgspec import Struct
from msgspec.structs import replace
from pydantic import Field

from collectors._receiving import MAX_SOURCES, DatagramCollector, DatagramSettings
from socmon.component import Context
from socmon.errors import ParseError
from socmon.event import Record, Source
from socmon.network.flow_exporters import Limits
from socmon.network.netflow import Decoder

AGAIN_S = 60.0  # a record that carries the templates may be dropped, or wait over its quota
SOON_S = 1.0  # an exporter that always tells others would fill the journal with them


class NetflowSettings(DatagramSettings):
    """Options of `kind: netflow`."""

    port: int = Field(
        default=2055, ge=0, le=65_535, description="Port to listen on; 0 takes any free one and logs which."
    )
    format: str = Field(default="zeek", description="How to read a record: flows are lines of Zeek's conn log.")
    held_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=64 * 1024,
        le=1024 * 1024 * 1024,
        description="Bytes of flows that may wait for their template, of all exporters together.",
    )
    held_s: float = Field(
        default=600.0,
        gt=0,
        le=86_400,
        description="Seconds that flows wait for their template; then they are dropped and counted as no_template.",
    )


class _Exporter(Struct):
    """When the journal was last told of its templates, and whether there is news."""

    told_s: float = -AGAIN_S
    news: bool = True

    def due(self, now_s: float) -> bool:
        return now_s - self.told_s >= (SOON_S if self.news else AGAIN_S)


class NetflowCollector(DatagramCollector[NetflowSettings]):
    """Flows of whoever exports them; the peer of a record is its exporter's address.

    Exporters tell their templates once in a while. The journal keeps them with the flows, so that after a restart the
    first datagram is read (docs/adr/0054-templates-outlive-a-restart.md).
    """

    settings_type: ClassVar[type[NetflowSettings]] = NetflowSettings

    def __init__(self, context: Context[NetflowSettings]) -> None:
        super().__init__(context)
        self._decoder = Decoder(Limits(held_bytes=self.settings.held_bytes, held_s=self.settings.held_s))
        self._exporters: dict[str, _Exporter] = {}
        self._before = replace(self._decoder.counts)

    def take(self, datagram: bytes, source: Source, now_us: int, records: list[Record]) -> None:
        """Its flows, the first of them with what the exporter's templates are, where the journal is to know."""
        now_s = time.monotonic()
        exporter = self._exporters.get(source.peer) or self._meet_exporter(source.peer)
        lines = self._decoder.lines(datagram, source.peer, now_s)
        exporter.news |= self._decoder.changed
        if lines:
            position = self._position(source.peer, exporter, now_s)
            records.append(Record(lines[0], source, now_us, position))
            records += [Record(line, source, now_us) for line in lines[1:]]
        self._tell(source.peer)

    def finish(self) -> None:
        """Flows that wait for their template are lost."""
        self._decoder.give_up()
        self._tell_lost()

    # ── templates over a restart ─────────────────────────────────────────────────────────────────────────────────

    def _meet_exporter(self, peer: str) -> _Exporter:
        """One that is not known yet; of one that sent before the start, the templates are."""
        if len(self._exporters) >= MAX_SOURCES:
            del self._exporters[next(iter(self._exporters))]
        exporter = self._exporters[peer] = _Exporter()
        state = self.context.position(_stream(peer))
        if state is not None:
            try:
                self._decoder.restore(peer, state)
            except ParseError as error:
                self.context.log.info("templates of before the start are not understood", exporter=peer, error=error)
        return exporter

    def _position(self, peer: str, exporter: _Exporter, now_s: float) -> tuple[str, bytes] | None:
        if not exporter.due(now_s):
            return None
        exporter.told_s, exporter.news = now_s, False
        state = self._decoder.state(peer)
        return (_stream(peer), state) if state else None

    # ── what is no flow ──────────────────────────────────────────────────────────────────────────────────────────

    def _tell(self, peer: str) -> None:
        """Count what was wrong with a datagram, each kind once."""
        before, now = self._before, self._decoder.counts
        if before == now:
            return
        if now.malformed > before.malformed:
            self._tell_bad("malformed", peer)
        if now.unknown_version > before.unknown_version:
            self._tell_bad("unknown_version", peer)
        if now.not_a_flow > before.not_a_flow:
            self.context.counters.error("not_a_flow")
        if now.gaps > before.gaps:
            self.context.counters.error("gap")
            # Some exporters count wrongly; so it is told, and nobody is warned.
            if missed := self.rarely.times("gap", now.missed - before.missed):
                self.context.log.info("the numbering of an exporter has gaps", peer=peer, missed=missed)
        self._tell_lost()
        self._before = replace(now)

    def _tell_bad(self, reason: str, peer: str) -> None:
        self.context.counters.error(reason)
        if times := self.rarely.times(reason):
            self.context.log.warning(
                "datagram is no whole message of NetFlow or IPFIX", reason=reason, peer=peer, times=times
            )

    def _tell_lost(self) -> None:
        """Of a set that nobody could read only one thing is known: it holds a flow, at least."""
        lost = self._decoder.counts.lost - self._before.lost
        self._before.lost = self._decoder.counts.lost
        if lost:
            self.context.counters.received(lost, 0)
            self.context.counters.dropped(lost, "no_template")
            if sets := self.rarely.times("no_template", lost):
                self.context.log.warning("flows are lost, their template did not come", sets=sets)


def _stream(peer: str) -> str:
    return f"templates of {peer}"
