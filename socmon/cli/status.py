"""`socmon status`: is all well? From the store and the lock, whether or not the daemon runs."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import click

from socmon.cli import PROBLEMS, UNREACHABLE, Options, locks, place
from socmon.cli.output import Column, Row, as_json, write_csv, write_table
from socmon.cli.shown import clock, colored_level, span
from socmon.errors import NotFoundError
from socmon.event import LEVELS, SECOND_US, rfc3339
from socmon.i18n import Message, mark
from socmon.store.figures import Backlog, Figures, count
from socmon.store.reading import consult
from socmon.text import printable

_OLD_US = 900 * SECOND_US  # a backlog; as the alarm of docs/operations.md
_STALE_US = 60 * SECOND_US  # a checkpoint: idle time is journalled too, so a running daemon writes them all the time
_COLUMNS = ("section", "name", "field", "value")


class Warned(Message):
    """A warning: a word for programs, and a text for people."""

    __slots__ = ("code",)
    code: str


@click.command("status")
@click.pass_obj
def command(options: Options) -> int:
    """Say whether all is well: daemon, ledger, alerts, deliveries; what is wrong first.

    Exits with 0 when all is well, with 1 when something is wrong, with 4 when the daemon is down; then too it prints
    what the store says.
    """
    found = place.find(options.config)
    running = locks.holder(found.state_dir / "lock")
    try:
        figures = consult(found.store, lambda reader: count(reader.db, found.forwarders))
    except NotFoundError:
        figures = None
    now_us = time.time_ns() // 1000
    warnings = [*_warnings(running, figures, now_us, str(found.state_dir))]
    status = _object(running, figures, warnings)
    match options.output:
        case "json" | "ndjson":
            click.echo(as_json(status))
        case "csv":
            write_csv(_flat(status), _COLUMNS)
        case "human":
            _write(options, running, figures, warnings, now_us)
    if running is None:
        return UNREACHABLE
    return PROBLEMS if warnings else 0


def _warned(code: str, template: str, **values: Any) -> Warned:
    warning = Warned(template, **values)
    warning.code = code
    return warning


def _warnings(running: locks.Holder | None, figures: Figures | None, now_us: int, folder: str) -> Iterator[Warned]:
    """What is wrong, the worst first."""
    if running is None:
        yield _warned("daemon_down", "the daemon is down: nobody uses {folder}", folder=folder)
    if figures is None:
        yield _warned("no_store", "there is no store in {folder} yet", folder=folder)
        return
    if running is not None:
        since_us = max(running.since_us, figures.taken_us or 0)
        if now_us - since_us > _STALE_US:
            text = mark("nothing was stored for {age} s, though the daemon runs; look at its log and at /readyz")
            yield _warned("checkpoint_old", text, age=(now_us - since_us) // SECOND_US)
    for name, account in figures.accounts.items():
        if account.in_flight:
            text = mark("{name}: {count} records are not accounted for; this is a bug of socmon, report it")
            yield _warned("ledger_unbalanced", text, name=name, count=account.in_flight)
    for backlog in figures.backlogs:
        yield from _delivery_warnings(backlog, now_us)


def _delivery_warnings(backlog: Backlog, now_us: int) -> Iterator[Warned]:
    name = backlog.destination
    if backlog.dead:
        text = mark("{name}: {count} alerts were refused for good, the last one as {reason}")
        yield _warned("dead_letters", text, name=name, count=backlog.dead, reason=backlog.code or "-")
    if backlog.unrendered:
        text = mark("{name}: {count} alerts cannot be rendered; see the log")
        yield _warned("unrendered", text, name=name, count=backlog.unrendered)
    if backlog.oldest_us is not None and now_us - backlog.oldest_us > _OLD_US:
        text = mark("{name}: the oldest alert waits for {age} min; is the destination there?")
        yield _warned("backlog_old", text, name=name, age=(now_us - backlog.oldest_us) // SECOND_US // 60)


def _object(running: locks.Holder | None, figures: Figures | None, warnings: Sequence[Warned]) -> dict[str, Any]:
    return {
        "schema": "socmon.status/v1",
        "daemon": {
            "running": running is not None,
            "pid": running.pid if running else None,
            "since": rfc3339(running.since_us) if running else None,
        },
        "warnings": [{"code": warning.code, **warning.values} for warning in warnings],
        "store": None if figures is None else _store_object(figures),
    }


def _store_object(figures: Figures) -> dict[str, Any]:
    return {
        "frame": figures.frame,
        "stored": None if figures.taken_us is None else rfc3339(figures.taken_us),
        "alerts": {
            "total": sum(figures.by_level.values()),
            "by_level": {level: figures.by_level.get(level, 0) for level in reversed(LEVELS)},
            "by_status": figures.by_status,
        },
        "collectors": [
            {
                "name": name,
                "received": account.received,
                "evaluated": account.evaluated,
                "unparsed": account.unparsed,
                "dropped": account.dropped,
                "in_flight": account.in_flight,
            }
            for name, account in sorted(figures.accounts.items())
        ],
        "destinations": [
            {
                "name": backlog.destination,
                "pending": backlog.pending,
                "unrendered": backlog.unrendered,
                "waiting": backlog.waiting,
                "acknowledged": backlog.acknowledged,
                "dead": backlog.dead,
                "oldest": None if backlog.oldest_us is None else rfc3339(backlog.oldest_us),
                "last_refusal": None
                if backlog.refused_us is None
                else {"code": backlog.code, "time": rfc3339(backlog.refused_us)},
            }
            for backlog in figures.backlogs
        ],
    }


def _flat(status: dict[str, Any]) -> Iterator[Row]:
    """A row for each figure."""
    store = status["store"] or {}
    sections: list[tuple[str, str, dict[str, Any]]] = [("daemon", "", status["daemon"])]
    sections += [("warning", warning["code"], warning) for warning in status["warnings"]]
    sections += [("store", "", {name: store[name] for name in ("frame", "stored") if name in store})]
    sections += [("alerts", "", store.get("alerts", {}))]
    for section in ("collectors", "destinations"):
        sections += [(section.removesuffix("s"), item["name"], item) for item in store.get(section, [])]
    for section, name, fields in sections:
        for field, value in fields.items():
            if field not in {"name", "code"}:
                yield {"section": section, "name": name, "field": field, "value": value}


def _write(
    options: Options, running: locks.Holder | None, figures: Figures | None, warnings: Sequence[Warned], now_us: int
) -> None:
    tr = options.tr
    for warning in warnings:
        word = click.style(tr("warning"), fg="red", bold=True)
        click.echo(f"{word}  {printable(tr(warning))}")
    if warnings:
        click.echo()
    if running is None:
        click.echo(tr("daemon: down"))
    else:
        since = clock(running.since_us, options.zone)
        click.echo(tr("daemon: process {pid}, runs since {since}", pid=running.pid, since=since))
    if figures is not None:
        _write_store(options, figures, now_us)


def _write_store(options: Options, figures: Figures, now_us: int) -> None:
    tr = options.tr
    if figures.taken_us is not None:
        at = clock(figures.taken_us, options.zone)
        click.echo(tr("journal: used and stored up to frame {frame}, at {time}", frame=figures.frame, time=at))
    _write_alerts(options, figures)
    if figures.accounts:
        click.echo()
        names = (mark("RECEIVED"), mark("EVALUATED"), mark("UNPARSED"), mark("DROPPED"), mark("IN FLIGHT"))
        columns = [Column(tr("COLLECTOR"), flexible=True), *(Column(tr(name), right=True) for name in names)]
        rows = [_account_row(name, account) for name, account in sorted(figures.accounts.items())]
        write_table([*columns, Column("")], rows)
    if figures.backlogs:
        click.echo()
        names = (mark("PENDING"), mark("WAITING"), mark("ACKNOWLEDGED"), mark("DEAD"), mark("OLDEST"))
        columns = [Column(tr("DESTINATION"), flexible=True), *(Column(tr(name), right=True) for name in names)]
        write_table(columns, [_backlog_row(options, each, now_us) for each in figures.backlogs])


def _write_alerts(options: Options, figures: Figures) -> None:
    tr = options.tr
    total = sum(figures.by_level.values())
    parts = [
        f"{colored_level(printable(tr(level)), level)} {figures.by_level[level]}"
        for level in reversed(LEVELS)
        if figures.by_level.get(level)
    ]
    statuses = [f"{printable(tr(status))} {number}" for status, number in sorted(figures.by_status.items())]
    told = f" ({', '.join(parts)}; {', '.join(statuses)})" if total else ""
    click.echo(tr("alerts: {total}", total=total) + told)


def _account_row(name: str, account: Any) -> list[str]:
    reasons = " ".join(f"{reason}={number}" for reason, number in sorted(account.dropped.items()))
    numbers = (account.received, account.evaluated, account.unparsed, sum(account.dropped.values()), account.in_flight)
    return [name, *map(str, numbers), reasons]


def _backlog_row(options: Options, backlog: Backlog, now_us: int) -> list[str]:
    numbers = (backlog.pending, backlog.waiting, backlog.acknowledged, backlog.dead)
    age = "-" if backlog.oldest_us is None else span(now_us - backlog.oldest_us, options.tr)
    return [backlog.destination, *map(str, numbers), age]
