"""Scores parsers and rules on real log lines that others have judged (fail2ban's test files, GPL: read, never copied).

A row says of one line whether its service refused or was attacked by somebody, and by which host. Ours says the same by
two facts: the address that the event carries, and whether a shipped single-event rule matches it, successes aside.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from socmon import parsers
from socmon.addresses import address
from socmon.errors import ParseError
from socmon.event import Event, Record, Source
from socmon.sigma import RuleSet

SERVICES = ("sshd", "postfix", "dovecot", "apache", "nginx")
ORACLE = Path("logs", "logs", "fail2ban.jsonl")
_NOW_US = 1_800_000_000_000_000


class Row(Struct, frozen=True):
    """One judged line, and what socmon makes of it.

    Attributes:
        place: file and line of the oracle, which is how a difference is named.
        host: what the oracle states as the origin, in one spelling where it is an address; "" if it states none.
        stated: the line itself holds the host.
        found: the address that our event carries; "" if it carries none.
        matched: a shipped rule matches what is no success.
        parsed: some format fits.
    """

    service: str
    place: str
    line: str
    expected: bool
    host: str
    stated: bool
    found: str
    matched: bool
    parsed: bool
    action: str = ""

    @property
    def differs(self) -> bool:
        """Whether we judge otherwise."""
        return self.matched is not self.expected

    @property
    def host_differs(self) -> bool:
        """Whether a host that the line states, and that is an address, is not the one we found."""
        return self.expected and self.stated and self.found != self.host


class Score(Struct):
    """Of one service, or of all."""

    rows: int = 0
    hosts: int = 0
    hosts_agree: int = 0
    positive: int = 0
    recalled: int = 0
    negative: int = 0
    passed: int = 0

    def add(self, row: Row) -> None:
        """Count one row."""
        self.rows += 1
        if row.expected:
            self.positive += 1
            self.recalled += row.matched
            if row.stated:
                self.hosts += 1
                self.hosts_agree += not row.host_differs
        else:
            self.negative += 1
            self.passed += not row.matched


def rows(data: Path, rules: RuleSet) -> Iterator[Row]:
    """The annotated rows of our services, judged; `data` is a folder laid out as SOCMON_DATA."""
    text = (data / ORACLE).read_text(encoding="utf-8")
    for told in map(json.loads, text.splitlines()):
        service = told["file"].partition("-")[0]
        if service in SERVICES and told["annotated"]:
            yield _row(service, told, rules)


def _row(service: str, told: dict[str, Any], rules: RuleSet) -> Row:
    line, expected = told["line"], told["expected"]
    event = _event(line)
    stated = str(expected.get("host") or "")
    host = address(stated) or ""
    fields = event.fields if event else {}
    return Row(
        service=service,
        place=f"{told['file']}:{told['lineno']}",
        line=line,
        expected=bool(expected["match"]),
        host=host or stated,
        stated=bool(host) and stated in line,
        found=str(fields.get("src_ip") or fields.get("c-ip") or ""),
        matched=bool(event and fields.get("outcome") != "success" and rules.match(fields, event.logsource)),
        parsed=event is not None,
        action=str(fields.get("action") or fields.get("outcome") or ""),
    )


def _event(line: str) -> Event | None:
    record = Record(line.encode("utf-8", "surrogateescape"), Source("conformance", "fail2ban"), _NOW_US)
    try:
        return parsers.parse(record)
    except ParseError:
        return None


def scores(judged: Sequence[Row]) -> dict[str, Score]:
    """By service, and `all`."""
    found: dict[str, Score] = {}
    for row in judged:
        for name in (row.service, "all"):
            found.setdefault(name, Score()).add(row)
    return found
