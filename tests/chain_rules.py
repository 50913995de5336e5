"""What the reference of correlations speaks of, as rules that were loaded from text and as events of the engine."""

import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import yaml
from chain_kit import Alerted, Key, Seen, Spec
from correlation_kit import INCARNATION, START_US

from socmon.event import SECOND_US, Alert, Event, LogSource, Match, Record, Source, clock_of
from socmon.sigma import RuleSet
from socmon.sigma.correlator import Correlator
from socmon.sigma.joining import Limits
from socmon.sigma.ruleset import parse_rules

A, B, C = "rule_a", "rule_b", "rule_c"
# A rule that no correlation uses alerts itself, by host.
SINGLE = tuple(Spec(name, "rule", (name,), ("host",)) for name in (A, B, C))


def id_of(name: str) -> str:
    return str(uuid.uuid5(INCARNATION, name))


def document_of(spec: Spec) -> dict[str, Any]:
    """A Sigma document; what may be left out is left out."""
    head = {"title": spec.id, "id": id_of(spec.id), "name": spec.id}
    if spec.type == "rule":
        detection = {"seen": {"a": "b"}, "condition": "seen"}
        return head | {"logsource": {"product": "test"}, "detection": detection}
    condition: dict[str, Any] = {op: yaml.safe_load(str(value)) for op, value in spec.comparisons}
    if spec.fields:
        condition["field"] = spec.fields[0] if len(spec.fields) == 1 else list(spec.fields)
    if spec.percentile is not None:
        condition["percentile"] = yaml.safe_load(spec.percentile)
    section = {
        "type": spec.type,
        "rules": list(spec.over),
        "group-by": list(spec.group_by),
        "timespan": f"{spec.span}s",
        "condition": condition,
        "aliases": {alias: dict(names) for alias, names in spec.aliases},
        "generate": spec.generate,
    }
    return head | {"correlation": {key: value for key, value in section.items() if value}}


@lru_cache(maxsize=64)
def rules_of(specs: tuple[Spec, ...]) -> RuleSet:
    return parse_rules("chain.yml", yaml.safe_dump_all(map(document_of, specs)).encode())


def event_of(seen: Seen) -> Event:
    time_us = START_US + seen.at * SECOND_US
    record = Record(b"x", Source("logs", "peer"), time_us, seq=seen.seq)
    return Event(record, time_us, "stated", seen.source, LogSource(), dict(seen.fields), repeat=seen.repeat)


def feed(correlator: Correlator, batch: Sequence[Seen]) -> None:
    """One batch of the journal; what matches nothing only tells the time."""
    matches: list[Match] = []
    highs: dict[tuple[str, str, str], int] = {}
    for seen in batch:
        event = event_of(seen)
        assert event.time_us is not None
        clock = clock_of(event)
        highs[clock] = max(event.time_us, highs.get(clock, event.time_us))
        if seen.rules:
            matches.append(Match(event, [id_of(name) for name in sorted(seen.rules)], highs[clock]))
    correlator.process(matches, highs)


Shown = tuple[int, int, int, int, int, frozenset[int]]


def shown(alerts: Mapping[tuple[str, Key], Sequence[Alerted]]) -> dict[tuple[str, Key], list[Shown]]:
    """The reference's alerts: sequence of the opening, count, revision, first, last, sequences."""
    found = {}
    for (name, key), opened in alerts.items():
        rows = [
            (
                one.opened.seq,
                sum(event.repeat for event in one.events),
                one.revision,
                min(event.at for event in one.events),
                max(event.at for event in one.events),
                frozenset(event.seq for event in one.events),
            )
            for one in opened
        ]
        if rows:
            found[id_of(name), key] = sorted(rows, key=lambda row: row[0])
    return found


def told(taken: Sequence[tuple[Alert, list[int]]]) -> dict[tuple[str, Key], list[Shown]]:
    """The engine's alerts in the same form; it keeps all events (`keep_events` None)."""
    found: dict[tuple[str, Key], list[Shown]] = {}
    for alert, seqs in taken:
        first, last = ((time_us - START_US) // SECOND_US for time_us in (alert.first_us, alert.last_us))
        row = (alert.opened_seq, alert.count, alert.revision, first, last, frozenset(seqs))
        found.setdefault((alert.rule_id, tuple(alert.group.values())), []).append(row)
    return {key: sorted(rows, key=lambda row: row[0]) for key, rows in found.items()}


def limits_of(**settings: int | None) -> Limits:
    """Times in seconds, as `lateness=5`; counts as they are."""
    counts = {name: settings.pop(name) for name in ("max_groups", "max_members", "keep_events") if name in settings}
    times = {f"{name}_us": value * SECOND_US for name, value in settings.items() if value is not None}
    return Limits(**times, **counts)  # type: ignore[arg-type]  # each is of its own type
