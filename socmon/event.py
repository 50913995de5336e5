"""What flows through socmon: Record → Event → Match → Alert.

Times are integers, microseconds since 1970-01-01 UTC (`…_us`): windows are compared exactly, and a struct stays cheap.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, Literal

from msgspec import Struct

from socmon.addresses import address

SECOND_US = 1_000_000
# Collector, format and log source product of socmon's own records; nothing in a configuration may be called so.
OWN = "socmon"
# Log source product, and format, of what is told of packets and flows under the names that Zeek's logs have.
ZEEK = "zeek"
# Log source product of Windows' events.
WINDOWS = "windows"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Level = Literal["informational", "low", "medium", "high", "critical"]
LEVELS: tuple[Level, ...] = ("informational", "low", "medium", "high", "critical")

TimeKnown = Literal["stated", "year_inferred", "received", "future_replaced", "unknown"]


def to_us(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime."""
    return (moment - _EPOCH) // _MICROSECOND


def rfc3339(time_us: int) -> str:
    """`2026-11-22T17:05:10.412Z`: UTC, with the fraction only as long as it needs to be (RFC 3339, section 5.6)."""
    text = (_EPOCH + timedelta(microseconds=time_us)).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return text.rstrip("0").rstrip(".") + "Z"


class Source(Struct, frozen=True):
    """Where records come from, and how their bytes are to be read. Settled by intake, kept in the journal.

    Attributes:
        collector: the component's name in the configuration.
        peer: the path of a file, or the address of a sender.
        format: name of a parser, or "auto" until intake has settled it.
        chosen: how the format was settled: by the setting, or detected from the first records.
        zone: IANA time zone of stamps that state none.
        authenticated: False where anyone could have written the peer's address (plain UDP).
    """

    collector: str
    peer: str
    format: str = "auto"
    chosen: Literal["setting", "detected"] = "setting"
    zone: str = "UTC"
    authenticated: bool = True


class Record(Struct, frozen=True, gc=False):
    """Bytes as they were collected, framing removed.

    Attributes:
        data: the message; several joined lines keep their newlines.
        received_us: when socmon got it.
        position: (stream, opaque bytes), what the collector needs to go on after this record; None if it cannot seek. A
            stream belongs to one peer: of several peers one may have to wait over its quota, and go after the others.
        anchor_us: the moment that dates a stamp without a year: None means `received_us`; for bytes that a file held
            when first opened, the file's modification time.
        count: how many collected records were joined into this one.
        seq: the journal's sequence number, from 1, without holes; 0 until it is written.
    """

    data: bytes
    source: Source
    received_us: int
    position: tuple[str, bytes] | None = None
    anchor_us: int | None = None
    count: int = 1
    seq: int = 0

    @property
    def dated_by_us(self) -> int:
        """The anchor, or the received time where there is none."""
        return self.received_us if self.anchor_us is None else self.anchor_us


class LogSource(Struct, frozen=True, cache_hash=True):
    """Sigma's log source; None where it says nothing. What is known of each is looked up for every event."""

    product: str | None = None
    category: str | None = None
    service: str | None = None


# Field name → entity kind. One table, so that every parser's `src_ip` means the same thing to an analyst.
ENTITY_FIELDS: Mapping[str, str] = {
    "src_ip": "ip",
    "dst_ip": "ip",
    "user": "user",
    "target_user": "user",
    "c-ip": "ip",
    "cs-username": "user",
}
# The same of Zeek's logs: elsewhere these names mean something else. An `ip` is an address, a `domain` is none.
_ZEEK_ENTITY_FIELDS: Mapping[str, str] = {
    **ENTITY_FIELDS,
    **dict.fromkeys(("id.orig_h", "id.resp_h", "answers"), "ip"),
    **dict.fromkeys(("query", "server_name", "host"), "domain"),
    **dict.fromkeys(("ja3", "ja4", "md5", "sha1", "sha256"), "hash"),
}
# The same of Windows' events, by the names that Security, System and Sysmon give; `Hashes` holds several.
_WINDOWS_ENTITY_FIELDS: Mapping[str, str] = {
    **dict.fromkeys(("User", "ParentUser", "SourceUser", "TargetUser", "SubjectUserName", "TargetUserName"), "user"),
    **dict.fromkeys(("AccountName", "SamAccountName", "MemberName"), "user"),
    **dict.fromkeys(("IpAddress", "SourceIp", "DestinationIp", "SourceAddress", "DestAddress", "ClientAddress"), "ip"),
    **dict.fromkeys(("Workstation", "WorkstationName", "SourceHostname", "DestinationHostname"), "host"),
    **dict.fromkeys(("Hashes", "Hash", "md5", "sha1", "sha256"), "hash"),
    "QueryName": "domain",
}
_HASH = re.compile(r"(?:[A-Z0-9]{2,10}=)?((?:[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}))", re.ASCII)
_MOST_HASHES = 8
_ADDRESS = {"ip": True, "domain": False}  # whether what is of this kind is an address

