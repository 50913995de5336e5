"""All about one alert: why it fired, what it saw, and who has been told."""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from socmon.cli import Options, rule_text
from socmon.cli.output import Row, terminal_width, width_of
from socmon.cli.shown import alert_row, clock, colored_level, reason_word
from socmon.event import Alert, Evidence, rfc3339
from socmon.i18n import Translator
from socmon.store.reading import Delivery, Released
from socmon.text import printable

if TYPE_CHECKING:
    from socmon.store.triage import Entry

_LABEL = 14
_INDENT = " " * 4


def alert_object(
    alert: Alert, rules: Sequence[Path], deliveries: Sequence[Delivery], entries: "Sequence[Entry]"
) -> dict[str, Any]:
    """The alert with its rule's own words, its evidence, deliveries and history, as `-o json` has it."""
    told = rule_text.find(alert.rule_id, alert.title, rules)
    return {
        **alert_row(alert),
        "rule": None if told is None else msgspec.to_builtins(told),
        "evidence": [_evidence_row(item) for item in alert.evidence],
        "deliveries": [_delivery_row(item) for item in deliveries],
        "history": [_entry_row(item) for item in entries],
    }


def _evidence_row(item: Evidence) -> Row:
    return {
        "seq": item.seq,
        "time": rfc3339(item.time_us),
        "host": item.host,
        "collector": item.collector,
        "peer": item.peer,
        "raw": item.raw,
        "cut": item.cut,
        "sha256": item.sha256,
        "fields": item.fields,
    }


def _entry_row(item: "Entry") -> Row:
    return {
        "time": rfc3339(item.time_us),
        "actor": item.actor,
        "verb": item.verb,
        "status_before": item.status_before,
        "status_after": item.status_after,
        "reason": item.reason,
        "text": item.text,
        "analyst_revision": item.analyst_revision,
    }


def _delivery_row(item: Delivery) -> Row:
    pending = None if item.pending_us is None else {"since": rfc3339(item.pending_us), "error": item.error}
    return {
        "destination": item.destination,
        "pending": pending,
        "releases": [_release_row(release) for release in item.releases],
    }


def _release_row(item: Released) -> Row:
    return {
        "revision": item.revision,
        "state": item.state,
        "code": item.code,
        "stream": item.stream,
        "epoch": item.epoch,
        "seq": item.seq,
        "released": rfc3339(item.released_us),
        "settled": None if item.settled_us is None else rfc3339(item.settled_us),
    }


def write_page(
    options: Options, alert: Alert, deliveries: Sequence[Delivery], rules: Sequence[Path], entries: "Sequence[Entry]"
) -> None:
    """The page for people."""
    for line in _page(options, alert, deliveries, rules):
        click.echo(line)
    for line in _history(options, entries):
        click.echo(line)


def _page(options: Options, alert: Alert, deliveries: Sequence[Delivery], rules: Sequence[Path]) -> Iterator[str]:
    tr, zone = options.tr, options.zone
    level = colored_level(printable(tr(alert.level)), alert.level)
    yield f"{click.style(printable(tr(alert.title)), bold=True)}  {level}"
    yield _line(tr("ID"), alert.id)
    yield _line(tr("status"), _status(options, alert))
    yield _line(tr("group"), " ".join(f"{name}={value}" for name, value in alert.group.items()) or "-")
    yield _line(tr("host"), alert.host or "-")
    if alert.agency:
        yield _line(tr("agency"), alert.agency)
    if alert.system:
        level_of_it = "" if alert.system_level is None else tr("level {level}", level=alert.system_level)
        yield _line(tr("system"), f"{alert.system}  {level_of_it}".rstrip())
    yield _line(tr("first event"), clock(alert.first_us, zone))
    yield _line(tr("last event"), clock(alert.last_us, zone))
    count = tr("at least {count}", count=alert.count) if alert.approximate else str(alert.count)
    yield _line(tr("count"), count)
    yield _line(tr("revision"), str(alert.revision + alert.analyst_revision))
    for kind, values in alert.entities.items():
        if values != [alert.host]:  # it stands above
            yield _line(tr(kind), " ".join(values))
    if attack := [_attack(tag.removeprefix("attack.")) for tag in alert.tags if tag.startswith("attack.")]:
        yield _line("ATT&CK", " ".join(attack))
    yield from _why(options, alert, rules)
    yield from _evidence(options, alert)
    yield from _deliveries(options, deliveries)


