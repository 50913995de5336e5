"""Test cases beside the rules: `NAME.test.yml` says what the rules of `NAME.yml` must find in given lines or events."""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from socmon.errors import ConfigError
from socmon.event import LogSource
from socmon.sigma.documents import Document, read_documents

SUFFIX = ".test.yml"


class CaseEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """An event that is given as its fields, where no parser reads its format yet.

    Attributes:
        at_s: event time, in seconds after the first event's.
        host: the host that it happened on.
    """

    fields: dict[str, Any]
    logsource: LogSource
    at_s: float = 0.0
    host: str = ""


class ExpectedAlert(Struct, frozen=True, forbid_unknown_fields=True):
    """An alert that a case ends in.

    Attributes:
        rule: title of the rule that alerts.
        group: values of its group-by fields; for a rule without correlation, {"host": …}.
        count: events in it.
    """

    rule: str
    group: dict[str, str]
    count: int


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """What goes in, in order, and all that comes out.

    Attributes:
        lines: raw log lines, as a collector would read them.
        events: used instead of lines.
        matches: title of a single-event rule → events that match it; rules left out match nothing.
        alerts: in any order; none beside these.
        year: dates lines whose stamp states no year.
        format: the parser that reads the lines; "auto" tells it from each line.
    """

    name: str
    lines: list[str] = field(default_factory=list)
    events: list[CaseEvent] = field(default_factory=list)
    matches: dict[str, int] = field(default_factory=dict)
    alerts: list[ExpectedAlert] = field(default_factory=list)
    year: int = 2026
    format: str = "auto"


class Placed(Struct, frozen=True):
    """A case, and the line of its file on which it begins, from 1."""

    case: Case
    path: str
    line: int


def load_cases(path: Path) -> list[Placed]:
    """The cases of one file.

    Raises:
        ConfigError: with every problem of the file.
        OSError: the file cannot be read.
    """
    documents, errors = read_documents(str(path), path.read_bytes())
    problems = [str(error) for error in errors]
    cases: list[Placed] = []
    for document in documents:
        stated = document.data.get("cases")
        if document.data.keys() != {"cases"} or not isinstance(stated, list):
            problems.append(str(document.error("a file of cases holds the list `cases:` and nothing else")))
            continue
        for index, one in enumerate(stated):
            _add(cases, one, document, index, problems)
    if problems:
        raise ConfigError(problems)
    return cases


def _add(cases: list[Placed], stated: object, document: Document, index: int, problems: list[str]) -> None:
    try:
        case = msgspec.convert(stated, Case)
    except msgspec.ValidationError as error:
        problems.append(str(document.error(f"case {index + 1}: {str(error)[:200]}", "cases", index)))
        return
    if bool(case.lines) == bool(case.events):
        problems.append(str(document.error(f"case {case.name[:60]!r} needs lines or events", "cases", index)))
    else:
        cases.append(Placed(case, document.path, document.line_of("cases", index)))
