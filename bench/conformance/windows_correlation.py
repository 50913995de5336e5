"""Correlation rules on real Windows events: the windows in which they hold, against a second engine's.

The second engine evaluates a rule once for each time at which it has events; its times are those of the events, cut to
milliseconds, and its group values are in lower case. Ours evaluates at each event (docs/semantics.md, "Correlation").
"""

import json
import uuid
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from bench.conformance.windows import FOLDER, event_of, lines_of, name_of
from socmon.errors import ParseError
from socmon.event import Event, Match, clock_of
from socmon.sigma import RuleSet
from socmon.sigma.correlator import Correlator
from socmon.sigma.joining import Limits
from socmon.sigma.measures import Lack
from socmon.sigma.ruleset import parse_rules

ORACLE = FOLDER / "expected_correlation_pysigma_sqlite.jsonl"
SETS = ("regression", "evtx")
RULES = Path("logs", "sigma")
SIBLINGS = "events of one millisecond"
SILENT = "a file that it says nothing of"
OTHER = "not classified"
_INCARNATION = uuid.UUID(int=1)

Group = tuple[tuple[str, str], ...]


class Window(Struct, frozen=True):
    """Where a correlation holds: at an event, over those of its group in the timespan that ends with it.

    Attributes:
        end_ms: event time of the last event, in milliseconds.
        group: names and values of the group-by fields, values in lower case.
        metric: what the condition compares.
        events: lines of the file, from 0.
        recounted: of an event_count, the same by going through all matches of the file; the second engine's are not.
    """

    file: str
    rule_file: str
    end_ms: int
    group: Group
    metric: int
    events: tuple[int, ...]
    recounted: bool = False

    @property
    def told(self) -> tuple[str, str, int, Group, int, tuple[int, ...]]:
        """What both engines say of a window."""
        return self.file, self.rule_file, self.end_ms, self.group, self.metric, self.events

    @property
    def place(self) -> str:
        """Where its last event is."""
        return f"{self.file}:{max(self.events) + 1}"


class Score(Struct):
    """What was compared, and what only one engine has; `extra` by class."""

    files: int
    rules: int
    expected: int
    ours: int
    missing: list[Window]
    extra: dict[str, list[Window]]

    @property
    def is_explained(self) -> bool:
        """Whether nothing is missing, and all that is extra has its class."""
        return not self.missing and OTHER not in self.extra


def rule_files(data: Path) -> dict[str, RuleSet]:
    """The real correlation rules, each file for itself, by its name."""
    folder = data / RULES
    files = [*sorted((folder / "correlation_hayabusa").iterdir()), folder / "correlation_spec_example.yml"]
    return {file.name: parse_rules(file.name, file.read_bytes()) for file in files if file.is_file()}


def expected(data: Path) -> list[Window]:
    """The windows of the second engine."""
    return [_told(json.loads(line)) for line in lines_of(data / ORACLE)]


def _told(row: Mapping[str, Any]) -> Window:
    group = tuple((name, str(value).lower()) for name, value in row["group"].items())
    end_ms = round(1000 * row["window_end"])
    return Window(row["file"], row["rule_file"], end_ms, group, row["metric_value"], tuple(sorted(row["events"])))


def windows(name: str, events: Sequence[Event], rules: RuleSet, rule_file: str, *, whole: bool) -> Iterator[Window]:
    """Ours, one for each event at which a correlation that alerts holds; the events in the order of their times.

    Args:
        whole: state all events of a window, not its last one only, which costs their square.
    """
    correlator = Correlator(rules.rules, _INCARNATION, Limits(keep_events=None if whole else 1, ahead_us=None))
    times = {event.record.seq: event.time_us or 0 for event in events}
    counted = Recount(rules)
    for event in events:
        matched = rules.match(event.fields, event.logsource)
        if not matched or event.time_us is None:
            continue
        counted.add(matched, event.fields, event.time_us)
        correlator.process([Match(event, matched, event.time_us)], {clock_of(event): event.time_us})
        for alert, seqs in correlator.take_alerts():
            rule = rules.by_id[alert.rule_id]
            groups = correlator.reached(event, matched).get(rule.id)
            key = tuple(alert.group.values())
            if rule.correlation is None or groups is None or isinstance(groups, Lack):
                continue  # never: without one, no alert of a correlation has changed
            metric = int(groups[key].number)
            since_us = event.time_us - rule.correlation.timespan_us
            held = (seq - 1 for seq in seqs if times[seq] >= since_us) if whole else (event.record.seq - 1,)
            yield Window(
                file=name,
                rule_file=rule_file,
                end_ms=event.time_us // 1000,
                group=tuple((field, value.lower()) for field, value in alert.group.items()),
                metric=metric,
                events=tuple(sorted(held)),
                recounted=metric == counted.since(rule.id, key, since_us),
            )


