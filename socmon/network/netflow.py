"""NetFlow v5 and v9 (RFC 3954) and IPFIX (RFC 7011): datagrams in, lines of Zeek's conn log out.

Templates belong to one exporter, version and observation domain. A datagram of UDP may be lost, doubled or late: data
whose template is not known are kept a while.
"""

import struct
from hashlib import blake2b

from msgspec import Struct

from socmon.errors import ParseError
from socmon.event import SECOND_US
from socmon.network.flow_exporters import Domain, Exporters, Held, Limits
from socmon.network.flow_line import Moment, exporter_fields, line
from socmon.network.flow_template import ELEMENTS, Field, Template, Values, fields_of

V5, V9, IPFIX = 5, 9, 10
_HEADS = {V5: struct.Struct("!2xHIIIIBBH"), V9: struct.Struct("!2xHIIII"), IPFIX: struct.Struct("!2xHIII")}
_SET = struct.Struct("!HH")
_V5_FIELDS = (8, 12, 15, 10, 14, 2, 1, 22, 21, 7, 11, 0, 6, 4, 5)
_V5_LENGTHS = (4, 4, 4, 2, 2, 4, 4, 4, 4, 2, 2, 1, 1, 1, 1)
_V5_REST = 8  # AS numbers, masks and padding
_V5 = Template([*map(Field, _V5_FIELDS, _V5_LENGTHS), Field(0, _V5_REST)])
_FIRST_DATA = 256
_TEMPLATE_SETS = {V9: (0, 1), IPFIX: (2, 3)}  # of data, of options
_Body = tuple[bytes, int, int]  # bytes, and from where to where of them
_HALF = 1 << 31
_PLACE = {name: place for place, name in enumerate(ELEMENTS)}


class Counts(Struct):
    """What came in, since the start.

    Attributes:
        flows: lines that were made.
        malformed: datagrams that were cut or contradict themselves; what was whole of them counts.
        unknown_version: datagrams of something else.
        held: data sets whose template was not known when they came.
        lost: of these, the ones that it never came for in time, or no room.
        not_a_flow: records that name no pair of addresses.
        gaps: jumps in an exporter's numbering.
        missed: how much they leave out: flows of v5 and IPFIX, datagrams of v9.
    """

    datagrams: int = 0
    flows: int = 0
    malformed: int = 0
    unknown_version: int = 0
    held: int = 0
    lost: int = 0
    not_a_flow: int = 0
    gaps: int = 0
    missed: int = 0


class _Reading(Struct):
    """The datagram that is being read.

    Attributes:
        prefix: what its flows' uids begin with.
        found: lines that were made.
        records: data records that were read.
        unknown: some of them cannot be read yet.
    """

    domain: Domain
    version: int
    moment: Moment
    prefix: str
    now_s: float
    found: list[bytes]
    records: int = 0
    unknown: bool = False


_LIMITS = Limits()


