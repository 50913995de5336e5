"""`socmon parse`: only the parsers, one object a line; what the daemon would read from the same bytes."""

import csv
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from socmon.cli import PROBLEMS, Options
from socmon.cli.reading import format_option, timezone_option, year_option
from socmon.errors import ParseError
from socmon.event import Event, Record, Source, rfc3339
from socmon.parsers import detect, parse
from socmon.text import printable

_STDIN = "-"
_MAX_LINE_BYTES = 65_536
_COLUMNS = ("n", "format", "time", "host", "logsource", "fields", "entities", "repeat", "error")


@click.command("parse")
@click.argument("path", metavar="FILE|-", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@format_option
@year_option
@timezone_option
@click.pass_obj
def command(options: Options, path: str, format_name: str, year: int | None, timezone: str) -> int:
    """Show what the parsers make of each line of FILE, or of standard input.

    A stamp without a year gets the latest one that puts it at most a day after FILE was last written; on standard
    input its time is unknown, unless --year is given. Exits with 1 when some lines could not be read.
    """
    source = Source(collector="parse", peer=path, format=format_name, zone=timezone)
    if path == _STDIN:
        lines = _told(sys.stdin.buffer, source, time.time_ns() // 1000, year=year, undated=True)
        return _write(lines, options.output, flush=True)
    with Path(path).open("rb") as stream:
        written_us = os.fstat(stream.fileno()).st_mtime_ns // 1000
        return _write(_told(stream, source, written_us, year=year, undated=False), options.output, flush=False)


def _told(
    stream: BinaryIO, source: Source, anchor_us: int, *, year: int | None, undated: bool
) -> Iterator[dict[str, Any]]:
    """What can be told of each line that is not empty."""
    for n, line in _lines(stream):
        try:
            name = _format(line, source.format)
            record = Record(line, msgspec.structs.replace(source, format=name), anchor_us)
            told = _row(name, parse(record, year=year, undated=undated))
        except ParseError as error:
            told = {"error": str(error)}
        yield {"n": n, **told}


def _format(line: bytes, name: str) -> str:
    """The format to read `line` in.

    Raises:
        ParseError: the line is too long to be read in any.
    """
    if len(line) > _MAX_LINE_BYTES:
        raise ParseError(f"the line is longer than {_MAX_LINE_BYTES} bytes: {line[:80]!r}")
    return name if name != "auto" else detect([line]) or "auto"


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(number from 0, bytes) of each line that is not empty; of one that is too long, its start."""
    n = 0
    while line := stream.readline(_MAX_LINE_BYTES + 2):
        more = line
        while not more.endswith(b"\n") and (more := stream.readline(_MAX_LINE_BYTES)):
            pass
        if told := line.rstrip(b"\r\n"):
            yield n, told
        n += 1


def _row(format_name: str, event: Event) -> dict[str, Any]:
    row: dict[str, Any] = {
        "format": format_name,
        "time": None if event.time_us is None else rfc3339(event.time_us),
        "host": event.host,
        "logsource": {name: value for name, value in msgspec.structs.asdict(event.logsource).items() if value},
        "fields": event.fields,
        "entities": event.entities,
    }
    return row | {"repeat": event.repeat} if event.repeat > 1 else row


def _ndjson(row: dict[str, Any]) -> bytes:
    return msgspec.json.encode(row) + b"\n"


def _csv(row: dict[str, Any]) -> bytes:
    cells = [row.get(column, "") for column in _COLUMNS]
    text = io.StringIO()
    csv.writer(text).writerow(
        [msgspec.json.encode(cell).decode() if isinstance(cell, dict) else cell for cell in cells]
    )
    return text.getvalue().encode()


def _human(row: dict[str, Any]) -> bytes:
    if "error" in row:
        return f"{row['n']:>6}  {printable(row['error'])}\n".encode()
    fields = dict(row["fields"])
    message = fields.pop("message")
    stated = " ".join(f"{name}={value}" for name, value in fields.items())
    times = f" ×{row['repeat']}" if "repeat" in row else ""
    line = f"{row['n']:>6}  {row['time'] or '-':<27}  {row['host'] or '-':<16}  {stated}{times} | {message}"
    return printable(line).encode() + b"\n"


# Form → what comes first, each row, what stands between two, what comes last.
_FORMS: dict[str, tuple[bytes, Callable[[dict[str, Any]], bytes], bytes, bytes]] = {
    "human": (b"", _human, b"", b""),
    "json": (b'{"schema":"socmon.parse/v1","lines":[\n', _ndjson, b",", b"]}\n"),
    "ndjson": (b"", _ndjson, b"", b""),
    "csv": (",".join(_COLUMNS).encode() + b"\r\n", _csv, b"", b""),
}


def _write(rows: Iterator[dict[str, Any]], form: str, *, flush: bool) -> int:
    """Write every row to standard output as it comes; the exit code."""
    first, shown, between, last = _FORMS[form]
    out = sys.stdout.buffer
    code = 0
    out.write(first)
    for number, row in enumerate(rows):
        code = PROBLEMS if "error" in row else code
        out.write((between if number else b"") + shown(row))
        if flush:
            out.flush()
    out.write(last)
    out.flush()
    return code