# What the inventory of assets says of an event, for rules. No message can state them: they are taken out of it.
OWN_FIELDS = ("socmon.agency", "socmon.system", "socmon.system_level")
# By which collector a record came, and from whom: an address, a path, a topic. No message can state these either.
SOURCE_FIELDS = ("socmon.collector", "socmon.peer")


class Owner(Struct, frozen=True):
    """Whose something is, as the inventory of assets says.

    Attributes:
        agency: its id; "" where the inventory names none.
        system: id of one of the agency's systems; "" where only the agency is known.
        system_level: the system's security level, 1 to 5; None where none was assigned.
    """

    agency: str = ""
    system: str = ""
    system_level: int | None = None


NOBODY = Owner()


class Event(Struct, gc=False):  # fields are read from bytes: no cycle goes through them
    """A parsed record.

    Attributes:
        time_us: event time, UTC; None only where no anchor could date it (standard input without `--year`).
        time_known: how the time is known.
        host: the host the event happened on, as the message states it; "" if unstated.
        fields: in Sigma's taxonomy for the log source.
        repeat: "message repeated N times" stands for N events; event_count and `Alert.count` add it.
        owner: whose it is, once that was asked for: of every event that matches a rule.
        ahead_us: how far the stated time was ahead of the receipt, where that has replaced it.
        verbatim: all fields stand in the record, but for escapes of JSON, forms of numbers, and a `message` that is
            joined of them by spaces.
    """

    record: Record
    time_us: int | None
    time_known: TimeKnown
    host: str
    logsource: LogSource
    fields: dict[str, Any]
    repeat: int = 1
    owner: Owner = NOBODY
    ahead_us: int = 0
    verbatim: bool = False

    @property
    def entities(self) -> dict[str, list[str]]:
        """{kind: distinct values}, kinds ip, user, host, domain, hash, agency; empty kinds are left out."""
        found: dict[str, list[str]] = {"host": [self.host]} if self.host else {}
        if self.owner.agency:
            found["agency"] = [self.owner.agency]
        fields, product = self.fields, self.logsource.product
        if product in {ZEEK, WINDOWS}:
            listed = _zeek_entities if product == ZEEK else _windows_entities
            for kind, text in listed(fields):
                if text not in (values := found.setdefault(kind, [])):
                    values.append(text)
            return found
        for name, kind in ENTITY_FIELDS.items():
            if value := fields.get(name):
                text, values = str(value), found.setdefault(kind, [])
                if text not in values:
                    values.append(text)
        return found


def show_source(event: Event) -> None:
    """Give rules the fields that tell where a record came from, in place of what it says under their names."""
    source = event.record.source
    event.fields.update(zip(SOURCE_FIELDS, (source.collector, source.peer), strict=True))


def _zeek_entities(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, kind in _ZEEK_ENTITY_FIELDS.items():
        value = fields.get(name)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str) and one and (kind not in _ADDRESS or _is_address(one) is _ADDRESS[kind]):
                yield kind, one


