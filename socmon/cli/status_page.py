"""How `socmon status` looks: lines for people, rows of one figure for tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from msgspec import Struct

from socmon.cli import Options
from socmon.cli.feed_pausing import lines as pause_lines
from socmon.cli.locks import Holder
from socmon.cli.output import Column, Row, folded, table, terminal_width, width_of, wrapped
from socmon.cli.shown import clock, colored_level, span
from socmon.event import LEVELS
from socmon.i18n import Message, mark
from socmon.ledger import Account
from socmon.store.figures import Backlog, Figures
from socmon.text import printable

_LEAST_ROOM = 20


class Look(Struct):
    """How things stood at one moment.

    Attributes:
        running: the daemon's process; None if it is down.
        figures: what the store says; None if there is no store.
        warnings: what is wrong, the worst first.
        status: all of it as `socmon.status/v1`.
    """

    now_us: int
    running: Holder | None
    figures: Figures | None
    warnings: Sequence[Message]
    status: dict[str, Any]


def flat(status: dict[str, Any]) -> Iterator[Row]:
    """A row for each figure."""
    store = status["store"] or {}
    sections: list[tuple[str, str, dict[str, Any]]] = [("daemon", "", status["daemon"])]
    sections += [("warning", warning["code"], warning) for warning in status["warnings"]]
    sections += [("store", "", {name: store[name] for name in ("frame", "stored") if name in store})]
    sections += [("alerts", "", store.get("alerts", {}))]
    for section in ("collectors", "destinations"):
        sections += [(section.removesuffix("s"), item["name"], item) for item in store.get(section, [])]
    for section, name, fields in sections:
        # What a row is called by already; a warning is by its code, and may tell of something with a name.
        known = "code" if section == "warning" else "name"
        for field, value in fields.items():
            if field != known:
                yield {"section": section, "name": name, "field": field, "value": value}


def page(options: Options, look: Look, rates: Mapping[str, float] | None = None) -> Iterator[str]:
    """The lines that people read; `rates`, records a second by collector, as far as they are known."""
    tr = options.tr
    backlogs = () if look.figures is None else look.figures.backlogs
    paused = {each.paused.destination: each.paused for each in backlogs if each.paused is not None}
    for warning, told in zip(look.warnings, look.status["warnings"], strict=True):
        # Programs are told the end in UTC; people in their own time, and what goes on.
        pause = paused.get(told.get("name", "")) if told["code"] == "paused" else None
        text = tr(warning) if pause is None else next(pause_lines([pause], tr, options.zone))
        yield from _warning(tr("warning"), printable(text))
    if look.warnings:
        yield ""
    if look.running is None:
        yield tr("daemon: down")
    else:
        since = clock(look.running.since_us, options.zone)
        yield from folded(tr("daemon: process {pid}, runs since {since}", pid=look.running.pid, since=since))
    if look.figures is not None:
        yield from _store(options, look.figures, look.now_us, rates)


def _warning(word: str, text: str) -> Iterator[str]:
    width, told = terminal_width(), click.style(word, fg="red", bold=True)
    hang = " " * (width_of(word) + 2)
    lines = [text] if width is None else wrapped(text, max(_LEAST_ROOM, width - len(hang)))
    for number, line in enumerate(lines):
        yield f"{hang if number else told + '  '}{line}"


def _store(options: Options, figures: Figures, now_us: int, rates: Mapping[str, float] | None) -> Iterator[str]:
    tr = options.tr
    if figures.taken_us is not None:
        at = clock(figures.taken_us, options.zone)
        text = tr("journal: used and stored up to frame {frame}, at {time}", frame=figures.frame, time=at)
        yield from folded(text)
    yield from folded(_alerts(options, figures))
    if figures.accounts:
        yield ""
        names = [mark("RECEIVED"), mark("EVALUATED"), mark("UNPARSED"), mark("DROPPED"), mark("IN FLIGHT")]
        names += [mark("RATE/S")] if rates is not None else []
        columns = [Column(tr("COLLECTOR"), flexible=True), *(Column(tr(name), right=True) for name in names)]
        rows = [_account_row(name, account, rates) for name, account in sorted(figures.accounts.items())]
        yield from table([*columns, Column("", flexible=True)], rows)
    if figures.backlogs:
        yield ""
        names = [mark("PENDING"), mark("WAITING"), mark("ACKNOWLEDGED"), mark("DEAD"), mark("OLDEST")]
        columns = [Column(tr("DESTINATION"), flexible=True), *(Column(tr(name), right=True) for name in names)]
        yield from table(columns, [_backlog_row(options, each, now_us) for each in figures.backlogs])


def _alerts(options: Options, figures: Figures) -> str:
    tr = options.tr
    total = sum(figures.by_level.values())
    parts = [
        f"{colored_level(printable(tr(level)), level)} {figures.by_level[level]}"
        for level in reversed(LEVELS)
        if figures.by_level.get(level)
    ]
    statuses = [f"{printable(tr(status))} {number}" for status, number in sorted(figures.by_status.items())]
    told = f" ({', '.join(parts)}; {', '.join(statuses)})" if total else ""
    return tr("alerts: {total}", total=total) + told


def _account_row(name: str, account: Account, rates: Mapping[str, float] | None) -> list[str]:
    reasons = " ".join(f"{reason}={number}" for reason, number in sorted(account.dropped.items()))
    numbers = (account.received, account.evaluated, account.unparsed, sum(account.dropped.values()), account.in_flight)
    told = [] if rates is None else [f"{rates[name]:.1f}" if name in rates else "-"]
    return [name, *map(str, numbers), *told, reasons]


def _backlog_row(options: Options, backlog: Backlog, now_us: int) -> list[str]:
    numbers = (backlog.pending, backlog.waiting, backlog.acknowledged, backlog.dead)
    age = "-" if backlog.oldest_us is None else span(now_us - backlog.oldest_us, options.tr)
    return [backlog.destination, *map(str, numbers), age]
