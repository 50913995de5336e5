"""Alerts by their ids, or by as much of an id's beginning as tells it from others."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import click
from msgspec import Struct

from socmon.cli import USAGE, Options
from socmon.cli.shown import about, clock
from socmon.errors import NotFoundError
from socmon.event import Alert
from socmon.i18n import Message, mark
from socmon.store.reading import Reader, consult
from socmon.text import printable

_MAX_CANDIDATES = 20
_MAX_LINE_BYTES = 1 << 20  # of an alert as `alerts list -o ndjson` writes it


class Chosen(Struct, frozen=True):
    """Alerts by their whole ids, in the order in which they were typed; and what was typed and begins none."""

    alerts: dict[str, Alert]
    missing: list[str]


def choose(options: Options, store: Path, ids: Sequence[str]) -> Chosen | int:
    """The alerts that were typed, or are named on standard input for `-`; an exit code where one id is not enough.

    Raises:
        UsageError: there are none, or too many.
    """
    typed = _typed(options, ids)

    def look(reader: Reader) -> dict[str, list[Alert]]:
        return {each: candidates(reader, each) for each in typed}

    chosen = Chosen({}, [])
    for text, beginning_so in consult(store, look).items():
        if len(beginning_so) > 1:
            return tell_candidates(options, text, beginning_so)
        chosen.alerts.update({alert.id: alert for alert in beginning_so})
        chosen.missing.extend([] if beginning_so else [text])
    return chosen


def candidates(reader: Reader, typed: str) -> list[Alert]:
    """The alerts whose ids begin as `typed`, some more than `tell_candidates` shows at most."""
    prefix = typed.strip().lower()
    # What is no ASCII begins no id; bytes that are no UTF-8 could not even be asked for.
    return reader.beginning_with(prefix, _MAX_CANDIDATES + 1) if prefix and prefix.isascii() else []


def not_found(typed: str) -> NotFoundError:
    """The error that says so."""
    text = mark("no alert has an id that begins with {prefix!r}; `socmon alerts list` shows them")
    return NotFoundError(Message(text, prefix=typed[:40]))


def tell_candidates(options: Options, typed: str, alerts: Sequence[Alert]) -> int:
    """Say that `typed` is not enough of an id, and what it could be; the exit code."""
    tr = options.tr
    click.echo(tr("several alerts begin with {prefix!r}; type more of the id:", prefix=typed[:40]), err=True)
    for alert in alerts[:_MAX_CANDIDATES]:
        line = f"  {alert.id}  {clock(alert.last_us, options.zone)}  {tr(alert.title)}  {about(alert)}"
        click.echo(printable(line), err=True)
    if len(alerts) > _MAX_CANDIDATES:
        click.echo("  …", err=True)
    return USAGE


def _typed(options: Options, ids: Sequence[str]) -> list[str]:
    """The ids as they were typed, and those of standard input, each once.

    Raises:
        UsageError: there are none, or too many.
    """
    from socmon.store.triage import MAX_ALERTS

    typed: dict[str, None] = {}
    for text in ids:
        for each in _lines(options, sys.stdin.buffer) if text == "-" else (text,):
            typed[each] = None
            if len(typed) > MAX_ALERTS:
                raise click.UsageError(options.tr("at most {count} alerts at once", count=MAX_ALERTS))
    if not typed:
        raise click.UsageError(options.tr("no ids were given"))
    return list(typed)


def _lines(options: Options, lines: BinaryIO) -> Iterator[str]:
    """The id of each line that holds one: by itself, or as the member `id` of a JSON object."""
    import json

    while line := lines.readline(_MAX_LINE_BYTES):
        text = line.decode(errors="replace").strip()
        if text.startswith("{"):
            try:
                text = json.loads(text)["id"]
            except (ValueError, LookupError, RecursionError) as error:
                said = options.tr("a line of standard input is no alert: {line!r}", line=text[:40])
                raise click.UsageError(said) from error
        if text := str(text).strip():
            yield text
