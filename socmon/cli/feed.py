"""`socmon feed`: the outbox, row by row, and dead letters released again; what else people do with it is beside it."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import tzinfo
from functools import partial
from typing import Any

import click
import msgspec
from msgspec import Struct

from socmon.cli import NOT_FOUND, CommandError, Options
from socmon.cli.completing import offer_destinations
from socmon.cli.confirming import confirm
from socmon.cli.feed_decisions import approve, withdraw
from socmon.cli.feed_dropping import drop
from socmon.cli.feed_pausing import lines as pause_lines
from socmon.cli.feed_pausing import pause, resume
from socmon.cli.feed_pausing import told as pause_told
from socmon.cli.feed_show import show
from socmon.cli.feed_status import status
from socmon.cli.feed_verify import verify
from socmon.cli.output import as_json, csv_row
from socmon.cli.shown import clock
from socmon.event import rfc3339
from socmon.i18n import Message, Translator, mark
from socmon.reports.words import ANSWERS
from socmon.store.pausing import Pause, is_over, pauses
from socmon.store.queue import STATES, UNDELIVERED, Letter, Row, State, destinations, opened, rows
from socmon.store.reading import readable
from socmon.text import printable

_COLUMNS = (
    "id", "destination", "state", "alert_id", "title", "level", "stream", "seq", "revision", "released", "settled",
    "code", "bytes",
)  # fmt: skip


class _Retried(Struct, frozen=True):
    """The daemon's answer to `feed.retry`; `letters` are the first of `count`."""

    count: int
    letters: list[Letter]


@click.group("feed")
def command() -> None:
    """Show what is on its way to a destination, and decide what goes there."""


for _each in (status, show, approve, withdraw, drop, pause, resume):
    command.add_command(_each)


@command.command("queue")
@click.argument("destination", required=False, shell_complete=offer_destinations)
@click.option(
    "--state", "states", multiple=True, type=click.Choice(STATES), help="Only these; all but done by default."
)
@click.pass_obj
def queue(options: Options, destination: str | None, states: tuple[State, ...]) -> None:
    """Show the outbox, of DESTINATION or of all; needs no daemon.

    `pending` waits for its release, `waiting` for an answer; `held` is not for the destination, such as TLP:RED, or
    waits for a person's approval; `dead` was refused and is sent no more, `retried` was refused and then released again
    under another id, `withdrawn` was taken back on its way, and `dropped` given up. What is `acknowledged`, `retried`,
    `withdrawn` or `dropped` is shown when asked for. Destinations that are paused are told first.
    """
    from socmon.config import load

    config = load(options.config)
    path = config.state_dir / "socmon.db"
    readable(path)  # SQLite would only say that it cannot open it
    with opened(path) as db:
        known = destinations(db) | {wiring.name for wiring in config.forwarders}
        if destination is not None and destination not in known:
            text = mark("no destination is called {name!r}; known: {known}")
            raise CommandError(Message(text, name=destination[:40], known=", ".join(sorted(known)) or "-"), NOT_FOUND)
        now_us = time.time_ns() // 1000
        paused = [each for each in pauses(db) if destination in (None, each.destination) and not is_over(each, now_us)]
        _write(rows(db, destination=destination, states=states or UNDELIVERED), paused, options)


@command.command("retry")
@click.argument("targets", metavar="ID…|[DESTINATION]", nargs=-1, shell_complete=offer_destinations)
@click.option("--dead", "every", is_flag=True, help="All dead letters, of DESTINATION where one is named.")
@click.option("--dry-run", is_flag=True, help="Show what would be released; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")
@click.pass_obj
def retry(options: Options, targets: tuple[str, ...], *, every: bool, dry_run: bool, yes: bool) -> None:
    """Release dead letters again, by their IDs or with --dead; the running daemon does it.

    Each alert goes out anew as it is today, with a sequence of its own; the letter is kept and marked as retried. A
    destination that is named, or that a letter goes to, is tried at once if it was waiting or had given up.
    """
    from socmon.cli.control_client import asking
    from socmon.config import load

    asked = _asked(options, targets, every=every)
    state_dir = load(options.config).state_dir
    with asking(state_dir) as ask:
        found = ask("feed.retry", _Retried, dry_run=True, **asked)
    if not dry_run:
        if found.count:
            question = options.tr.many(
                "Release {count} dead letter again?", "Release {count} dead letters again?", found.count
            )
            confirm(options, question, yes=yes)
        # A connection of its own: a person may take longer to answer than the daemon waits.
        with asking(state_dir) as ask:
            found = ask("feed.retry", _Retried, **asked)
    _write_retried(found, options, dry_run=dry_run)


