"""`socmon sources`: what was ever heard, when last, and how well its clock goes; who is expected, and who is silent."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import click
from msgspec import Struct

from socmon.cli import Options, place
from socmon.cli.output import Column, Row, as_json, terminal_width, write_csv, write_ndjson, write_table
from socmon.cli.shown import clock, skew, span
from socmon.event import SECOND_US, rfc3339
from socmon.i18n import Translator, mark
from socmon.seen import Expected, Seen, Silence
from socmon.store.reading import consult
from socmon.store.sources import read_seen, read_silences

CLOCK_OFF_US = 60 * SECOND_US
_WIDE = 130  # columns of a terminal that has room for the time of the last event
_COLUMNS = (
    "section", "name", "state", "silent_after_s", "silent_since", "collector", "peer", "host", "format",
    "authenticated", "records", "first_heard", "last_heard", "last_event", "skew_s", "clock_off",
)  # fmt: skip

State = Literal["ok", "silent", "never"]
_STATES: Mapping[State, str] = {"ok": mark("normal"), "silent": mark("silent"), "never": mark("never")}
_STATE_COLORS: Mapping[State, str] = {"silent": "red", "never": "yellow"}


class Standing(Struct, frozen=True):
    """How it stands with an expected source.

    Attributes:
        state: `never`: not heard yet, and not missed yet.
        since_us: since when it is silent.
        records: of all clocks that it means.
        last: the one of them that was heard last.
        skew_us: of the one that is furthest off.
    """

    expected: Expected
    state: State
    since_us: int | None
    records: int
    last: Seen | None
    skew_us: int | None


@click.group("sources")
def command() -> None:
    """Look at where logs come from. Needs no daemon; it reads the store of the configuration of -c."""


@command.command("list")
@click.pass_obj
def list_(options: Options) -> None:
    """List every source that was ever heard, the expected ones first.

    The clock is receipt less event time: with a minus it is ahead of ours, with a plus behind, or delivered late.
    """
    found = place.find(options.config)
    seen, silences = consult(found.store, lambda reader: ([*read_seen(reader.db)], [*read_silences(reader.db)]))
    standings = [*standings_of(found.sources, seen, {each.name: each for each in silences})]
    match options.output:
        case "json":
            expected = [_expected_row(each) for each in standings]
            rows = [_seen_row(each) for each in seen]
            click.echo(as_json({"schema": "socmon.sources.list/v1", "expected": expected, "sources": rows}))
        case "ndjson":
            write_ndjson(_rows(standings, seen))
        case "csv":
            write_csv(({name: row.get(name) for name in _COLUMNS} for row in _rows(standings, seen)), _COLUMNS)
        case "human":
            _write(options, standings, seen)


def standings_of(
    expected: Sequence[Expected], seen: Sequence[Seen], silences: Mapping[str, Silence]
) -> Iterator[Standing]:
    """Each of `expected`, in its order."""
    for each in expected:
        meant = [row for row in seen if each.means(row.clock)]
        silence = silences.get(each.name)
        since_us = silence.since_us if silence and silence.state == "silent" else None
        heard: State = "ok" if meant else "never"
        skews = (row.skew_us for row in meant if row.skew_us is not None)
        yield Standing(
            expected=each,
            state=heard if since_us is None else "silent",
            since_us=since_us,
            records=sum(row.records for row in meant),
            last=max(meant, key=lambda row: row.frame, default=None),
            skew_us=max(skews, key=abs, default=None),
        )


def _rows(standings: Sequence[Standing], seen: Sequence[Seen]) -> Iterator[Row]:
    for each in standings:
        yield {"section": "expected", **_expected_row(each)}
    for row in seen:
        yield {"section": "seen", **_seen_row(row)}


def _expected_row(each: Standing) -> Row:
    last = each.last
    return {
        "name": each.expected.name,
        "state": each.state,
        "silent_after_s": each.expected.silent_after_s,
        "silent_since": _time(each.since_us),
        "collector": each.expected.collector,
        "peer": each.expected.peer,
        "host": each.expected.host,
        "records": each.records,
        "last_heard": _time(last.last_us if last else None),
        "last_event": _time(last.last_event_us if last else None),
        **_skew_row(each.skew_us),
    }


def _seen_row(row: Seen) -> Row:
    return {
        "collector": row.collector,
        "peer": row.peer,
        "host": row.host,
        "format": row.format,
        "authenticated": row.authenticated,
        "records": row.records,
        "first_heard": rfc3339(row.first_us),
        "last_heard": rfc3339(row.last_us),
        "last_event": _time(row.last_event_us),
        **_skew_row(row.skew_us),
    }


def _skew_row(skew_us: int | None) -> Row:
    return {"skew_s": None if skew_us is None else skew_us / SECOND_US, "clock_off": _is_off(skew_us)}


def _is_off(skew_us: int | None) -> bool:
    return skew_us is not None and abs(skew_us) > CLOCK_OFF_US


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else rfc3339(time_us)


def _write(options: Options, standings: Sequence[Standing], seen: Sequence[Seen]) -> None:
    tr, now_us = options.tr, time.time_ns() // 1000
    if standings:
        _write_expected(tr, standings, now_us)
        click.echo()
    if seen:
        _write_seen(options, seen, now_us)
    else:
        click.echo(tr("no source was heard yet"))
    if not options.quiet and any(_is_off(row.skew_us) for row in seen):
        click.echo()
        click.echo(tr("! the clock is off by more than a minute: − is ahead of ours, + is behind or delivered late"))


def _write_expected(tr: Translator, standings: Sequence[Standing], now_us: int) -> None:
    columns = (
        Column(tr("EXPECTED"), flexible=True),
        Column(tr("STATE"), style=lambda text, number: _colored(text, standings[number].state)),
        Column(tr("HEARD"), right=True),
        Column(tr("INTERVAL"), right=True),
        Column(tr("CLOCK"), right=True, style=lambda text, number: _clock_colored(text, standings[number].skew_us)),
        Column(tr("COLLECTOR"), flexible=True),
        Column(tr("PEER"), flexible=True),
        Column(tr("HOST"), flexible=True),
    )
    rows = [
        [
            each.expected.name,
            tr(_STATES[each.state]),
            "-" if each.last is None else span(now_us - each.last.last_us, tr),
            span(int(each.expected.silent_after_s * SECOND_US), tr),
            _clock(each.skew_us, tr),
            each.expected.collector,
            each.expected.peer or "",
            each.expected.host or "",
        ]
        for each in standings
    ]
    write_table(columns, rows)


def _write_seen(options: Options, seen: Sequence[Seen], now_us: int) -> None:
    tr = options.tr
    wide = (terminal_width() or _WIDE) >= _WIDE
    columns: list[Column] = [
        Column(tr("COLLECTOR"), flexible=True),
        Column(tr("PEER"), flexible=True),
        Column(tr("HOST"), flexible=True),
        Column(tr("FORMAT"), flexible=True),
        Column(tr("RECORDS"), right=True),
        Column(tr("HEARD"), right=True),
        *([Column(tr("LAST EVENT"))] if wide else []),
        Column(tr("CLOCK"), right=True, style=lambda text, number: _clock_colored(text, seen[number].skew_us)),
        Column("", flexible=True),
    ]
    rows = [_seen_cells(options, row, now_us, wide=wide) for row in seen]
    write_table(columns, rows)


def _seen_cells(options: Options, row: Seen, now_us: int, *, wide: bool) -> list[Any]:
    tr = options.tr
    event = "-" if row.last_event_us is None else clock(row.last_event_us, options.zone)
    return [
        row.collector,
        row.peer,
        row.host or "-",
        row.format,
        str(row.records),
        span(now_us - row.last_us, tr),
        *([event] if wide else []),
        _clock(row.skew_us, tr),
        "" if row.authenticated else tr("unauthenticated"),
    ]


def _clock(skew_us: int | None, tr: Translator) -> str:
    if skew_us is None:
        return "-"
    return f"{skew(skew_us, tr)} !" if _is_off(skew_us) else skew(skew_us, tr)


def _clock_colored(text: str, skew_us: int | None) -> str:
    return click.style(text, fg="red") if _is_off(skew_us) else text


def _colored(text: str, state: State) -> str:
    return click.style(text, fg=_STATE_COLORS.get(state), bold=state == "silent")
