"""What the reference of correlations speaks of, as the engine's own rules and matches."""

from collections.abc import Sequence
from typing import Any

from chain_kit import Seen, Spec
from correlation_kit import START_US, rule

from socmon.event import SECOND_US, Event, LogSource, Match, Record, Source, clock_of
from socmon.sigma import Correlation, Rule
from socmon.sigma.correlator import Correlator

A, B, C = "rule-a", "rule-b", "rule-c"


def rules_of(specs: Sequence[Spec], *, quiet: frozenset[str] = frozenset()) -> list[Rule]:
    made = [rule(base, alerts=False) for base in (A, B, C)]
    for spec in specs:
        comparisons: Any = spec.comparisons or (("gte", len(spec.over)),)
        correlation = Correlation(
            type=spec.type,  # type: ignore[arg-type]  # the reference has words of its own
            rules=spec.over,
            group_by=spec.group_by,
            timespan_us=spec.span * SECOND_US,
            op=comparisons[0][0],
            value=comparisons[0][1],
            also=comparisons[1:],
            fields=spec.fields,
        )
        made.append(rule(spec.id, correlation=correlation, alerts=spec.id not in quiet))
    return made


def event_of(seen: Seen) -> Event:
    time_us = START_US + seen.at * SECOND_US
    record = Record(b"x", Source("logs", "peer"), time_us, seq=seen.seq)
    return Event(record, time_us, "stated", "web", LogSource(), dict(seen.fields), repeat=seen.repeat)


def feed(correlator: Correlator, batch: Sequence[Seen]) -> None:
    matches: list[Match] = []
    highs: dict[tuple[str, str, str], int] = {}
    for seen in batch:
        event = event_of(seen)
        assert event.time_us is not None
        clock = clock_of(event)
        highs[clock] = max(event.time_us, highs.get(clock, event.time_us))
        matches.append(Match(event, sorted(seen.rules), highs[clock]))
    correlator.process(matches, highs)
