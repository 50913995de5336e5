"""What tests of correlation build on: a rule pair, events made by hand, and a brute-force reference."""

import uuid
from collections.abc import Iterable, Sequence

from socmon.event import SECOND_US, Event, LogSource, Match, Record, Source, clock_of
from socmon.sigma import Correlation, Rule
from socmon.sigma.correlator import Correlator
from socmon.sigma.joining import Limits
from socmon.sigma.rule import CountOp

BASE = "11111111-1111-4111-8111-111111111111"
BURST = "22222222-2222-4222-8222-222222222222"
INCARNATION = uuid.UUID(int=7)
START_US = 1_700_000_000 * SECOND_US


def rule(rule_id: str, *, correlation: Correlation | None = None, alerts: bool = True, rule_hash: str = "h") -> Rule:
    return Rule(
        id=rule_id,
        title=rule_id[:4],
        name=None,
        level="high",
        tags=(),
        logsource=LogSource(),
        path="test.yml",
        line=1,
        hash=rule_hash,
        alerts=alerts,
        correlation=correlation,
    )


def burst_rules(
    *,
    value: int = 5,
    op: CountOp = "gte",
    timespan_s: int = 60,
    rule_hash: str = "h",
    group_by: tuple[str, ...] = ("src_ip",),
) -> list[Rule]:
    """One base rule and one event_count over it."""
    correlation = Correlation(
        type="event_count",
        rules=(BASE,),
        group_by=group_by,
        timespan_us=timespan_s * SECOND_US,
        op=op,
        value=value,
        aliases=(),
        generate=False,
    )
    base = rule(BASE, alerts=False)
    return [base, rule(BURST, correlation=correlation, rule_hash=rule_hash)]


def event(
    seq: int, at_s: float, *, ip: str | None = "10.0.0.1", host: str = "web", peer: str = "a", repeat: int = 1
) -> Event:
    """A failure at `at_s` seconds after an arbitrary start."""
    time_us = START_US + round(at_s * SECOND_US)
    record = Record(b"x", Source("logs", peer), time_us, seq=seq)
    fields = {} if ip is None else {"src_ip": ip}
    return Event(record, time_us, "stated", host, LogSource(), fields, repeat=repeat)


def feed(correlator: Correlator, events: Iterable[Event]) -> None:
    """One batch of matches."""
    highs: dict[tuple[str, str, str], int] = {}
    matches = []
    for item in events:
        assert item.time_us is not None
        clock = clock_of(item)
        highs[clock] = max(item.time_us, highs.get(clock, item.time_us))
        matches.append(Match(item, [BASE], highs[clock]))
    correlator.process(matches, highs)


def made(rules: list[Rule], limits: Limits | None = None) -> Correlator:
    return Correlator(rules, INCARNATION, limits)


def brute_force(events: Sequence[Event], *, value: int, timespan_s: int) -> dict[str, set[int]]:
    """Per address, the sequences of every event in any window (of [t − timespan, t]) that holds `value` or more."""
    found: dict[str, set[int]] = {}
    for last in events:
        assert last.time_us is not None
        window = [
            other
            for other in events
            if other.fields["src_ip"] == last.fields["src_ip"]
            and other.time_us is not None
            and last.time_us - timespan_s * SECOND_US <= other.time_us
            and (other.time_us, other.record.seq) <= (last.time_us, last.record.seq)
        ]
        if sum(other.repeat for other in window) >= value:
            found.setdefault(last.fields["src_ip"], set()).update(other.record.seq for other in window)
    return found
