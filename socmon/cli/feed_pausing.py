"""`socmon feed pause` and `resume`: nothing goes to a destination for a while; all is kept for it."""

import re
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from typing import Any

import click
from msgspec import Struct

from socmon.cli import Options, place
from socmon.cli.feed_decisions import destination
from socmon.cli.output import as_json, write_csv
from socmon.cli.shown import clock
from socmon.event import rfc3339
from socmon.i18n import Message, Translator, mark
from socmon.store.pausing import Pause
from socmon.text import printable

PAUSED = mark("{name} is paused by {actor} until {time}")
PAUSED_FOR_GOOD = mark("{name} is paused by {actor} until somebody resumes it")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MAX_S = 366 * 86_400


class _Resumed(Struct, frozen=True):
    """The daemon's answer to `feed.resume`."""

    resumed: bool


class _Span(click.ParamType[int]):
    """`30m`, `1h`, `2d`; in seconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"([0-9]{1,9})([smhd])", str(value))
        seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
        if not 0 < seconds <= _MAX_S:
            self.fail(f"{value!r} is no time to pause for; write one such as 30m, 1h or 2d, at most 366d", param, ctx)
        return seconds


@click.command("pause")
@destination
@click.option("--for", "for_s", type=_Span(), help="How long, as 30m, 1h or 2d; until it is resumed by default.")
@click.option("--urgent", is_flag=True, help="Not even what is urgent; by default that goes on.")
@click.pass_obj
def pause(options: Options, destination: str, for_s: int | None, *, urgent: bool) -> None:
    """Send nothing to DESTINATION for a while; all is kept, and goes out afterwards.

    Stream `urgent` of the national centre's feed goes on, unless --urgent is said. A pause outlives a restart;
    `socmon status` warns of it. A second one takes the place of the first.
    """
    from socmon.cli.control_client import asking

    with asking(place.find(options.config).state_dir) as ask:
        paused = ask("feed.pause", Pause, destination=destination, for_s=for_s, urgent=urgent)
    _write(options, "pause", paused)
    if options.output == "human" and not options.quiet:
        click.echo(printable(options.tr(said(paused, options.zone))))


@click.command("resume")
@destination
@click.pass_obj
def resume(options: Options, destination: str) -> None:
    """Send to DESTINATION again after a pause."""
    from socmon.cli.control_client import asking

    with asking(place.find(options.config).state_dir) as ask:
        was_paused = ask("feed.resume", _Resumed, destination=destination).resumed
    _write(options, "resume", None, was_paused=was_paused, destination=destination)
    if options.output == "human" and not options.quiet:
        text = mark("{name} is not paused any more") if was_paused else mark("{name} was not paused")
        click.echo(printable(options.tr(text, name=destination)))


def told(pause: Pause) -> dict[str, Any]:
    """A pause for programs."""
    return {
        "destination": pause.destination,
        "since": rfc3339(pause.since_us),
        "until": None if pause.until_us is None else rfc3339(pause.until_us),
        "urgent": pause.urgent,
        "actor": pause.actor,
    }


def said(pause: Pause, zone: tzinfo | None) -> Message:
    """A pause for people."""
    values = {"name": pause.destination, "actor": pause.actor}
    if pause.until_us is None:
        return Message(PAUSED_FOR_GOOD, **values)
    return Message(PAUSED, **values, time=clock(pause.until_us, zone))


def lines(pauses: Sequence[Pause], tr: Translator, zone: tzinfo | None) -> Iterator[str]:
    """A line for each pause, above the rows of the queue."""
    urgent_goes_on = tr("what is urgent goes on")
    for each in pauses:
        text = tr(said(each, zone))
        yield printable(text if each.urgent else f"{text}; {urgent_goes_on}")


def _write(
    options: Options, verb: str, paused: Pause | None, *, was_paused: bool | None = None, destination: str = ""
) -> None:
    whole: dict[str, Any] = {"schema": "socmon.feed.pause/v1", "verb": verb}
    whole |= {"destination": paused.destination if paused else destination}
    whole |= {"pause": None if paused is None else told(paused), "was_paused": was_paused}
    match options.output:
        case "json" | "ndjson":
            click.echo(as_json(whole))
        case "csv":
            row = {"verb": verb, "destination": whole["destination"], "until": (whole["pause"] or {}).get("until")}
            write_csv([row], tuple(row))
        case "human":
            pass
