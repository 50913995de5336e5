"""How alerts look: as rows for programs, and as words, times and colours for people."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING

import click

from socmon.cli.output import Row
from socmon.event import SECOND_US, Alert, rfc3339
from socmon.i18n import Translator, mark
from socmon.text import printable

if TYPE_CHECKING:
    from socmon.cli import Options
    from socmon.sigma import RuleSet

ALERT_COLUMNS = (
    "id", "level", "status", "reason", "recurring", "status_by", "title", "rule_id", "group", "first_seen", "last_seen",
    "count", "revision", "host", "agency", "system", "system_level", "entities", "tags", "approximate",
)  # fmt: skip
SHORT_ID = 8

# What the store holds as words; they are shown by their translations.
WORDS = (
    mark("critical"), mark("high"), mark("medium"), mark("low"), mark("informational"),
    mark("open"), mark("closed"), mark("waiting"), mark("acknowledged"), mark("dead"),
    mark("retried"), mark("recurring"), mark("held"), mark("withdrawn"), mark("dropped"), mark("pending"),
    mark("collector"), mark("forwarder"), mark("user"), mark("domain"), mark("hash"),
)  # fmt: skip

REASON_WORDS = {
    "tp": mark("true positive"),
    "fp": mark("false positive"),
    "benign": mark("benign"),
    "duplicate": mark("duplicate"),
}
_COLORS = {"critical": "bright_red", "high": "red", "medium": "yellow", "low": "cyan", "informational": "bright_black"}


def alert_row(alert: Alert) -> Row:
    """The alert without its evidence, as every JSON and CSV form has it."""
    return {
        "id": alert.id,
        "level": alert.level,
        "status": alert.status,
        "reason": alert.reason,
        "recurring": alert.recurring,
        "status_by": alert.status_by,
        "title": alert.title,
        "rule_id": alert.rule_id,
        "group": alert.group,
        "first_seen": rfc3339(alert.first_us),
        "last_seen": rfc3339(alert.last_us),
        "count": alert.count,
        "revision": alert.revision + alert.analyst_revision,
        "host": alert.host,
        "agency": alert.agency,
        "system": alert.system,
        "system_level": alert.system_level,
        "entities": alert.entities,
        "tags": alert.tags,
        "approximate": alert.approximate,
    }


def moment(time_us: int, zone: tzinfo | None) -> datetime:
    """The time in `zone`; None is this machine's."""
    return datetime.fromtimestamp(time_us // SECOND_US, UTC).astimezone(zone)


def clock(time_us: int, zone: tzinfo | None, *, fine: bool = False) -> str:
    """`2026-11-26 18:07:28 +07:00`; `18:07:28.716` if `fine`. What is left out is cut, not rounded."""
    text = moment(time_us, zone).isoformat(" ")
    milliseconds = f".{time_us % SECOND_US // 1000:03}" if fine else ""
    return f"{text[:19]}{milliseconds} {text[19:]}"


def short_clocks(times_us: Sequence[int], zone: tzinfo | None) -> tuple[str, list[str]]:
    """Without year, and the offset once for all: (offset, times); with both, and no offset, where offsets differ."""
    moments = [moment(time_us, zone) for time_us in times_us]
    offsets = {each.isoformat()[19:] for each in moments}
    if len(offsets) != 1:
        return "", [clock(time_us, zone) for time_us in times_us]
    return offsets.pop(), [f"{each:%m-%d %H:%M:%S}" for each in moments]


def span(age_us: int, tr: Translator) -> str:
    """A length of time in its greatest unit: `3 min`."""
    seconds = max(0, age_us // SECOND_US)
    if seconds < 120:
        return tr("{count} s", count=seconds)
    if seconds < 7200:
        return tr("{count} min", count=seconds // 60)
    if seconds < 172_800:
        return tr("{count} h", count=seconds // 3600)
    return tr("{count} d", count=seconds // 86_400)


def skew(skew_us: int, tr: Translator) -> str:
    """How far a clock is off, with its sign: `+2.1 s`, `−3 h`."""
    sign, size_us = ("−" if skew_us < 0 else "+"), abs(skew_us)
    if size_us < 120 * SECOND_US:
        return sign + tr("{count} s", count=f"{size_us / SECOND_US:.1f}")
    return sign + span(size_us, tr)


def colored_level(text: str, level: str) -> str:
    """`text` in the colour of `level`."""
    return click.style(text, fg=_COLORS.get(level), bold=level in {"critical", "high"})


def status_word(alert: Alert, tr: Translator) -> str:
    """The status for people: a closed alert that matches have joined since is recurring."""
    return tr("recurring" if alert.recurring else alert.status)


def reason_word(reason: str, tr: Translator) -> str:
    """Why an alert was closed, for people."""
    return tr(REASON_WORDS.get(reason, reason))


def tell_refused(options: "Options", rules: "RuleSet", table_problems: Iterable[str] = ()) -> None:
    """Say on standard error what of rules and tables of log sources was refused, and which rules may mean otherwise."""
    for problem in table_problems:
        click.echo(options.tr("log source refused") + f": {printable(problem)}", err=True)
    for error in rules.errors:
        click.echo(options.tr("rule refused") + f": {printable(str(error))}", err=True)
    for warning in [] if options.quiet else rules.warnings:
        click.echo(options.tr("warning") + f": {printable(str(warning))}", err=True)


def about(alert: Alert) -> str:
    """What an alert is grouped by, and where it happened if that does not say it."""
    parts = [f"{name}={value}" for name, value in alert.group.items()]
    if alert.host and alert.host not in alert.group.values():
        parts.append(f"@{alert.host}")
    if alert.agency:
        parts.append(f"({alert.agency})")
    return " ".join(parts)


def alert_line(alert: Alert, tr: Translator, zone: tzinfo | None) -> list[str]:
    """The parts of one line about an alert: time, level, short id, status and whose word that is, count, title, about.

    `recurring` is detection's word, every other the analyst's who gave it.
    """
    by = f" ({alert.status_by})" if alert.status_by and not alert.recurring else ""
    return [
        clock(alert.last_us, zone),
        tr(alert.level),
        alert.id[:SHORT_ID],
        f"{status_word(alert, tr)}{by}",
        f"{alert.count}×",
        tr(alert.title),
        about(alert),
    ]
