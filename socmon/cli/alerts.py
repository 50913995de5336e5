"""`socmon alerts`: look at alerts, from the store's file, whether or not the daemon runs; and test their way."""

import click

from socmon.cli import USAGE, Options, follow, place
from socmon.cli.alert_page import alert_object, write_page
from socmon.cli.alerts_test import test
from socmon.cli.asking import filter_options, wanted
from socmon.cli.output import Column, as_json, terminal_width, write_csv, write_ndjson, write_table
from socmon.cli.shown import ALERT_COLUMNS, SHORT_ID, about, alert_row, clock, colored_level, short_clocks
from socmon.errors import NotFoundError
from socmon.event import Alert
from socmon.i18n import Message, mark
from socmon.store.reading import Delivery, Reader, consult
from socmon.text import printable

_MAX_CANDIDATES = 20
_WIDE = 110  # columns of a terminal that has room for years


@click.group("alerts")
def command() -> None:
    """Look at alerts, and test their way. Looking needs no daemon; it reads the store of the configuration of -c."""


command.add_command(test)


@command.command("list")
@filter_options
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), help="The newest so many.")
@click.pass_obj
def list_(options: Options, /, limit: int, **given: str | None) -> None:
    """List alerts by their last event, the newest last: beside the prompt, where `tail` goes on."""
    asked = wanted(options, **given)
    total, alerts = consult(
        place.find(options.config).store, lambda reader: (reader.count(asked), reader.find(asked, limit))
    )
    rows = map(alert_row, alerts)
    match options.output:
        case "json":
            click.echo(as_json({"schema": "socmon.alerts.list/v1", "total": total, "alerts": [*rows]}))
        case "ndjson":
            write_ndjson(rows)
        case "csv":
            write_csv(rows, ALERT_COLUMNS)
        case "human":
            _write_list(options, alerts, total)


def _write_list(options: Options, alerts: list[Alert], total: int) -> None:
    tr = options.tr
    if alerts:
        times_us = [alert.last_us for alert in alerts]
        last, times = tr("LAST EVENT"), [clock(time_us, options.zone) for time_us in times_us]
        if (terminal_width() or _WIDE) < _WIDE:
            offset, times = short_clocks(times_us, options.zone)
            last = tr("AT {offset}", offset=offset)
        columns = (
            Column(tr("ID")),
            Column(last),
            Column(tr("LEVEL"), style=lambda text, number: colored_level(text, alerts[number].level)),
            Column(tr("STATUS")),
            Column(tr("COUNT"), right=True),
            Column(tr("TITLE"), flexible=True),
            Column(tr("ABOUT"), flexible=True),
        )
        rows = [
            (each.id[:SHORT_ID], at, tr(each.level), tr(each.status), str(each.count), tr(each.title), about(each))
            for each, at in zip(alerts, times, strict=True)
        ]
        write_table(columns, rows)
    if not options.quiet and total == 0:
        click.echo(tr("no alerts"), err=True)
    elif not options.quiet and total > len(alerts):
        click.echo(tr("{shown} of {total} alerts; --limit shows more", shown=len(alerts), total=total), err=True)


@command.command("show")
@click.argument("alert_id", metavar="ID")
@click.pass_obj
def show(options: Options, alert_id: str) -> int | None:
    """Show all about one alert: ID is its id, or as much of its beginning as tells it from others.

    Exits with 5 where there is no such alert, with 2 where several begin so.
    """
    found = place.find(options.config)
    prefix = alert_id.strip().lower()

    def look(reader: Reader) -> tuple[list[Alert], list[Delivery]]:
        candidates = reader.beginning_with(prefix, _MAX_CANDIDATES + 1) if prefix else []
        if len(candidates) != 1:
            return candidates, []
        alert = reader.with_evidence(candidates[0])
        return [alert], reader.deliveries(alert.id)

    candidates, deliveries = consult(found.store, look)
    if not candidates:
        text = mark("no alert has an id that begins with {prefix!r}; `socmon alerts list` shows them")
        raise NotFoundError(Message(text, prefix=alert_id[:40]))
    if len(candidates) > 1:
        return _tell_candidates(options, alert_id, candidates)
    (alert,) = candidates
    match options.output:
        case "json":
            page = alert_object(alert, found.rules, deliveries)
            click.echo(as_json({"schema": "socmon.alerts.show/v1", "alert": page}))
        case "ndjson":
            click.echo(as_json(alert_object(alert, found.rules, deliveries)))
        case "csv":
            write_csv([alert_row(alert)], ALERT_COLUMNS)
        case "human":
            write_page(options, alert, deliveries, found.rules)
    return None


def _tell_candidates(options: Options, prefix: str, candidates: list[Alert]) -> int:
    tr = options.tr
    click.echo(tr("several alerts begin with {prefix!r}; type more of the id:", prefix=prefix[:40]), err=True)
    for alert in candidates[:_MAX_CANDIDATES]:
        line = f"  {alert.id}  {clock(alert.last_us, options.zone)}  {tr(alert.title)}  {about(alert)}"
        click.echo(printable(line), err=True)
    if len(candidates) > _MAX_CANDIDATES:
        click.echo("  …", err=True)
    return USAGE


@command.command("tail")
@follow.options
@click.option("-f", "--follow", "following", is_flag=True, help="Go on as alerts come and grow, until Ctrl-C.")
@click.pass_obj
def tail(options: Options, lines: int, *, following: bool) -> int:
    """Show the alerts that changed last, each as it is now; the latest change last."""
    return follow.tail(options, lines, following=following)