def _windows_entities(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What an event names; `-` is Windows' word for nothing, and what is no address is no `ip`."""
    for name, kind in _WINDOWS_ENTITY_FIELDS.items():
        value = fields.get(name)
        if not isinstance(value, str) or value in {"", "-"}:
            continue
        if kind == "ip":
            if (found := address(value.partition("%")[0])) and not ip_address(found).is_unspecified:
                yield kind, found
        elif kind == "hash":
            for part in value.split(",", _MOST_HASHES)[:_MOST_HASHES]:
                if (digest := _HASH.fullmatch(part.strip())) and digest[1].strip("0"):  # all 0: there is none
                    yield kind, digest[1].lower()
        else:
            yield kind, value


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class Match(Struct, gc=False):
    """An event, and the ids of the single-event rules that it matches.

    Attributes:
        high_us: the greatest event time of the event's clock (see `clock_of`) in its batch, up to and with this event.
    """

    event: Event
    rules: Sequence[str]
    high_us: int


def clock_of(event: Event) -> tuple[str, str, str]:
    """(collector, peer, host): one watermark each, so that a relay's slow host is late only against itself."""
    source = event.record.source
    return (source.collector, source.peer, event.host)


class Evidence(Struct, frozen=True):
    """One event behind an alert, as it can be shown and checked years later.

    Attributes:
        seq: its journal sequence.
        raw: the record's bytes as text (UTF-8, undecodable bytes as backslash escapes).
        sha256: of all the record's bytes, in hex.
        fields: the fields that the rule reads, with this event's values.
        cut: `raw` is only the beginning of a long record; the journal has the whole.
    """

    seq: int
    time_us: int
    host: str
    collector: str
    peer: str
    raw: str
    sha256: str
    fields: dict[str, Any]
    cut: bool = False


class ReportDuty(Struct, frozen=True):
    """What must be reported of an alert next (Decree 331/2026, article 31.2.d, as settings).

    Attributes:
        kind: first: a notice; detailed: cause, scope and remedy; final: how it ended; none: nothing is due.
        reason: which setting asks for it, or why nothing is due.
        due_us: by when; None where no time is set.
    """

    kind: Literal["first", "detailed", "final", "none"]
    reason: str
    due_us: int | None = None


class Alert(Struct):
    """A rule that fired for one group.

    Attributes:
        id: UUID, stable for ever (docs/semantics.md, "Alert identity and joining").
        group: {field: value}, the group-by fields, or the host for a rule without correlation.
        count: events in it, repeats added.
        revision: matches joined; only grows.
        opened_seq: journal sequence of the match that opened it.
        approximate: True when bounded state had to drop members inside a window.
        agency, system, system_level: of the event that opened it; `entities` lists further agencies.
        status: open, acknowledged or closed; it and what follows is the analysts', and detection never touches it.
        analyst_revision: changes made by people; `revision + analyst_revision` orders what is sent upward.
        reason: why it was closed: tp, fp, benign or duplicate; "" while it is not.
        status_by: who gave it its status; "" while nobody has.
        recurring: it is closed, and matches have joined it since.
        t0_us: when the clocks of its reports started; None where it was not read from a store. Never moves (ADR 96).
        evidence: the first and last 20 events, in sequence order.
        duty: what must be reported of it; on the way to a destination only.
        received_us: when the event that opened it was received; on the way to the store only, and only the first time.
    """

    id: str
    rule_id: str
    title: str
    level: Level
    tags: list[str]
    group: dict[str, str]
    first_us: int
    last_us: int
    count: int
    revision: int
    opened_seq: int
    approximate: bool = False
    host: str = ""
    agency: str = ""
    system: str = ""
    system_level: int | None = None
    entities: dict[str, list[str]] = {}
    status: str = "open"
    analyst_revision: int = 0
    reason: str = ""
    status_by: str = ""
    recurring: bool = False
    t0_us: int | None = None
    evidence: list[Evidence] = []
    received_us: int | None = None
    duty: ReportDuty | None = None

    def opening(self, fresh: Sequence[int]) -> tuple[int, ...]:
        """The sequence of the event that opened it, the first time that it is stored; events that join come later.

        Args:
            fresh: sequences of events that are not stored yet, in order.
        """
        return (self.opened_seq,) if fresh and fresh[0] <= self.opened_seq else ()
