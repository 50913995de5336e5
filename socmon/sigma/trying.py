"""Runs the test cases that stand beside rules, through parsers, rules and correlator as the daemon does. Pure."""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct, to_builtins

from socmon import parsers
from socmon.errors import ParseError
from socmon.event import SECOND_US, Event, Match, Record, Source, clock_of, show_source
from socmon.sigma.cases import SUFFIX, Case, ExpectedAlert, Placed
from socmon.sigma.correlator import Correlator
from socmon.sigma.rule import Rule
from socmon.sigma.ruleset import RuleSet

_INCARNATION = uuid.UUID(int=0)  # alert ids are not shown: they belong to a journal


class Failure(Struct, frozen=True):
    """A case that came to something else than it says.

    Attributes:
        line: of its file, where it begins.
        expected, found: `matches` and `alerts`, each only where they differ; found `unparsed` is a line's error.
    """

    path: str
    line: int
    case: str
    expected: dict[str, Any]
    found: dict[str, Any]


def case_files(path: Path) -> list[Path]:
    """The files of cases in a folder, beside a file of rules, or `path` itself if it is one; sorted."""
    if path.is_dir():
        return sorted(path.rglob(f"*{SUFFIX}"))
    file = path if path.name.endswith(SUFFIX) else path.with_name(path.stem + SUFFIX)
    return [file] if file.exists() else []


def events_of(case: Case) -> list[Event]:
    """The events of a case, in order, with sequences from 1.

    Raises:
        ParseError: a line is not in its format.
    """
    source = Source(collector="cases", peer="case", format=case.format)
    records = [Record(line.encode(), source, received_us=0, seq=n) for n, line in enumerate(case.lines, 1)]
    events = [parsers.parse(record, year=case.year) for record in records]
    for event in events:
        show_source(event)
    for number, given in enumerate(case.events, len(events) + 1):
        record = Record(repr(given.fields).encode(), source, received_us=0, seq=number)
        events.append(Event(record, int(given.at_s * SECOND_US), "stated", given.host, given.logsource, given.fields))
    return events


def matches_of(rules: RuleSet, case: Case) -> dict[str, int]:
    """Title of each rule that matches → events that it matches. Every rule sees every event.

    Raises:
        ParseError: a line is not in its format.
    """
    matched = [rule_id for event in events_of(case) for rule_id in rules.match(event.fields, event.logsource)]
    return dict(Counter(rules.by_id[rule_id].title for rule_id in matched))


def alerts_of(rules: RuleSet, case: Case) -> list[ExpectedAlert]:
    """The alerts that the events of a case end in, in order of their text.

    Raises:
        ParseError: a line is not in its format.
    """
    correlator = Correlator(rules.rules, _INCARNATION)
    for event in events_of(case):
        if event.time_us is not None:
            match = Match(event, rules.match(event.fields, event.logsource), event.time_us)
            correlator.process([match], {clock_of(event): event.time_us})
    return sorted((ExpectedAlert(a.title, a.group, a.count) for a, _ in correlator.take_alerts()), key=repr)


def failure(rules: RuleSet, placed: Placed) -> Failure | None:
    """What is wrong with a case; None if it comes to what it says."""
    case = placed.case
    expected: dict[str, Any] = {}
    found: dict[str, Any] = {}
    try:
        matches, alerts = matches_of(rules, case), alerts_of(rules, case)
    except ParseError as error:
        found["unparsed"] = str(error)
    else:
        if matches != case.matches:
            expected["matches"], found["matches"] = case.matches, matches
        wanted = sorted(case.alerts, key=repr)
        if alerts != wanted:
            expected["alerts"], found["alerts"] = to_builtins(wanted), to_builtins(alerts)
    return Failure(placed.path, placed.line, case.name, expected, found) if found else None


def untried(rules: Iterable[Rule], cases: Iterable[Case]) -> Iterator[Rule]:
    """The rules that no case says to match or to alert.

    Correlations that only feed others are left out: they come to nothing that a case could say.
    """
    titles = {title for case in cases for title in (*case.matches, *(alert.rule for alert in case.alerts))}
    for rule in rules:
        if rule.title not in titles and (rule.alerts or rule.correlation is None):
            yield rule
