"""Following alerts: each change once, in the order of the store's count of them; over restarts and a new store too."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from socmon.cli import INTERRUPTED, READER_GONE, Options, place, reader_gone
from socmon.cli.asking import MAX_COUNT, filter_options, wanted
from socmon.cli.output import as_json, cut, terminal_width, width_of, write_csv, write_ndjson
from socmon.cli.shown import ALERT_COLUMNS, alert_line, alert_row, colored_level
from socmon.errors import NotFoundError
from socmon.event import Alert
from socmon.store.reading import ALL, Filter, Reader, consult
from socmon.text import printable

_POLL_S = 0.25
_AT_ONCE = 500  # changes that are read in one go


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of `tail`."""
    lines = click.option(
        "-n", "--lines", default=10, show_default=True, type=click.IntRange(0, MAX_COUNT),
        help="Begin with the last so many.",
    )  # fmt: skip
    return lines(filter_options(command))


class Following:
    """The changes of a store, from the last `lines` on.

    An alert that changed several times between two looks comes once, as it is then. When another file takes the store's
    place, what the old one had comes to its end first; an alert that stood in the old one in the same or a newer
    revision is no news in the new one. A change is told if the alert is `wanted` as it is after it.
    """

    def __init__(self, path: Path, lines: int, wanted: Filter = ALL) -> None:
        """Nothing is opened yet."""
        self._path = path
        self._lines = lines
        self._wanted = wanted
        self._reader: Reader | None = None
        self._before: Reader | None = None
        self._seen = 0
        self.behind = False  # there may be more already
        self._waited = False  # there was no store at first: all that comes into it is news

    def close(self) -> None:
        """Close what is open."""
        for reader in (self._reader, self._before):
            if reader is not None:
                reader.close()

    def look(self) -> list[Alert]:
        """What has changed since the last look, in the order of its last change.

        Raises:
            NotFoundError: there is no store yet.
            PermissionError: this user may not read it.
            StoreError: it cannot be read.
        """
        if self._reader is None:
            try:
                self._reader = Reader(self._path)
            except NotFoundError:
                self._waited = True
                raise
            if not self._waited:
                return self._begin(self._reader)
        successor = self._successor(self._reader)  # opened first: what came before it is read to its end
        news, whole = self._news(self._reader)
        if successor is None:
            return news
        if not whole:
            successor.close()
            return news
        if successor.identity == self._reader.identity:
            self._reader.close()
        else:
            if self._before is not None:
                self._before.close()
            self._before, self._seen = self._reader, 0
        self._reader = successor
        return news + self._news(successor)[0]

    def _successor(self, reader: Reader) -> Reader | None:
        """Who reads from now on: of another file, or of this one where `reader` sees nothing that is written to it."""
        if not (reader.immutable or reader.replaced()):
            return None
        try:
            return Reader(self._path)
        except NotFoundError:  # it is being made
            return None

    def _begin(self, reader: Reader) -> list[Alert]:
        alerts, self._seen = reader.last_changes(self._lines, self._wanted)
        return alerts

    def _news(self, reader: Reader) -> tuple[list[Alert], bool]:
        """What is new, and whether that is all of it."""
        alerts, self._seen, self.behind = reader.changes(self._seen, _AT_ONCE, self._wanted)
        before = self._before
        if before is not None:
            alerts = [each for each in alerts if each.revision + each.analyst_revision > before.revision(each.id)]
        return alerts, not self.behind


def tail(options: Options, lines: int, *, following: bool, **given: str | None) -> int:
    """Write the last changes of what `given` asks for, and go on if `following`; the exit code."""
    path, asked = place.find(options.config).store, wanted(options, **given)
    if not following:
        alerts, _ = consult(path, lambda reader: reader.last_changes(lines, asked))
        _write(options, alerts, header=True)
        return 0
    if options.output == "json":
        text = options.tr("-o json is one object, which would never end here; use -o ndjson")
        raise click.UsageError(text)
    try:
        with closing(Following(path, lines, asked)) as following_it:
            _follow(options, following_it)
    except KeyboardInterrupt:
        return INTERRUPTED
    return READER_GONE


def _follow(options: Options, changes: Following) -> None:
    """Write what comes until nobody reads it any more."""
    told = False
    header = True
    while not reader_gone():
        try:
            alerts = changes.look()
        except NotFoundError as error:
            if not told and not options.quiet:
                click.echo(f"socmon: {printable(options.tr(error.args[0]))}", err=True)
            told, alerts = True, []
        if alerts or header:
            _write(options, alerts, header=header)
            header = False
        if not changes.behind:
            time.sleep(_POLL_S)


def _write(options: Options, alerts: Sequence[Alert], *, header: bool) -> None:
    match options.output:
        case "json":
            rows = [alert_row(alert) for alert in alerts]
            click.echo(as_json({"schema": "socmon.alerts.tail/v1", "alerts": rows}))
        case "ndjson":
            write_ndjson(map(alert_row, alerts))
        case "csv":
            write_csv(map(alert_row, alerts), ALERT_COLUMNS, header=header)
        case "human":
            for alert in alerts:
                click.echo(_line(options, alert))


def _line(options: Options, alert: Alert) -> str:
    """One line; where a terminal is too narrow for it, its end is left out."""
    at, level, *rest = alert_line(alert, options.tr, options.zone)
    text = printable("  ".join(rest))
    if (width := terminal_width()) is not None:
        text = cut(text, max(20, width - width_of(f"{at}  {level}  ")))
    return f"{at}  {colored_level(level, alert.level)}  {text}"
