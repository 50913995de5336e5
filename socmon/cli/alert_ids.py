"""Alerts by their ids, or by as much of an id's beginning as tells it from others."""

from collections.abc import Sequence

import click

from socmon.cli import USAGE, Options
from socmon.cli.shown import about, clock
from socmon.errors import NotFoundError
from socmon.event import Alert
from socmon.i18n import Message, mark
from socmon.store.reading import Reader
from socmon.text import printable

_MAX_CANDIDATES = 20


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