def _status(options: Options, alert: Alert) -> str:
    tr = options.tr
    words = tr(alert.status)
    if alert.reason:
        words = f"{words} ({reason_word(alert.reason, tr)})"
    if alert.status_by:
        words = tr("{status}, by {actor}", status=words, actor=alert.status_by)
    return tr("{status}; recurring: events have joined it since", status=words) if alert.recurring else words


def _attack(name: str) -> str:
    """A technique as it is written (T1110.001), a tactic as it is tagged."""
    return name.upper() if name[:1] == "t" and name[1:2].isdigit() else name


def _line(label: str, value: str) -> str:
    return f"  {_padded(label)} {printable(value)}"


def _padded(label: str) -> str:
    shown = printable(label)
    return shown + " " * (_LABEL - width_of(shown))


def _heading(text: str) -> Iterator[str]:
    yield ""
    yield click.style(text, bold=True)


def _why(options: Options, alert: Alert, rules: Sequence[Path]) -> Iterator[str]:
    tr = options.tr
    yield from _heading(tr("Why it fired"))
    yield _line(tr("rule"), alert.rule_id)
    told = rule_text.find(alert.rule_id, alert.title, rules)
    if told is None:
        yield "  " + tr("the rule is not among the rules of this configuration any more")
        return
    yield _line(tr("file"), told.path)
    yield from _wrapped(told.description[tr.lang], "  ")
    if possible := told.false_positives[tr.lang]:
        yield "  " + tr("It may be a false alarm:")
        for item in possible:
            yield from _wrapped(item, "  - ")


def _wrapped(text: str, indent: str) -> list[str]:
    width = min(terminal_width() or 100, 100)
    return textwrap.wrap(printable(text), width, initial_indent=indent, subsequent_indent=" " * len(indent))


def _evidence(options: Options, alert: Alert) -> Iterator[str]:
    tr = options.tr
    shown = tr.many("Evidence: {count} event", "Evidence: {count} events", len(alert.evidence))
    yield from _heading(shown)
    for item in alert.evidence:
        origin = f"{item.host or '-'}  {item.collector}:{item.peer}  #{item.seq}"
        yield f"  {click.style(clock(item.time_us, options.zone), fg='cyan')}  {printable(origin)}"
        rest = " … " + tr("(the journal has the rest)") if item.cut else ""
        yield f"{_INDENT}{printable(item.raw)}{rest}"
        if item.fields:
            yield printable(f"{_INDENT}{' '.join(f'{name}={value}' for name, value in item.fields.items())}")
        yield click.style(f"{_INDENT}sha256 {printable(item.sha256)}", fg="bright_black")


def _deliveries(options: Options, deliveries: Sequence[Delivery]) -> Iterator[str]:
    tr, zone = options.tr, options.zone
    yield from _heading(tr("Deliveries"))
    if not deliveries:
        yield "  " + tr("to nobody: no destination was configured when it was stored")
    for item in deliveries:
        for release in item.releases:
            when = clock(release.released_us if release.settled_us is None else release.settled_us, zone)
            what = tr("revision {revision}: {state}", revision=release.revision, state=tr(release.state))
            code = f" ({release.code})" if release.code else ""
            yield _line(item.destination, f"{what}{code}, {when}")
        if item.pending_us is not None:
            what = tr("its newest revision waits to be released since {time}", time=clock(item.pending_us, zone))
            yield _line(item.destination, what)
        if item.error:
            yield _line(item.destination, tr("it cannot be rendered: {error}", error=item.error))


def _history(options: Options, entries: "Sequence[Entry]") -> Iterator[str]:
    tr = options.tr
    if not entries:
        return
    yield from _heading(tr("History"))
    for item in entries:
        at = click.style(clock(item.time_us, options.zone), fg="cyan")
        yield f"  {at}  {printable(f'{item.actor}  {_done(item, tr)}')}"
        for line in item.text.splitlines():
            yield from _wrapped(line, _INDENT)


def _done(item: "Entry", tr: Translator) -> str:
    if item.verb == "comment":
        return tr("commented")
    reason = f" ({reason_word(item.reason, tr)})" if item.reason else ""
    return f"{tr(item.status_before)} → {tr(item.status_after)}{reason}"
