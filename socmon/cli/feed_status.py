"""`socmon feed status`: how each destination stands, and whether something needs a person; from the store alone."""

import time
from collections.abc import Iterator
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

import click

from socmon.cli import NOT_FOUND, PROBLEMS, CommandError, Options, place
from socmon.cli.completing import offer_destinations
from socmon.cli.feed_pausing import lines as pause_lines
from socmon.cli.feed_pausing import told as pause_told
from socmon.cli.output import as_json, write_csv, write_ndjson
from socmon.cli.shown import clock, span
from socmon.event import rfc3339
from socmon.i18n import Message, Translator, mark
from socmon.text import printable

if TYPE_CHECKING:
    from socmon.store.destination import Destination, Stream

_COUNTS = ("pending", "held", "unapproved", "waiting", "dead", "acknowledged")
_COLUMNS = ("destination", "paused", *_COUNTS, "oldest", "last_acknowledged", "needs", "streams", "voids")
_WORDS = {
    "pending": mark("pending"), "held": mark("held"), "unapproved": mark("waits for approval"),
    "waiting": mark("waiting"), "dead": mark("dead"), "acknowledged": mark("acknowledged"),
}  # fmt: skip
_NEEDS = {
    "dead": mark("dead letters: `socmon feed queue --state dead`"),
    "unapproved": mark("alerts wait for approval: `socmon feed queue --state held`"),
    "losses": mark("alerts were lost on their way here"),
    "silent": mark("nothing was acknowledged for over an hour, and something waits"),
}


@click.command("status")
@click.argument("destination", required=False, shell_complete=offer_destinations)
@click.pass_obj
def status(options: Options, destination: str | None) -> int:
    """Show how DESTINATION stands, or each one; needs no daemon.

    Of each: whether it is paused, what is pending, held, waiting, dead and acknowledged, its streams with the last
    sequence that was given and the last that was acknowledged, and the sequences in which no alert comes, by reason.
    What was acknowledged is counted as long as it is kept. Exit code 1: something needs a person, and it says what:
    dead letters, alerts that wait for approval, losses, or nothing acknowledged while something waits for over an hour.
    """
    from socmon.store.destination import known, look
    from socmon.store.queue import opened
    from socmon.store.reading import readable

    found = place.find(options.config)
    readable(found.store)
    now_us = time.time_ns() // 1000
    with opened(found.store) as db:
        names = known(db) | {*found.forwarders}
        if destination is not None and destination not in names:
            text = mark("no destination is called {name!r}; known: {known}")
            raise CommandError(Message(text, name=destination[:40], known=", ".join(sorted(names)) or "-"), NOT_FOUND)
        states = [*look(db, sorted(names) if destination is None else [destination], now_us)]
    _write(options, states, now_us)
    return PROBLEMS if any(each.needs(now_us) for each in states) else 0


def _write(options: Options, states: "list[Destination]", now_us: int) -> None:
    rows = [_told(each, now_us) for each in states]
    match options.output:
        case "json":
            whole = {"schema": "socmon.feed.status/v1", "time": rfc3339(now_us), "destinations": rows}
            click.echo(as_json(whole))
        case "ndjson":
            write_ndjson(rows)
        case "csv":
            write_csv(rows, _COLUMNS)
        case "human":
            for each in states:
                for line in _page(each, now_us, options.tr, options.zone):
                    click.echo(printable(line))
            if not states and not options.quiet:
                click.echo(options.tr("there are no destinations"), err=True)


def _told(state: "Destination", now_us: int) -> dict[str, Any]:
    from socmon.store.destination import LOSSES

    return {
        "destination": state.destination,
        "paused": None if state.paused is None else pause_told(state.paused),
        **{name: getattr(state, name) for name in _COUNTS},
        "oldest": _moment(state.oldest_us),
        "last_acknowledged": _moment(state.acknowledged_us),
        "needs": state.needs(now_us),
        "streams": [
            {
                "stream": each.stream,
                "epoch": each.epoch,
                "last_seq": each.last_seq,
                "waiting": each.waiting,
                "acknowledged_seq": each.acknowledged_seq,
                "acknowledged": _moment(each.acknowledged_us),
            }
            for each in state.streams
        ],
        "voids": [
            {"reason": reason, "sequences": number, "lost": reason in LOSSES} for reason, number in state.voids.items()
        ],
    }


def _moment(time_us: int | None) -> str | None:
    return None if time_us is None else rfc3339(time_us)


def _page(state: "Destination", now_us: int, tr: Translator, zone: tzinfo | None) -> Iterator[str]:
    from socmon.store.destination import LOSSES

    yield state.destination
    yield from (f"  {line}" for line in pause_lines([state.paused] if state.paused else [], tr, zone))
    yield "  " + ", ".join(f"{tr(_WORDS[name])} {getattr(state, name)}" for name in _COUNTS)
    if state.oldest_us is not None:
        yield "  " + tr("the oldest waits for {age}", age=span(now_us - state.oldest_us, tr))
    if state.acknowledged_us is None:
        yield "  " + tr("nothing was acknowledged yet")
    else:
        yield "  " + tr("last acknowledged at {time}", time=clock(state.acknowledged_us, zone))
    yield from (f"  {_of_stream(each, tr, zone)}" for each in state.streams)
    for reason, number in state.voids.items():
        text = tr.many("void ({reason}): {count} sequence", "void ({reason}): {count} sequences", number, reason=reason)
        yield "  " + (text + "  " + tr("LOST") if reason in LOSSES else text)
    yield from ("  ! " + tr(_NEEDS[each]) for each in state.needs(now_us))


def _of_stream(stream: "Stream", tr: Translator, zone: tzinfo | None) -> str:
    text = tr(
        "stream {name}: epoch {epoch}, last sequence {seq}, waiting {count}",
        name=stream.stream,
        epoch=stream.epoch,
        seq=stream.last_seq,
        count=stream.waiting,
    )
    if stream.acknowledged_us is None:
        return text
    time_text = clock(stream.acknowledged_us, zone)
    return text + "; " + tr("{seq} acknowledged at {time}", seq=stream.acknowledged_seq, time=time_text)