class Recount:
    """Counts the events of each group of an event_count over rules, in the plainest way."""

    def __init__(self, rules: RuleSet) -> None:
        counts = [rule for rule in rules.rules if rule.correlation and rule.correlation.type == "event_count"]
        self._counts = [(rule.id, rule.correlation) for rule in counts if rule.correlation]
        self._times: dict[tuple[str, tuple[str, ...]], list[int]] = {}

    def add(self, matched: Sequence[str], fields: Mapping[str, Any], time_us: int) -> None:
        """Count an event, which is none before those that were counted."""
        for rule_id, correlation in self._counts:
            if not set(correlation.rules).isdisjoint(matched):
                group = tuple(str(fields.get(field)) for field in correlation.group_by)
                self._times.setdefault((rule_id, group), []).append(time_us)

    def since(self, rule_id: str, group: tuple[str, ...], since_us: int) -> int:
        """How many there are from a time on."""
        times = self._times.get((rule_id, group), [])
        return len(times) - bisect_left(times, since_us)


def scored(data: Path) -> Score:
    """All rules on all files of the two sets."""
    rules = rule_files(data)
    there = {window.told: window for window in expected(data)}
    every = files(data)
    named = {window.file for window in there.values()}
    ours = {window.told: window for file in every for window in of_file(file, rules, named)}
    extra: dict[str, list[Window]] = {}
    for told in sorted(ours.keys() - there):
        extra.setdefault(class_of(ours[told], there.values()), []).append(ours[told])
    missing = [there[told] for told in sorted(there.keys() - ours)]
    return Score(len(every), len(rules), len(there), len(ours), missing, extra)


def files(data: Path) -> list[Path]:
    """Where the events are."""
    return [file for name in SETS for file in sorted((data / FOLDER / name / "events").glob("*"))]


def of_file(file: Path, rules: Mapping[str, RuleSet], named: Collection[str]) -> Iterator[Window]:
    """Ours of one file; `named` are the files whose windows are to state all their events."""
    name = name_of(file)
    events = sorted(_events(file, name), key=lambda event: (event.time_us or 0, event.record.seq))
    for rule_file, each in rules.items():
        yield from windows(name, events, each, rule_file, whole=name in named)


def _events(file: Path, name: str) -> Iterator[Event]:
    for n, line in enumerate(lines_of(file)):
        try:
            yield event_of(line, name, n)
        except ParseError:
            continue  # counted where the matrix is scored


def class_of(window: Window, there: Collection[Window]) -> str:
    """The class of a window that only socmon has.

    It is of SIBLINGS where the second engine has a window of the same rule, group and millisecond that holds more
    events: it was evaluated once, behind the last of them. It is of SILENT where no rule has any window in the file,
    and the events, counted one by one, are as many as the window says.
    """
    same = (window.file, window.rule_file, window.end_ms, window.group)
    for other in there:
        if (other.file, other.rule_file, other.end_ms, other.group) == same and set(window.events) < set(other.events):
            return SIBLINGS
    is_silent = all(other.file != window.file for other in there)
    return SILENT if is_silent and window.recounted else OTHER


def rows(score: Score) -> Iterator[tuple[str, ...]]:
    """The counts, and a row a class."""
    yield "", "windows", "where", "right", "why"
    yield "expected", f"{score.expected:,}", f"{score.rules} rule files on {score.files} files", "", ""
    yield "ours", f"{score.ours:,}", "", "", ""
    yield "missing", str(len(score.missing)), _places(score.missing), "", ""
    for name, found in score.extra.items():
        yield f"extra: {name}", f"{len(found):,}", _places(found), *_REASONS[name]


def _places(found: Sequence[Window]) -> str:
    """Up to two windows, each with what makes it: the other events are before its last one."""
    shown = (f"{each.place} ({each.metric} of {' '.join(value for _, value in each.group)})" for each in found[:2])
    return ", ".join(shown)


_REASONS = {
    SIBLINGS: (
        "both",
        "“how many events must occur to generate a search hit” (correlation specification, Event Count): at each.",
    ),
    SILENT: (
        "socmon",
        "“Counts events occurring in the given time frame” (correlation specification, Event Count), recounted.",
    ),
    OTHER: ("", "The reason is not known yet."),
}