class Decoder:
    """Reads the datagrams of all exporters; pure: its only clock is the one that it is told.

    Attributes:
        counts: see Counts.
        changed: the last datagram brought something new for `state`.
    """

    def __init__(self, limits: Limits = _LIMITS) -> None:
        self.counts = Counts()
        self.changed = False
        self._limits = limits
        self._exporters = Exporters(limits)

    # ── datagrams ────────────────────────────────────────────────────────────────────────────────────────────────

    def lines(self, datagram: bytes, exporter: str, now_s: float) -> list[bytes]:
        """The flows of one datagram, and of older ones that waited for a template in it; never raises.

        Args:
            exporter: its address, in one spelling.
            now_s: of any clock that does not go back.
        """
        self.counts.datagrams += 1
        self.changed = False
        self._exporters.waiting.expire(now_s)
        found: list[bytes] = []
        version = int.from_bytes(datagram[:2], "big")
        if version not in _HEADS:
            self.counts.unknown_version += 1
        elif len(datagram) < _HEADS[version].size:
            self.counts.malformed += 1
        else:
            read = self._v5 if version == V5 else self._v9 if version == V9 else self._ipfix
            self.counts.malformed += not read(datagram, exporter, now_s, found)
        self.counts.flows += len(found)
        self.counts.lost = self._exporters.waiting.lost
        return found

    def _v5(self, datagram: bytes, exporter: str, now_s: float, found: list[bytes]) -> bool:
        head: tuple[int, ...] = _HEADS[V5].unpack_from(datagram)
        count, uptime_ms, export_s, export_ns, sequence, engine_type, engine, sampling = head
        number = engine_type << 8 | engine
        domain = self._exporters.domain(exporter, V5, number)
        export_us = export_s * SECOND_US + min(export_ns // 1000, SECOND_US - 1)
        moment = Moment(export_us, uptime_ms, exporter_fields(exporter, V5, number), sampling & 0x3FFF, {})
        start, size_bytes = _HEADS[V5].size, count * _V5.size_bytes
        end = min(len(datagram), start + size_bytes)
        self._flows(
            _V5, (datagram, start, end), _Reading(domain, V5, moment, _prefix(exporter, datagram), now_s, found)
        )
        self._number(domain, sequence, count)
        return end - start == size_bytes

    def _v9(self, datagram: bytes, exporter: str, now_s: float, found: list[bytes]) -> bool:
        _, uptime_ms, export_s, sequence, number = _HEADS[V9].unpack_from(datagram)
        domain = self._exporters.domain(exporter, V9, number)
        moment = Moment(export_s * SECOND_US, uptime_ms, exporter_fields(exporter, V9, number), 0, domain.samplers)
        reading = _Reading(domain, V9, moment, _prefix(exporter, datagram), now_s, found)
        whole = self._sets(datagram, len(datagram), reading)
        self._number(domain, sequence, 1)
        return whole

    def _ipfix(self, datagram: bytes, exporter: str, now_s: float, found: list[bytes]) -> bool:
        head: tuple[int, ...] = _HEADS[IPFIX].unpack_from(datagram)
        length, export_s, sequence, number = head
        domain = self._exporters.domain(exporter, IPFIX, number)
        moment = Moment(export_s * SECOND_US, None, exporter_fields(exporter, IPFIX, number), 0, domain.samplers)
        reading = _Reading(domain, IPFIX, moment, _prefix(exporter, datagram), now_s, found)
        whole = self._sets(datagram, min(length, len(datagram)), reading) and length <= len(datagram)
        self._number(domain, sequence, reading.records if whole and not reading.unknown else None)
        return whole

    def _sets(self, datagram: bytes, end: int, reading: _Reading) -> bool:
        """Read the sets up to `end`; whether all of them were whole."""
        at = _HEADS[reading.version].size
        while end - at >= _SET.size:
            kind, size_bytes = _SET.unpack_from(datagram, at)
            if size_bytes < _SET.size:
                return False
            body = (datagram, at + _SET.size, min(at + size_bytes, end))
            try:
                if kind >= _FIRST_DATA:
                    self._data(kind, body, reading)
                elif kind in _TEMPLATE_SETS[reading.version]:
                    self._templates(body, reading, options=bool(kind & 1))
            except (ParseError, struct.error):
                return False
            at += size_bytes
        return at == end

    def _number(self, domain: Domain, sequence: int, counted: int | None) -> None:
        """Note a jump in the numbering; `counted` is how far this datagram moves it, None if that is not known."""
        if domain.expected is not None:
            missed = (sequence - domain.expected) & 0xFFFFFFFF
            if 0 < missed < _HALF:  # else it is late, or the exporter began anew
                self.counts.gaps += 1
                self.counts.missed += missed
        domain.expected = None if counted is None else (sequence + counted) & 0xFFFFFFFF

    # ── data ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _data(self, kind: int, body: _Body, reading: _Reading) -> None:
        template = reading.domain.templates.get(kind)
        if template is None:
            whole, start, end = body
            reading.unknown = True
            self.counts.held += 1
            self._exporters.waiting.add(
                Held(reading.domain, kind, whole[start:end], start, reading.moment, reading.prefix, reading.now_s)
            )
        elif template.options:
            self._options(template, body, reading)
        else:
            self._flows(template, body, reading)

    def _flows(self, template: Template, body: _Body, reading: _Reading, shift: int = 0) -> None:
        domain, moment, prefix, found = reading.domain, reading.moment, reading.prefix, reading.found
        if reading.version != V5:
            moment.sampling = domain.sampling
        if domain.boot_ms is not None:
            moment.uptime_ms = moment.export_us // 1000 - domain.boot_ms
        for offset, values in template.records(*body):
            reading.records += 1
            if template.is_flow:
                found.append(line(f"{prefix}{offset + shift:04x}", values, moment, template))
            else:
                self.counts.not_a_flow += 1

    def _options(self, template: Template, body: _Body, reading: _Reading) -> None:
        """Read what an exporter tells of itself: its sampling, and when it began."""
        domain = reading.domain
        for _, values in template.records(*body):
            reading.records += 1
            before = (domain.boot_ms, domain.sampling, domain.samplers.copy())
            boot_ms, sampler, sampling = values[_PLACE["boot_ms"]], values[_PLACE["sampler"]], _sampling(values)
            if boot_ms is not None:
                domain.boot_ms = boot_ms
            if sampling is not None and sampler is None:
                domain.sampling = sampling
            elif sampling is not None and (sampler in domain.samplers or len(domain.samplers) < self._limits.samplers):
                domain.samplers[sampler] = sampling
            self.changed |= before != (domain.boot_ms, domain.sampling, domain.samplers)

    # ── templates ────────────────────────────────────────────────────────────────────────────────────────────────

    def _templates(self, body: _Body, reading: _Reading, *, options: bool) -> None:
        """Learn, and withdraw, what one set of templates tells.

        Raises:
            ParseError: one of them makes no sense, or is cut.
            struct.error: the same.
        """
        whole, at, end = body
        whole, ipfix = whole[:end], reading.version == IPFIX
        while end - at >= _SET.size:
            kind, count = _SET.unpack_from(whole, at)
            at += _SET.size
            if ipfix and not count:
                self.changed |= self._exporters.withdraw(reading.domain, kind)
                continue
            if kind < _FIRST_DATA:
                return  # padding
            scope = 0
            if options:
                (scope,) = struct.unpack_from("!H", whole, at)
                at += 2
                if not ipfix:  # v9 tells the lengths of both parts, IPFIX how many fields in all
                    scope, count = count // 4, (count + scope) // 4
            fields, at = fields_of(whole, at, count, enterprises=ipfix)
            if not ipfix:  # the numbers of its scopes are a list of their own (RFC 3954, section 6.1)
                fields[:scope] = [Field(0, field.length) for field in fields[:scope]]
            self._learn(kind, Template(fields, options=options), reading)

    def _learn(self, kind: int, template: Template, reading: _Reading) -> None:
        domain = reading.domain
        self.changed |= self._exporters.learn(domain, kind, template)
        for held in self._exporters.waiting.come(domain, kind):
            late = _Reading(domain, reading.version, held.moment, held.prefix, 0.0, reading.found)
            try:
                if template.options:
                    self._options(template, (held.body, 0, len(held.body)), late)
                else:
                    self._flows(template, (held.body, 0, len(held.body)), late, shift=held.start)
            except ParseError:
                self.counts.malformed += 1

    # ── over a restart and at the end ────────────────────────────────────────────────────────────────────────────

    def state(self, exporter: str) -> bytes | None:
        """See Exporters.state."""
        return self._exporters.state(exporter)

    def restore(self, exporter: str, state: bytes) -> None:
        """See Exporters.restore."""
        self._exporters.restore(exporter, state)

    def give_up(self) -> None:
        """Count as lost what still waits for its template."""
        self._exporters.waiting.give_up()
        self.counts.lost = self._exporters.waiting.lost


def _sampling(values: Values) -> int | None:
    """One packet in how many, however the exporter tells it (RFC 5477, section 8.2)."""
    interval: int | None = values[_PLACE["sampling"]]
    taken, skipped = values[_PLACE["sampled_packets"]], values[_PLACE["skipped_packets"]]
    if interval is None and taken and skipped is not None:
        interval = (taken + skipped) // taken
    return interval


def _prefix(exporter: str, datagram: bytes) -> str:
    """What the uids of a datagram's flows begin with: the same datagram again gives the same ones."""
    return "C" + blake2b(datagram, digest_size=7, key=exporter.encode()).hexdigest()
