"""How `parse` and `replay` are told to read log lines, and what both say of lines."""

from zoneinfo import ZoneInfo

import click

from socmon.parsers import FORMATS
from socmon.parsers.lines import MAX_LINE_BYTES
from socmon.text import printable


def zone_of(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    """What is given as a zone, if there is one of that name; a callback of click."""
    if name is None:
        return None
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        remedy = "use an IANA name such as Asia/Ho_Chi_Minh"
        raise click.BadParameter(f"no time zone is called {name!r}; {remedy}") from error
    return name


# No format of lines: a capture file, the events of whose packets are read.
PCAP = "pcap"

format_option = click.option(
    "--format", "format_name", default="auto", type=click.Choice(["auto", *FORMATS, PCAP]),
    help="How to read lines; pcap: a capture file.",
)  # fmt: skip
year_option = click.option("--year", type=click.IntRange(1970, 9998), help="Dates every stamp that states no year.")
timezone_option = click.option(
    "--timezone", default="UTC", callback=zone_of, help="IANA zone of stamps that state none (default: UTC)."
)


def tell_trouble(name: str, trouble: str) -> None:
    """Say on standard error why a capture file could not be read to its end, if so."""
    if trouble:
        click.echo(f"cannot read all of {printable(name)}: {printable(trouble)}; what came before is used", err=True)


def tell_cut(name: str, cut: int) -> None:
    """Say on standard error that `cut` lines of a file were too long, if any was."""
    if cut:
        what = f"{printable(name)}: {cut} line{'s' if cut > 1 else ''} longer than {MAX_LINE_BYTES} bytes"
        click.echo(f"{what}; only that much of each was read", err=True)