def _asked(options: Options, targets: tuple[str, ...], *, every: bool) -> dict[str, Any]:
    """The verb's arguments."""
    if every:
        if len(targets) > 1:
            raise click.UsageError(options.tr("--dead takes one destination, or none for all of them"))
        return {"destination": targets[0] if targets else ""}
    if not targets:
        text = mark("name dead letters by their ids, as `socmon feed queue --state dead` shows, or use --dead")
        raise click.UsageError(options.tr(text))
    wrong = next((text for text in targets if not (text.isascii() and text.isdigit() and len(text) <= 18)), None)
    if wrong is not None:
        text = mark("{value!r} is no id of a dead letter; a destination goes with --dead")
        raise click.UsageError(options.tr(text, value=wrong[:40]))
    return {"ids": [int(text) for text in targets]}


def _write_retried(found: _Retried, options: Options, *, dry_run: bool) -> None:
    letters = [msgspec.to_builtins(letter) for letter in found.letters]
    match options.output:
        case "json":
            whole = {"schema": "socmon.feed.retry/v1", "dry_run": dry_run, "count": found.count, "letters": letters}
            click.echo(as_json(whole))
        case "ndjson":
            for letter in letters:
                click.echo(as_json(letter))
        case "csv":
            click.echo(
                "".join(csv_row(row) for row in [Letter.__struct_fields__, *(row.values() for row in letters)]),
                nl=False,
            )
        case "human":
            for letter in found.letters:
                click.echo(printable(f"{letter.id:>8}  {letter.destination}  {letter.alert_id}"))
            if not options.quiet:
                click.echo(_summary(options.tr, found.count, dry_run=dry_run), err=True)


def _summary(tr: Translator, count: int, *, dry_run: bool) -> str:
    if not count:
        return tr("no dead letters released again")
    if dry_run:
        return tr.many(
            "{count} dead letter would be released again", "{count} dead letters would be released again", count
        )
    return tr.many("{count} dead letter released again", "{count} dead letters released again", count)


def _told(row: Row) -> dict[str, Any]:
    moments = {"released": row.released_us, "settled": row.settled_us}
    told = msgspec.to_builtins(row) | {name: us if us is None else rfc3339(us) for name, us in moments.items()}
    told["bytes"] = row.size_bytes
    return {name: told[name] for name in _COLUMNS}


def _human(row: Row, *, tr: Translator, zone: tzinfo | None) -> bytes:
    number = "-" if row.id is None else row.id
    place = "-" if row.seq is None else f"{row.stream} {row.seq}"
    size = "-" if row.size_bytes is None else row.size_bytes
    released = "-" if row.released_us is None else clock(row.released_us, zone, fine=True)
    words = (
        f"{number:>8}  {row.destination:<12}  {tr(row.state):<12}  {place:<14}  r{row.revision:<5}",
        f"{size:>7}  {released:<30}  {row.alert_id}  {tr(row.title) if row.title else '-'}",
        *([f"({tr(ANSWERS.get(row.code, row.code))})"] if row.code else []),
    )
    return printable("  ".join(words)).encode() + b"\n"


def _ndjson(row: Row) -> bytes:
    return as_json(_told(row)).encode() + b"\n"


def _csv(row: Row) -> bytes:
    return csv_row("" if value is None else value for value in _told(row).values()).encode()


_WIDTHS = (8, 12, 12, 14, 6, 7, 30, 36, 0)


def _heading(tr: Translator) -> bytes:
    names = (tr("ID"), tr("DESTINATION"), tr("STATE"), tr("STREAM, SEQ"), tr("REV"), tr("BYTES"), tr("RELEASED"))
    cells = zip((*names, tr("ALERT"), tr("TITLE")), _WIDTHS, strict=True)
    return "  ".join(cell.ljust(width) for cell, width in cells).encode() + b"\n"


# Form for programs → what comes first, each row, what stands between two, what comes last.
_FORMS: dict[str, tuple[bytes, Callable[[Row], bytes], bytes, bytes]] = {
    "json": (b'"rows":[\n', _ndjson, b",", b"]}\n"),
    "ndjson": (b"", _ndjson, b"", b""),
    "csv": (",".join(_COLUMNS).encode() + b"\r\n", _csv, b"", b""),
}


def _write(found: Iterator[Row], paused: Sequence[Pause], options: Options) -> None:
    """Every row as it is read: a backlog may be long."""
    tr = options.tr
    human = (_heading(tr), partial(_human, tr=tr, zone=options.zone), b"", b"")
    first, shown, between, last = _FORMS.get(options.output) or human
    out = sys.stdout.buffer
    if options.output == "json":
        opening = as_json({"schema": "socmon.feed.queue/v1", "paused": [pause_told(each) for each in paused]})
        out.write(opening.removesuffix("}").encode() + b",")
    elif options.output == "human":
        out.write("".join(f"{line}\n" for line in pause_lines(paused, tr, options.zone)).encode())
    out.write(first)
    for number, row in enumerate(found):
        out.write((between if number else b"") + shown(row))
    out.write(last)
    out.flush()


command.add_command(verify)
