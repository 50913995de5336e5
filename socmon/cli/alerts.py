"""`socmon alerts`: look at alerts, from the store's file, whether or not the daemon runs; and test their way."""

import click

from socmon.cli import Options, follow, place
from socmon.cli.alert_ids import candidates, not_found, tell_candidates
from socmon.cli.alert_page import alert_object, write_page
from socmon.cli.alerts_test import test
from socmon.cli.alerts_triage import ack, close, comment, reopen
from socmon.cli.asking import MAX_COUNT, filter_options, wanted
from socmon.cli.output import Column, as_json, terminal_width, write_csv, write_ndjson, write_table
from socmon.cli.shown import ALERT_COLUMNS, SHORT_ID, about, alert_row, clock, colored_level, short_clocks, status_word
from socmon.event import Alert
from socmon.store.reading import Delivery, Reader, consult

_WIDE = 110  # columns of a terminal that has room for years


@click.group("alerts")
def command() -> None:
    """Look at alerts, triage them, and test their way.

    Looking needs no daemon; it reads the store of the configuration of -c.
    """


for each in (ack, close, reopen, comment, test):
    command.add_command(each)


@command.command("list")
@filter_options
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, MAX_COUNT), help="The newest so many.")
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
            (
                each.id[:SHORT_ID],
                at,
                tr(each.level),
                status_word(each, tr),
                str(each.count),
                tr(each.title),
                about(each),
            )
            for each, at in zip(alerts, times, strict=True)
        ]
        write_table(columns, rows)
    if not options.quiet and total == 0:
        click.echo(tr("no alerts"), err=True)
    elif not options.quiet and total > len(alerts):
        click.echo(tr("{shown} of {total} alerts; --limit shows more", shown=len(alerts), total=total), err=True)


@command.command("show")
@click.argument("alert_id", metavar="ID")
@click.option("--masked", "is_masked", is_flag=True, help="Mask passwords, tokens and keys in its evidence.")
@click.pass_obj
def show(options: Options, alert_id: str, *, is_masked: bool) -> int | None:
    """Show all about one alert: ID is its id, or as much of its beginning as tells it from others.

    Exits with 5 where there is no such alert, with 2 where several begin so.
    """
    from socmon.store.triage import Entry, history

    found = place.find(options.config)

    def look(reader: Reader) -> tuple[list[Alert], list[Delivery], list[Entry]]:
        alerts = candidates(reader, alert_id)
        if len(alerts) != 1:
            return alerts, [], []
        alert = reader.with_evidence(alerts[0])
        return [alert], reader.deliveries(alert.id), history(reader.db, alert.id)

    alerts, deliveries, entries = consult(found.store, look)
    if not alerts:
        raise not_found(alert_id)
    if len(alerts) > 1:
        return tell_candidates(options, alert_id, alerts)
    (alert,) = alerts
    if is_masked:
        from socmon.feed.masking import masked_alert

        alert = masked_alert(alert)
    match options.output:
        case "json":
            page = alert_object(alert, found.rules, deliveries, entries)
            click.echo(as_json({"schema": "socmon.alerts.show/v1", "alert": page}))
        case "ndjson":
            click.echo(as_json(alert_object(alert, found.rules, deliveries, entries)))
        case "csv":
            write_csv([alert_row(alert)], ALERT_COLUMNS)
        case "human":
            write_page(options, alert, deliveries, found.rules, entries)
    return None


@command.command("tail")
@follow.options
@click.option("-f", "--follow", "following", is_flag=True, help="Go on as alerts come and grow, until Ctrl-C.")
@click.pass_obj
def tail(options: Options, /, lines: int, *, following: bool, **given: str | None) -> int:
    """Show the alerts that changed last, each as it is now; the latest change last.

    New ones, ones that grow, and what analysts do with them, comments too.
    """
    return follow.tail(options, lines, following=following, **given)
