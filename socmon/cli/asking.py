"""Which alerts a command is asked for: its options, and the times in them."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import click

from socmon.cli import Options
from socmon.cli.completing import offer_levels, offer_statuses
from socmon.event import LEVELS, to_us
from socmon.i18n import mark, sources
from socmon.store.reading import STATUSES, Filter

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MAX_CHARS = 40
MAX_COUNT = 1_000_000_000  # of alerts that are asked for; SQLite takes no more than 63 bits


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a Filter; `wanted` makes it."""
    for option in reversed(
        (
            click.option(
                "--level",
                metavar="LEVEL[+]",
                shell_complete=offer_levels,
                help=f"One of {', '.join(LEVELS)}; high+ is high and above.",
            ),
            click.option(
                "--status",
                metavar="STATUS",
                shell_complete=offer_statuses,
                help=f"One of {', '.join(STATUSES)}.",
            ),
            click.option("--rule", metavar="TEXT", help="A rule's id, or a part of its title, in either language."),
            click.option("--agency", metavar="ID", help="Of this agency, by its id."),
            click.option("--host", metavar="NAME", help="On this host."),
            click.option("--entity", metavar="VALUE", help="With this address, user, host, domain or hash in it."),
            click.option("--since", metavar="TIME", help="Last event at or after: 30m, 2h, 7d ago, or ISO 8601."),
            click.option("--until", metavar="TIME", help="Last event at or before, in the same form."),
        )
    ):
        command = option(command)
    return command


def wanted(options: Options, **given: str | None) -> Filter:
    """The Filter of the options above, as click passes them.

    Raises:
        BadParameter: a level or time is none, or a text is no UTF-8.
    """
    for name, text in given.items():
        if text is not None and any("\ud800" <= char <= "\udfff" for char in text):  # how Python shows other bytes
            raise click.BadParameter(options.tr("it is not UTF-8"), param_hint=f"--{name}")
    level = given["level"]
    if level is not None and level.removesuffix("+") not in LEVELS:
        text = options.tr("{value!r} is no level; one of: {known}", value=level[:_MAX_CHARS], known=", ".join(LEVELS))
        raise click.BadParameter(text, param_hint="--level")
    status = given["status"]
    if status is not None and status not in STATUSES:
        text = options.tr(
            "{value!r} is no status; one of: {known}", value=status[:_MAX_CHARS], known=", ".join(STATUSES)
        )
        raise click.BadParameter(text, param_hint="--status")
    times = {name: time_of(options, f"--{name}", given[name]) for name in ("since", "until")}
    rule = given["rule"]
    return Filter(
        level=level,
        status=status,
        rule=rule,
        titles=sources(rule) if rule else (),
        agency=given["agency"],
        host=given["host"],
        entity=given["entity"],
        since_us=times["since"],
        until_us=times["until"],
    )


def time_of(options: Options, name: str, text: str | None) -> int | None:
    """Microseconds since the epoch; a time without an offset is in the zone of --tz."""
    if text is None:
        return None
    number, unit = text[:-1], text[-1:]
    try:
        if number.isascii() and number.isdigit() and unit in _UNITS:
            return time.time_ns() // 1000 - timedelta(**{_UNITS[unit]: int(number)}) // timedelta(microseconds=1)
        stated = datetime.fromisoformat(text)
        return to_us(stated.replace(tzinfo=options.zone).astimezone() if stated.tzinfo is None else stated)
    except (ValueError, OverflowError) as error:
        what = mark("{value!r} is no time; write 30m, 2h or 7d for that long ago, or 2026-11-26T08:00")
        raise click.BadParameter(options.tr(what, value=text[:_MAX_CHARS]), param_hint=name) from error
