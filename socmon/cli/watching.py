"""`socmon status --watch`: one look after the other, drawn in place on a terminal, written one by one elsewhere.

On a terminal the alternate screen is used (xterm, "The Alternate Screen Buffer"), each picture is one write, and only
what differs is drawn over; at the end the last picture is left on the screen that was there before.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from msgspec import Struct, structs

from socmon.cli import INTERRUPTED, READER_GONE, Options, reader_gone
from socmon.cli.output import as_json, folded
from socmon.cli.shown import clock
from socmon.cli.status_page import Look, flat, page
from socmon.errors import SocmonError
from socmon.event import SECOND_US
from socmon.i18n import Translator, mark
from socmon.ledger import Account
from socmon.text import printable

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # alternate screen; the cursor is hidden there
_HOME, _TO_LINE_END, _TO_SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"
_WRAP_OFF, _WRAP_ON = "\x1b[?7l", "\x1b[?7h"  # what is too wide after all is cut, and moves no other line
_TERMINATED = 143
_COMPARED = {"collector", "destination", "alerts"}

Row = tuple[str, str, str]


class Seen(Struct):
    """What is remembered between two looks.

    Attributes:
        accounts, taken_us: the ledger, and when it was stored; a new one is needed for a new rate.
        rates: records a second by collector, between the last two ledgers that differ.
        rows: the figures of the last look.
        told: the last changes in words, and when they were seen.
    """

    accounts: Mapping[str, Account] = {}
    taken_us: int = 0
    rates: dict[str, float] = {}
    rows: dict[Row, int] | None = None
    told: tuple[int, str] = (0, "")


class Change(Struct, frozen=True):
    """A figure that is another one than at the last look."""

    section: str
    name: str
    field: str
    before: int
    after: int


def watch(options: Options, interval_s: float, look: Callable[[], Look]) -> int:
    """Show `look` every `interval_s` until Ctrl-C, or until nobody reads it any more; the exit code."""
    if options.output in {"json", "csv"}:
        text = options.tr("-o {form} is one result, which would never end here; use -o ndjson", form=options.output)
        raise click.UsageError(text)
    look()  # what cannot work at all is told before the screen is taken
    on_screen = options.output == "human" and sys.stdout.isatty()
    show = _drawn if on_screen else _written
    try:
        with _resizes_wake(), _terminated_by_signal():
            return show(options, interval_s, look)
    except KeyboardInterrupt:
        return INTERRUPTED


def _written(options: Options, interval_s: float, look: Callable[[], Look]) -> int:
    seen = Seen()
    while not reader_gone():
        started_s = time.monotonic()
        if options.output == "ndjson":
            found = _tried(look)
            if isinstance(found, Look):
                click.echo(as_json(_object(found, seen)))  # click flushes
            else:
                click.echo(f"socmon: {printable(options.tr(found))}", err=True)
        else:
            click.echo("\n".join([*_picture(options, interval_s, look, seen), ""]))
        _pause(interval_s, started_s)
    return READER_GONE


def _drawn(options: Options, interval_s: float, look: Callable[[], Look]) -> int:
    """Draw until interrupted; then the last picture stays."""
    seen = Seen()
    lines: list[str] = []
    _put(_ENTER)
    try:
        while True:
            started_s = time.monotonic()
            lines = _picture(options, interval_s, look, seen)
            _put(_screen(options, lines))
            _pause(interval_s, started_s)
    finally:
        _put(_LEAVE)
        for line in lines:
            click.echo(line)


def _picture(options: Options, interval_s: float, look: Callable[[], Look], seen: Seen) -> list[str]:
    """The lines of one look; of one that failed, why."""
    tr = options.tr
    found = _tried(look)
    now_us = found.now_us if isinstance(found, Look) else time.time_ns() // 1000
    seconds = f"{interval_s:g}"
    head = tr("{time}, every {seconds} s until Ctrl-C", time=clock(now_us, options.zone), seconds=seconds)
    if not isinstance(found, Look):
        return [*folded(head), "", *folded(printable(tr(found)))]
    if changes := _noted(found, seen):
        seen.told = now_us, ", ".join(_change(tr, change) for change in changes)
    at_us, what = seen.told
    told = ["", *folded(tr("changed at {time}: {what}", time=clock(at_us, options.zone), what=what))] if what else []
    return [*folded(head), "", *page(options, found, seen.rates), *told]


def _tried(look: Callable[[], Look]) -> Look | str:
    """A look, or why there is none just now: a configuration that is being written, a store that is being moved."""
    try:
        return look()
    except SocmonError as error:
        return error.args[0] if error.args else str(error)
    except OSError as error:
        return f"{error.filename or ''}: {(error.strerror or 'error').lower()}"


def _noted(found: Look, seen: Seen) -> list[Change]:
    """Bring `seen` up to date; what has changed since."""
    figures = found.figures
    if figures is not None and figures.taken_us is not None and figures.taken_us != seen.taken_us:
        passed_s = (figures.taken_us - seen.taken_us) / SECOND_US
        # A ledger that went back is another store's, or of a journal read anew.
        seen.rates = {
            name: (account.received - seen.accounts[name].received) / passed_s
            for name, account in figures.accounts.items()
            if passed_s > 0 and name in seen.accounts and account.received >= seen.accounts[name].received
        }
        seen.accounts, seen.taken_us = figures.accounts, figures.taken_us
    elif found.running is None:
        seen.rates = dict.fromkeys(seen.rates, 0.0)
    rows = dict(_numbers(found.status))
    before, seen.rows = seen.rows, rows
    if before is None:
        return []
    return [Change(*row, before.get(row, 0), after) for row, after in rows.items() if before.get(row, 0) != after]


def _numbers(status: dict[str, Any]) -> Iterator[tuple[Row, int]]:
    for row in flat(status):
        section, name, value = row["section"], row["name"], row["value"]
        if section not in _COMPARED or row["field"] == "in_flight":
            continue
        if type(value) is int:
            yield (section, name, row["field"]), value
        elif isinstance(value, dict) and row["field"] != "last_refusal":
            for inner, number in value.items():
                yield (section, name, inner), number


def _change(tr: Translator, change: Change) -> str:
    about = tr("alerts") if change.section == "alerts" else change.name
    field = tr(_FIELDS.get(change.field, change.field))
    return printable(f"{about} {field} {change.after - change.before:+}")


_FIELDS = {
    name: name
    for name in (
        mark("received"), mark("evaluated"), mark("unparsed"), mark("dropped"), mark("pending"), mark("waiting"),
        mark("acknowledged"), mark("dead"), mark("unrendered"), mark("total"),
    )
}  # fmt: skip


def _object(found: Look, seen: Seen) -> dict[str, Any]:
    changes = _noted(found, seen)
    rates = {name: round(rate, 3) for name, rate in seen.rates.items()}
    return {**found.status, "rates": rates, "changes": [structs.asdict(change) for change in changes]}


# ── the terminal ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _screen(options: Options, lines: list[str]) -> str:
    """One write that replaces what stands on the screen; what does not fit below is left out, and that is said."""
    rows = os.get_terminal_size(sys.stdout.fileno()).lines  # not LINES, which a shell may have exported long ago
    if len(lines) > rows:
        more = options.tr("{count} lines more; make the window higher", count=len(lines) - rows + 1)
        lines = [*lines[: rows - 1], more]
    context = click.get_current_context()
    shown = [click.unstyle(line) for line in lines] if context.color is False else lines
    # Each line is cleared before it is written: behind a full one, the cursor still stands on its last character.
    body = "\r\n".join(f"{_TO_LINE_END}{line}" for line in shown)
    rest = f"\r\n{_TO_SCREEN_END}" if len(shown) < rows else ""
    return f"{_WRAP_OFF}{_HOME}{body}{rest}{_WRAP_ON}"


def _put(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _pause(interval_s: float, started_s: float) -> None:
    """Wait for the next look, or a resize. A look that took long is followed by a rest as long, so half is the most."""
    took_s = time.monotonic() - started_s
    signal.sigtimedwait({signal.SIGWINCH}, max(interval_s - took_s, took_s))


@contextmanager
def _resizes_wake() -> Iterator[None]:
    """Let `_pause` see a resize (sigtimedwait(2) takes what is blocked)."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _terminated_by_signal() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the program by an exception, so that the terminal is left as it was."""

    def end(_number: int, _frame: object) -> None:
        raise click.exceptions.Exit(_TERMINATED)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
