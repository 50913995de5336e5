"""`socmon db`: the store backed up, restored, verified, and relieved of what is old."""

import sqlite3
from pathlib import Path

import click

from socmon.cli import PROBLEMS, Options
from socmon.cli.confirming import confirm
from socmon.cli.db_forms import moment, size, write, write_damages
from socmon.cli.place import find
from socmon.errors import StoreError
from socmon.i18n import mark
from socmon.store.pruning import Pruned
from socmon.text import printable

_FILE = click.Path(path_type=Path)
_BACKUP = click.Path(path_type=Path, exists=True, dir_okay=False)
_DAY_US = 86_400_000_000


@click.group("db")
def command() -> None:
    """Back the store up, restore it, verify it, and let old alerts go."""


@command.command("backup")
@click.argument("file", type=_FILE)
@click.option("--force", is_flag=True, help="Take the place of a file that is there.")
@click.pass_obj
def backup(options: Options, file: Path, *, force: bool) -> int:
    """Copy the store to FILE, of one moment, beside a running daemon or without one.

    FILE is one SQLite file of mode 0600, complete or not there. It holds alerts, evidence, what analysts did, the
    outbox and the checkpoint, and no records: these are in the journal. Exit code 1: the store itself is damaged.
    """
    from socmon.store.copying import back_up

    made = back_up(find(options.config).store, file, replace=force)
    told = {"path": str(made.path), "bytes": made.size_bytes, "alerts": made.alerts, "frame": made.frame,
            "taken": moment(made.taken_us), "damaged": made.damaged}  # fmt: skip
    text = mark("{path}: {size}, {alerts} alerts, up to frame {frame} of the journal")
    said = options.tr(text, path=file, size=size(made.size_bytes), alerts=made.alerts, frame=made.frame)
    write(options, "socmon.db.backup/v1", told, said)
    if made.damaged:
        text = mark("the store is damaged, and so is the copy: {what}; see `socmon db verify`")
        click.echo(printable(options.tr(text, what=made.damaged)), err=True)
    return PROBLEMS if made.damaged else 0


@command.command("restore")
@click.argument("file", type=_BACKUP)
@click.pass_obj
def restore(options: Options, file: Path) -> None:
    """Put the backup FILE in the place of the store, while no daemon runs.

    It is verified first; nothing is changed if it is damaged. The store that was there is kept beside it, under a name
    with the date. Detection then goes on from the backup's checkpoint through the journal, and each stream of the feed
    begins a new epoch. What analysts did since the backup is only in the store that was kept.
    """
    from socmon.store.holding import hold
    from socmon.store.restoring import restore as put_back

    place = find(options.config)
    with hold(place.state_dir):
        done = put_back(file, place.store)
    aside = None if done.aside is None else str(done.aside)
    told = {"path": str(place.store), "aside": aside, "alerts": done.alerts, "frame": done.frame,
            "taken": moment(done.taken_us), "streams": done.streams}  # fmt: skip
    text = mark("{path}: {alerts} alerts; detection goes on behind frame {frame} of the journal")
    said = [options.tr(text, path=place.store, alerts=done.alerts, frame=done.frame)]
    if aside is not None:
        said.append(options.tr("the store that was there is kept as {path}", path=aside))
    write(options, "socmon.db.restore/v1", told, *said)


@command.command("verify")
@click.argument("file", type=_BACKUP, required=False)
@click.pass_obj
def verify(options: Options, file: Path | None) -> int:
    """Look for damage in the store, or in the backup FILE: by table and row; exit code 1 if there is any.

    Of the file: whether SQLite can read it. Of rows: whether they can be read, each message and line of evidence by its
    SHA-256, and whether what rows say of each other is true. Beside a running daemon it sees one moment.
    """
    from socmon.store.verifying import Damage, Verified
    from socmon.store.verifying import verify as look

    path = file or find(options.config).store
    try:
        found = look(path)
    except StoreError as error:
        if options.output == "human" or type(error.__cause__) is not sqlite3.DatabaseError:
            raise  # people are told more by the error; and what is locked, or no store at all, is not damaged
        found = Verified({}, 1, [Damage("", "", str(error.__cause__))])
    write_damages(options, path, found)
    return PROBLEMS if found.count else 0


def _age_us(context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    """`90d` or `12w` in microseconds; a callback of click."""
    if text is None:
        return None
    number, days = text[:-1], {"d": 1, "w": 7}.get(text[-1:])
    if days is None or not (number.isascii() and number.isdigit() and len(number) <= 5):
        what = context.ensure_object(Options).tr("{value!r} is no age; write 90d or 12w", value=text[:40])
        raise click.BadParameter(what, ctx=context, param=option)
    return int(number) * days * _DAY_US


@command.command("prune")
@click.option("--older-than", "age_us", metavar="AGE", callback=_age_us, help="Alerts older than this go: 90d, 12w.")
@click.option("--max-bytes", type=click.IntRange(0), help="The oldest go while the store holds more than this.")
@click.option("--dry-run", is_flag=True, help="Say what would go; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")
@click.pass_obj
def prune(options: Options, age_us: int | None, max_bytes: int | None, *, dry_run: bool, yes: bool) -> None:
    """Let old alerts go, with their evidence, history and releases: closed ones that every destination has.

    What is open, acknowledged, recurring, not delivered or refused stays, and so does what may still grow. The file
    keeps its size; what becomes free in it is used again. The running daemon does it, or this command without one.
    """
    if age_us is None and max_bytes is None:
        raise click.UsageError(options.tr("name an age by --older-than, or a size by --max-bytes"))
    from socmon.cli.db_pruning import pruned, would_go

    found = would_go(options, age_us, max_bytes)
    if not dry_run:
        if found.alerts:
            text = options.tr.many("Let {count} alert go for good?", "Let {count} alerts go for good?", found.alerts)
            confirm(options, text, yes=yes)
        found = pruned(options, age_us, max_bytes)
    told = {"dry_run": dry_run, "alerts": found.alerts, "used_bytes": found.used_bytes}
    write(options, "socmon.db.prune/v1", told, _went(options, found, dry_run=dry_run))


def _went(options: Options, found: Pruned, *, dry_run: bool) -> str:
    many, held = options.tr.many, size(found.used_bytes)
    if dry_run:
        return many(
            "{count} alert would go, the store would hold about {size}",
            "{count} alerts would go, the store would hold about {size}",
            found.alerts,
            size=held,
        )
    return many(
        "{count} alert went, the store holds {size}",
        "{count} alerts went, the store holds {size}",
        found.alerts,
        size=held,
    )
