"""`socmon feed show`: what became of one alert at each destination; from the store alone."""

import json
from collections.abc import Iterator
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

import click

from socmon.cli import NOT_FOUND, CommandError, Options, place
from socmon.cli.completing import offer_destinations
from socmon.cli.output import as_json, write_csv, write_ndjson
from socmon.cli.shown import clock
from socmon.event import rfc3339
from socmon.i18n import Message, Translator, mark
from socmon.text import printable

if TYPE_CHECKING:
    from socmon.event import Alert
    from socmon.store.delivery import Delivery
    from socmon.store.reading import Reader

_TIMES = ("released", "settled", "made", "time")
_COLUMNS = (
    "destination", "id", "stream", "epoch", "seq", "revision", "state", "code", "released", "settled", "receipt",
    "aggregate", "closing",
)  # fmt: skip
_VERBS = {"approve": mark("approved"), "withdraw": mark("withdrawn"), "drop": mark("dropped")}


@click.command("show")
@click.argument("alert_id", metavar="ID")
@click.option("--destination", metavar="NAME", shell_complete=offer_destinations, help="Only there.")
@click.option("--message", is_flag=True, help="The last message of it that is still kept, too.")
@click.pass_obj
def show(options: Options, alert_id: str, destination: str | None, *, message: bool) -> int:
    """Show what became of the alert ID at each destination; needs no daemon.

    Its releases with their sequences and states, the aggregate that it went in, the sequences in which it does not
    come, what people decided and why, and what holds it now. ID is an alert's id, or as much of its beginning as tells
    it from others.
    """
    from socmon.cli.alert_ids import candidates, not_found, tell_candidates
    from socmon.store.delivery import look
    from socmon.store.destination import known
    from socmon.store.reading import consult

    found = place.find(options.config)

    def read(reader: "Reader") -> tuple[list["Alert"], list[str], list["Delivery"]]:
        names = sorted(known(reader.db) | {*found.forwarders})
        alerts = candidates(reader, alert_id)
        wanted = [name for name in names if destination in (None, name)]
        several = len(alerts) != 1
        return alerts, names, [] if several else [*look(reader.db, alerts[0].id, wanted, message=message)]

    alerts, names, deliveries = consult(found.store, read)
    if destination is not None and destination not in names:
        text = mark("no destination is called {name!r}; known: {known}")
        raise CommandError(Message(text, name=destination[:40], known=", ".join(names) or "-"), NOT_FOUND)
    if not alerts:
        raise not_found(alert_id)
    if len(alerts) > 1:
        return tell_candidates(options, alert_id, alerts)
    _write(options, alerts[0], deliveries)
    return 0


def _write(options: Options, alert: "Alert", deliveries: "list[Delivery]") -> None:
    rows = [_told(each) for each in deliveries]
    match options.output:
        case "json":
            told = {"id": alert.id, "title": alert.title, "revision": alert.revision + alert.analyst_revision}
            click.echo(as_json({"schema": "socmon.feed.show/v1", "alert": told, "destinations": rows}))
        case "ndjson":
            write_ndjson(rows)
        case "csv":
            write_csv((each for row in rows for each in row["releases"]), _COLUMNS)
        case "human":
            for line in _page(alert, deliveries, options.tr, options.zone):
                click.echo(printable(line))


def _told(delivery: "Delivery") -> dict[str, Any]:
    return {
        "destination": delivery.destination,
        "pending_since": None if delivery.pending_us is None else rfc3339(delivery.pending_us),
        "held": delivery.held,
        "releases": [_timed(each) for each in delivery.releases],
        "voids": [_timed(each) for each in delivery.voids],
        "decisions": [_timed(each) for each in delivery.decisions],
        "message": None if delivery.message is None else _read(delivery.message),
    }


def _timed(row: dict[str, Any]) -> dict[str, Any]:
    return {name: rfc3339(value) if name in _TIMES and value is not None else value for name, value in row.items()}


def _read(body: bytes) -> Any:
    """The message as JSON; as text where it is none, such as syslog."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")


def _page(alert: "Alert", deliveries: "list[Delivery]", tr: Translator, zone: tzinfo | None) -> Iterator[str]:
    yield f"{alert.id}  r{alert.revision + alert.analyst_revision}  {tr(alert.title)}"
    if not deliveries:
        yield tr("it was released to nobody yet")
    for each in deliveries:
        yield each.destination
        yield from (f"  {line}" for line in _lines(each, tr, zone))


def _lines(delivery: "Delivery", tr: Translator, zone: tzinfo | None) -> Iterator[str]:
    for row in delivery.releases:
        yield _of_release(row, tr, zone)
    for row in delivery.voids:
        text = mark("void: {stream} {seq} to {last}, {reason}, {state}")
        place_of = {"stream": row["stream"], "seq": row["seq"], "last": row["to_seq"]}
        yield tr(text, **place_of, reason=row["reason"], state=tr(row["state"]))
    for row in delivery.decisions:
        verb, time_text = tr(_VERBS[row["verb"]]), clock(row["time"], zone)
        said = tr("{verb} by {actor} at {time}", verb=verb, actor=row["actor"], time=time_text)
        yield f"{said}: {row['reason']}" if row["reason"] else said
    if delivery.pending_us is not None:
        text = tr("waits for its release since {time}", time=clock(delivery.pending_us, zone))
        yield f"{text}  ({tr(delivery.held)})" if delivery.held else text
    if delivery.message is not None:
        yield as_json(_read(delivery.message))


def _of_release(row: dict[str, Any], tr: Translator, zone: tzinfo | None) -> str:
    words = [f"{row['id']:>8}", f"{row['stream']} {row['seq']}", f"r{row['revision']}", tr(row["state"])]
    words += [f"({row['code']})"] if row["code"] else []
    words += [clock(row["released"], zone), tr("with a receipt") if row["receipt"] else tr("without a receipt")]
    words += [tr("in aggregate {number}", number=row["aggregate"])] if row["aggregate"] is not None else []
    words += [tr("closing")] if row["closing"] else []
    return "  ".join(words)
