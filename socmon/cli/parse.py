"""`socmon parse`: only the parsers, one object a line; what the daemon would read from the same bytes."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from socmon.cli import PROBLEMS, Options
from socmon.cli.output import as_json, csv_row
from socmon.cli.reading import PCAP, format_option, tell_cut, tell_trouble, timezone_option, year_option
from socmon.errors import ParseError
from socmon.event import Event, Record, Source, rfc3339
from socmon.parsers import detect, parse
from socmon.parsers.lines import Lines
from socmon.text import printable

_STDIN = "-"
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
    input its time is unknown, unless --year is given. Lines are numbered from 0; an empty one has its number, but
    nothing is shown for it. Of a line over 64 KiB only that much is read. With --format pcap, FILE is a capture file,
    and each event of its packets is shown as a line. Exits with 1 when some lines could not be read.
    """
    if format_name == PCAP:
        return _packets(options, path)
    source = Source(collector="parse", peer=path, format=format_name, zone=timezone)
    with _opened(path) as stream:
        lines = Lines(stream)
        undated = path == _STDIN
        anchor_us = time.time_ns() // 1000 if undated else os.fstat(stream.fileno()).st_mtime_ns // 1000
        told = _told(lines, source, anchor_us, year=year, undated=undated)
        code = _write(told, options.output, flush=undated)
    tell_cut(path, lines.cut)
    return code


def _packets(options: Options, path: str) -> int:
    """The same of the events of a capture file."""
    from socmon.capture.decoding import Decoding

    with _opened(path) as stream:
        decoding = Decoding(stream)
        told = _told(decoding, Source(collector="parse", peer=path, format="zeek"), 0, year=None, undated=True)
        code = _write(told, options.output, flush=path == _STDIN)
    tell_trouble(path, decoding.trouble)
    return PROBLEMS if decoding.trouble else code


def _opened(path: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if path == _STDIN else Path(path).open("rb")


def _told(
    lines: Iterable[bytes], source: Source, anchor_us: int, *, year: int | None, undated: bool
) -> Iterator[dict[str, Any]]:
    """What can be told of each line that is not empty."""
    for n, line in enumerate(lines):
        if not line:
            continue
        name = source.format if source.format != "auto" else detect([line]) or "auto"
        record = Record(line, msgspec.structs.replace(source, format=name), anchor_us)
        try:
            told = _row(name, parse(record, year=year, undated=undated))
        except ParseError as error:
            told = {"error": str(error)}
        yield {"n": n, **told}


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
    return as_json(row).encode() + b"\n"


def _csv(row: dict[str, Any]) -> bytes:
    return csv_row(row.get(column, "") for column in _COLUMNS).encode()


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
