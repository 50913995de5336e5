"""`socmon status`: is all well? From the store and the lock, whether or not the daemon runs."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from socmon.cli import PROBLEMS, UNREACHABLE, CommandError, Options, locks, place
from socmon.cli.feed_pausing import PAUSED, PAUSED_FOR_GOOD, told
from socmon.cli.output import as_json, write_csv
from socmon.cli.shown import SHORT_ID
from socmon.cli.status_page import Look, flat, page
from socmon.errors import NotFoundError
from socmon.event import LEVELS, SECOND_US, rfc3339
from socmon.i18n import Message, mark
from socmon.reports.alarms import Raised, alarms
from socmon.seen import Expected
from socmon.store.figures import Backlog, Figures, count
from socmon.store.pausing import Pause
from socmon.store.reading import Reader, consult

_OLD_US = 900 * SECOND_US  # a backlog; as the alarm of docs/operations.md
_STALE_US = 60 * SECOND_US  # a checkpoint: idle time is journalled too, so a running daemon writes them all the time
_ANSWER_S = 3.0  # it only has to look at itself
_SKEW_US = 300 * SECOND_US  # `detection.lateness_s`, by default: what is further behind may come too late
_DAY_US = 86_400 * SECOND_US  # clocks that were not heard for longer are not told of
_COLUMNS = ("section", "name", "field", "value")


class Warned(Message):
    """A warning: a word for programs, and a text for people."""

    __slots__ = ("code",)
    code: str


@click.command("status")
@click.option("--watch", "watching", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option(
    "--interval", "interval_s", default=2.0, show_default=True, type=click.FloatRange(0.2, 3600), metavar="S",
    help="Seconds between two looks of --watch.",
)  # fmt: skip
@click.pass_obj
def command(options: Options, *, watching: bool, interval_s: float) -> int:
    """Say whether all is well: daemon, ledger, alerts, deliveries; what is wrong first.

    Exits with 0 when all is well, with 1 when something is wrong, with 4 when the daemon is down; then too it prints
    what the store says. With --watch a terminal shows how things stand, the records a second of each collector, and
    what has changed; elsewhere one status comes after the other. It goes on over restarts, and ends with 130.
    """
    if watching:
        from socmon.cli.watching import watch

        return watch(options, interval_s, lambda: look(options))
    found = look(options)
    match options.output:
        case "json" | "ndjson":
            click.echo(as_json(found.status))
        case "csv":
            write_csv(flat(found.status), _COLUMNS)
        case "human":
            for line in page(options, found):
                click.echo(line)
    if found.running is None:
        return UNREACHABLE
    return PROBLEMS if found.warnings else 0


class Said(Struct, frozen=True):
    """The daemon's answer to `status`.

    Attributes:
        reasons: why it is not ready, as /readyz says; [] if it is.
        failing: destinations whose last try failed → why.
        not_collecting: collectors whose last run failed → why.
        damaged: what damage did to the outbox since the daemon's start: `lost`, `queued`, `unproved`; None if nothing.
    """

    reasons: list[str]
    failing: dict[str, str]
    not_collecting: dict[str, str] = {}
    damaged: dict[str, int] | None = None


def look(options: Options) -> Look:
    """How things stand now, by the lock, the store, and the daemon if it runs."""
    found = place.find(options.config)
    running = locks.holder(found.state_dir / "lock")
    try:
        figures, raised = consult(found.store, lambda reader: (count(reader.db, found.forwarders), _raised(reader)))
    except NotFoundError:
        figures, raised = None, []
    now_us = time.time_ns() // 1000
    warnings = [*_report_warnings(raised), *_warnings(running, figures, found, now_us)]
    if running is not None:
        warnings += _daemon_warnings(found.state_dir)
    return Look(now_us, running, figures, warnings, _object(running, figures, warnings))


def _daemon_warnings(folder: Path) -> Iterator[Warned]:
    """What the running daemon itself says is wrong; nothing where this user may not ask it, or it still starts."""
    from socmon.cli.control_client import asking

    try:
        with asking(folder, answer_s=_ANSWER_S) as ask:
            said = ask("status", Said)
    except CommandError as error:
        if isinstance(error.__cause__, TimeoutError):
            text = mark("the daemon does not answer within {age} s; look at its log")
            yield _warned("daemon_mute", text, age=round(_ANSWER_S))
        return
    for reason in said.reasons:
        yield _warned("not_ready", mark("the daemon is not ready: {reason}"), reason=reason)
    if said.damaged is not None:
        text = mark(
            "the outbox was damaged: {lost} messages lost, {queued} alerts queued anew, {unproved} receipts lost; look "
            "at the disk, and run `socmon db verify`"
        )
        yield _warned("outbox_damaged", text, **said.damaged)
    for name, error_text in said.not_collecting.items():
        yield _warned("not_collecting", mark("{name}: nothing is collected: {reason}"), name=name, reason=error_text)
    for name, error_text in said.failing.items():
        yield _warned(
            "not_delivering", mark("{name}: alerts are not delivered: {reason}"), name=name, reason=error_text
        )


def _warned(code: str, template: str, **values: Any) -> Warned:
    warning = Warned(template, **values)
    warning.code = code
    return warning


def _many(code: str, one: str, several: str, count: int, **values: Any) -> Warned:
    """A warning of as many as there are."""
    warning = _warned(code, several, count=count, **values)
    warning.one = one
    return warning


def _warnings(
    running: locks.Holder | None, figures: Figures | None, found: place.Place, now_us: int
) -> Iterator[Warned]:
    """What is wrong, the worst first."""
    folder = str(found.state_dir)
    if running is None:
        yield _warned("daemon_down", "the daemon is down: nobody uses {folder}", folder=folder)
    if figures is None:
        yield _warned("no_store", "there is no store in {folder} yet", folder=folder)
        return
    yield from _silence_warnings(figures, found.sources, now_us)
    if running is not None:
        since_us = max(running.since_us, figures.taken_us or 0)
        if now_us - since_us > _STALE_US:
            text = mark("nothing was stored for {age} s, though the daemon runs; look at its log and at /readyz")
            yield _warned("checkpoint_old", text, age=(now_us - since_us) // SECOND_US)
    for name, account in figures.accounts.items():
        if account.in_flight:
            yield _many(
                "ledger_unbalanced",
                "{name}: {count} record is not accounted for; this is a bug of socmon, report it",
                "{name}: {count} records are not accounted for; this is a bug of socmon, report it",
                account.in_flight,
                name=name,
            )
    for backlog in figures.backlogs:
        yield from _delivery_warnings(backlog, now_us)
    yield from _clock_warnings(figures, now_us)


def _raised(reader: Reader) -> list[Raised]:
    return [each for each in alarms(reader.db) if each.is_open]


def _report_warnings(raised: Sequence[Raised]) -> Iterator[Warned]:
    """The alarms of deadlines that nobody has ended, as the daemon has raised them; the first to fall is named."""
    for code, text, found in (
        ("report_missed", mark("{count} reports were not made in time, that of {finding} was due {due}"), False),
        ("report_near", mark("{count} reports are due soon, that of {finding} by {due}"), True),
    ):
        of_it = [each for each in raised if bool(each.alarm.before_h) is found]
        if of_it:
            first = min(of_it, key=lambda each: each.due)
            yield _warned(code, text, count=len(of_it), finding=first.alarm.finding[:SHORT_ID], due=first.due)


def _silence_warnings(figures: Figures, expected: Sequence[Expected], now_us: int) -> Iterator[Warned]:
    names = {each.name for each in expected}
    for silence in figures.silences:
        if silence.state == "silent" and silence.name in names:
            text = mark("source {name} has been silent for {age} min")
            yield _warned("source_silent", text, name=silence.name, age=(now_us - silence.since_us) // SECOND_US // 60)


def _clock_warnings(figures: Figures, now_us: int) -> Iterator[Warned]:
    off = [row for row in figures.sources if abs(row.skew_us or 0) > _SKEW_US and now_us - row.last_us < _DAY_US]
    if off:
        worst = max(off, key=lambda row: abs(row.skew_us or 0))
        yield _many(
            "clock_off",
            "{count} clock is off by more than 5 min, that of {name} by {skew_s} s; see `socmon sources list`",
            "{count} clocks are off by more than 5 min, that of {name} by {skew_s} s; see `socmon sources list`",
            len(off),
            name=worst.host or worst.peer,
            skew_s=(worst.skew_us or 0) // SECOND_US,
        )


def _delivery_warnings(backlog: Backlog, now_us: int) -> Iterator[Warned]:
    name = backlog.destination
    if backlog.paused is not None:
        yield _paused_warning(backlog.paused)
    if backlog.unapproved:
        yield _many(
            "unapproved",
            "{name}: {count} alert waits for approval; see `socmon feed queue --state held`",
            "{name}: {count} alerts wait for approval; see `socmon feed queue --state held`",
            backlog.unapproved,
            name=name,
        )
    if backlog.dead:
        yield _many(
            "dead_letters",
            "{name}: {count} alert was refused for good, the last one as {reason}",
            "{name}: {count} alerts were refused for good, the last one as {reason}",
            backlog.dead,
            name=name,
            reason=backlog.code or "-",
        )
    if backlog.unrendered:
        yield _many(
            "unrendered",
            "{name}: {count} alert cannot be rendered; see the log",
            "{name}: {count} alerts cannot be rendered; see the log",
            backlog.unrendered,
            name=name,
        )
    if backlog.paused is None and backlog.oldest_us is not None and now_us - backlog.oldest_us > _OLD_US:
        text = mark("{name}: the oldest alert waits for {age} min; is the destination there?")
        yield _warned("backlog_old", text, name=name, age=(now_us - backlog.oldest_us) // SECOND_US // 60)


def _paused_warning(pause: Pause) -> Warned:
    values = {"name": pause.destination, "actor": pause.actor}
    if pause.until_us is None:
        return _warned("paused", PAUSED_FOR_GOOD, **values)
    return _warned("paused", PAUSED, **values, time=rfc3339(pause.until_us))


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
                "held": backlog.held,
                "unapproved": backlog.unapproved,
                "withdrawn": backlog.withdrawn,
                "dropped": backlog.dropped,
                "paused": None if backlog.paused is None else told(backlog.paused),
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
