"""`socmon feed drop`: a person gives up what waits for a destination, or was refused there."""

from typing import Any

import click
from msgspec import Struct

from socmon.cli import NOT_FOUND, Options, place
from socmon.cli.alert_ids import choose
from socmon.cli.confirming import confirm
from socmon.cli.feed_decisions import checked_reason, destination, dry_run, yes
from socmon.cli.output import Row, as_json, write_csv, write_ndjson
from socmon.i18n import Translator
from socmon.text import printable

_COLUMNS = ("id", "alert_id", "state")


class _Row(Struct, frozen=True):
    """One that was given up, as `socmon.store.dropping.Dropped`."""

    id: int | None
    alert_id: str
    state: str


class _Answer(Struct, frozen=True):
    """The daemon's answer to `feed.drop`; `rows` are the first of `count`."""

    count: int
    rows: list[_Row]


@click.command("drop")
@destination
@click.option("--alert", "ids", multiple=True, metavar="ALERT", help="What waits or is dead of this alert; repeatable.")
@click.option("--dead", "every", is_flag=True, help="All its dead letters.")
@click.option("--reason", default="", metavar="TEXT", help="Why; kept with the decision.")
@dry_run
@yes
@click.pass_obj
def drop(
    options: Options, destination: str, ids: tuple[str, ...], reason: str, *, every: bool, dry_run: bool, yes: bool
) -> int:
    """Give up what waits for DESTINATION, or was refused there: it is lost for it, and counted so.

    The alerts' later revisions go out as ever. What was released leaves no hole: a void takes its sequence. Who gave it
    up, when and why stands in the store and in the log. `socmon feed approve` lets an alert go out again.
    """
    from socmon.cli.control_client import asking

    if every == bool(ids):
        raise click.UsageError(options.tr("name alerts with --alert, or all dead letters with --dead"))
    found = place.find(options.config)
    asked: dict[str, Any] = {"destination": destination, "reason": checked_reason(options, reason)}
    if ids:
        chosen = choose(options, found.store, ids)
        if isinstance(chosen, int):
            return chosen
        not_found = options.tr("not found")
        for text in chosen.missing:
            click.echo(printable(f"{text[:40]}  {not_found}"), err=True)
        if chosen.missing:
            return NOT_FOUND  # nothing is done by halves
        asked["ids"] = list(chosen.alerts)
    with asking(found.state_dir) as ask:
        answer = ask("feed.drop", _Answer, **asked, dry_run=True)
    if answer.count and not dry_run:
        question = options.tr.many(
            "Give up {count} row for {name}?",
            "Give up {count} rows for {name}?",
            answer.count,
            name=printable(destination),
        )
        confirm(options, question, yes=yes)
        with asking(found.state_dir) as ask:
            answer = ask("feed.drop", _Answer, **asked)
    _write(options, destination, answer, dry_run=dry_run)
    return 0


def _write(options: Options, destination: str, answer: _Answer, *, dry_run: bool) -> None:
    rows: list[Row] = [{"id": each.id, "alert_id": each.alert_id, "state": each.state} for each in answer.rows]
    match options.output:
        case "json":
            whole = {"schema": "socmon.feed.drop/v1", "destination": destination, "dry_run": dry_run}
            click.echo(as_json(whole | {"count": answer.count, "rows": rows}))
        case "ndjson":
            write_ndjson(rows)
        case "csv":
            write_csv(rows, _COLUMNS)
        case "human":
            for each in answer.rows:
                number = "-" if each.id is None else each.id
                click.echo(printable(f"{number:>8}  {options.tr(each.state):<12}  {each.alert_id}"))
            if not options.quiet:
                click.echo(_summary(options.tr, answer.count, dry_run=dry_run), err=True)


def _summary(tr: Translator, count: int, *, dry_run: bool) -> str:
    if not count:
        return tr("there was nothing to give up")
    if dry_run:
        return tr.many("{count} row would be given up", "{count} rows would be given up", count)
    return tr.many("{count} row given up", "{count} rows given up", count)
