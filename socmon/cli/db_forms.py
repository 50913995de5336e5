"""How what `socmon db` did is shown."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from socmon.cli import Options
from socmon.cli.output import Form, Row, as_json, csv_row, write_rows
from socmon.event import rfc3339
from socmon.text import printable

if TYPE_CHECKING:
    from socmon.store.verifying import Verified

_MIB = 1024 * 1024
_COLUMNS = ("table", "row", "what")


def moment(time_us: int | None) -> str | None:
    """As JSON has it."""
    return None if time_us is None else rfc3339(time_us)


def size(size_bytes: int) -> str:
    """As people read it."""
    return f"{size_bytes / _MIB:.1f} MiB"


def write(options: Options, schema: str, told: Row, *said: str) -> None:
    """`told` for programs; for people the lines `said`, unless they want it quiet."""
    match options.output:
        case "json":
            click.echo(as_json({"schema": schema, **told}))
        case "ndjson":
            click.echo(as_json(told))
        case "csv":
            cells = ("" if value is None else value for value in told.values())
            click.echo(csv_row(told) + csv_row(cells), nl=False)
        case "human":
            for line in () if options.quiet else said:
                click.echo(printable(line))


def write_damages(options: Options, path: Path, found: "Verified") -> None:
    """Every damage, and how much was looked at."""
    tr = options.tr

    def human(row: Row) -> str:
        place = " ".join(filter(None, (row["table"], row["row"]))) or tr("file")
        bad = tr("damaged")
        return f"{bad}  {place}: {tr(row['what'])}"

    rows = ({"table": each.table, "row": each.row, "what": each.what} for each in found.damages)
    more = {"path": str(path), "count": found.count, "rows": found.rows}
    write_rows(rows, options.output, Form("socmon.db.verify/v1", "damages", _COLUMNS, human), more)
    if options.output == "human" and not options.quiet:
        known = sum(found.rows.values())
        text = tr.many("{path}: {count} row looked at", "{path}: {count} rows looked at", known, path=path)
        told = tr.many("{count} damage", "{count} damages", found.count) if found.count else tr("no damage")
        click.echo(printable(f"{text}, {told}"), err=True)
