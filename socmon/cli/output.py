"""The forms of a result: tables for people, JSON and CSV for programs (RFC 8259, RFC 4180)."""

import io
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import click

from socmon.text import VISIBLE, printable

Row = dict[str, Any]
Style = Callable[[str, int], str]

# Inside a JSON text these can stand in strings only; below U+0020 the encoder has escaped them already.
_ESCAPED = {code: f"\\u{code:04x}" for code in VISIBLE if code >= 0x20}
_MIN_WIDTH = 8
_COMFORTABLE = 16  # so much of a text is left before headings are cut
_MIN_HEADING = 4  # what a narrow terminal leaves of a heading that is wider than all below it


def as_json(value: object) -> str:
    """One line of JSON in which nothing can steer a terminal: controls and lone surrogates stand as escapes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPED)


class Form(NamedTuple):
    """How rows are printed: schema and key of the one object of `-o json`, columns of CSV, a line for people."""

    schema: str
    key: str
    columns: Sequence[str]
    human: Callable[[Row], str]


def write_rows(
    rows: Iterable[Row], output: str, form: Form, more: Row | None = None, after: Callable[[], Row] = dict
) -> None:
    """Write every row to standard output as it comes, so that none has to be held.

    Args:
        more: members of the one object of `-o json` that stand before the rows.
        after: called behind the last row; members that stand behind them, and of `-o ndjson` a last object.
    """
    if output == "json":
        _write_object(rows, form, more or {}, after)
        return
    if output == "csv":
        click.echo(csv_row(form.columns), nl=False)
    for row in rows:
        if output == "csv":
            click.echo(csv_row(row[column] for column in form.columns), nl=False)
        else:
            click.echo(as_json(row) if output == "ndjson" else printable(form.human(row)))
    if output == "ndjson" and (behind := after()):
        click.echo(as_json(behind))


def _write_object(rows: Iterable[Row], form: Form, more: Row, after: Callable[[], Row]) -> None:
    """One object with all rows: the bytes that `as_json` would give for the whole."""
    head = as_json({"schema": form.schema, **more, form.key: []})
    sys.stdout.write(head.removesuffix("]}"))
    between = ""
    for row in rows:
        sys.stdout.write(between + as_json(row))
        between = ","
    members = as_json(after())[1:-1]
    sys.stdout.write(f"],{members}}}\n" if members else "]}\n")
    sys.stdout.flush()


def write_csv(rows: Iterable[Row], columns: Sequence[str], *, header: bool = True) -> None:
    """A header and a line each, on standard output; what is no single value stands as JSON."""
    if header:
        sys.stdout.write(csv_row(columns))
    for row in rows:
        sys.stdout.write(csv_row(row[column] for column in columns))
    sys.stdout.flush()


def csv_row(cells: Iterable[object]) -> str:
    """One line of CSV with its end; what is no single value stands as JSON."""
    import csv

    text = io.StringIO()
    csv.writer(text).writerow(map(_cell, cells))
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, dict | list):
        return as_json(value)
    if isinstance(value, bool):
        return as_json(value)
    return printable(value) if isinstance(value, str) else value


def write_ndjson(rows: Iterable[Row]) -> None:
    """A line each, flushed one by one: whoever reads them waits for the next."""
    for row in rows:
        click.echo(as_json(row))  # click flushes


def width_of(text: str) -> int:
    """Columns that `text` takes on a terminal (UAX #11; combining marks take none)."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    return max(0, wcswidth(text))


def cut(text: str, width: int) -> str:
    """`text` in at most `width` columns, an ellipsis where something is left out."""
    if width_of(text) <= width:
        return text
    from wcwidth import iter_graphemes

    kept, used = [], 1
    for grapheme in iter_graphemes(text):
        used += width_of(grapheme)
        if used > width:
            break
        kept.append(grapheme)
    return "".join(kept) + "…"


def wrapped(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` columns, broken at spaces where there are any; never an empty list.

    Words may be coloured, by `click.style`.
    """
    lines, line, used = [], "", 0
    for word in text.split(" "):
        columns = width_of(click.unstyle(word))
        if line and used + 1 + columns > width:
            lines.append(line)
            line, used = "", 0
        line, used = (f"{line} {word}", used + 1 + columns) if line else (word, columns)
        while used > width:
            head, line = _parted(line, width)
            lines.append(head)
            used = width_of(click.unstyle(line))
    return [*lines, line]


def _parted(text: str, width: int) -> tuple[str, str]:
    """As much of `text` as `width` columns hold, and the rest; one grapheme at least, so that it comes to an end."""
    from wcwidth import iter_graphemes

    kept, used = "", 0
    for grapheme in iter_graphemes(text):
        used += width_of(grapheme)
        if kept and used > width:
            break
        kept += grapheme
    return kept, text[len(kept) :]


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        flexible: may be cut where the terminal is too narrow for all.
        style: colours a cell that is cut and padded already; gets the row's number too.
    """

    name: str
    right: bool = False
    flexible: bool = False
    style: Style | None = None


def folded(text: str) -> list[str]:
    """`text` in lines that the terminal has room for; one line where there is no terminal."""
    width = terminal_width()
    return [text] if width is None else wrapped(text, width)


def terminal_width() -> int | None:
    """Columns of the terminal that standard output is; None if it is none: then nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def write_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """A table for people on standard output; see `table`."""
    for line in table(columns, rows):
        click.echo(line)


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table for people: made printable, aligned, cut to the terminal's width where there is one."""
    shown = [[printable(cell) for cell in row] for row in rows]
    names = [column.name for column in columns]
    widths = [max(map(width_of, cells)) for cells in zip(names, *shown, strict=True)]
    gap, room = "  ", terminal_width()
    if room is not None and sum(widths) + len(gap) * (len(columns) - 1) > room:
        gap = " "
        least = [max(_MIN_HEADING, *map(width_of, cells)) for cells in zip(*shown, strict=True)]
        _squeeze(widths, least, columns, room - len(columns) + 1)
    for number, row in enumerate([names, *shown], start=-1):
        cells = [_shown(cell, column, width, number) for cell, column, width in zip(row, columns, widths, strict=True)]
        yield gap.join(cells).rstrip()


def _squeeze(widths: list[int], least: list[int], columns: Sequence[Column], room: int) -> None:
    """Narrow columns until all fit, the widest first: what may be cut, then headings, then what may be cut still more.

    Args:
        least: per column, what its cells take.
    """
    flexible = {number: column.flexible for number, column in enumerate(columns)}
    comfortable = [_COMFORTABLE if flexible[number] else width for number, width in enumerate(widths)]
    headings = [min(width, narrow) for width, narrow in zip(comfortable, least, strict=True)]
    narrowest = [_MIN_WIDTH if flexible[number] else width for number, width in enumerate(headings)]
    for limits in (comfortable, headings, narrowest):
        while sum(widths) > room:
            wide = [number for number, limit in enumerate(limits) if widths[number] > limit]
            if not wide:
                break
            widths[max(wide, key=lambda number: widths[number])] -= 1


def _shown(cell: str, column: Column, width: int, number: int) -> str:
    text = cut(cell, width)
    padding = " " * (width - width_of(text))
    if column.style and number >= 0:
        text = column.style(text, number)
    return padding + text if column.right else text + padding
