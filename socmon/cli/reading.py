"""How a command is told to read log lines: the options that `parse` and `replay` share."""

from zoneinfo import ZoneInfo

import click

from socmon.parsers import FORMATS


def _zone(_context: click.Context, _option: click.Parameter, name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        remedy = "use an IANA name such as Asia/Ho_Chi_Minh"
        raise click.BadParameter(f"no time zone is called {name!r}; {remedy}") from error
    return name


format_option = click.option(
    "--format", "format_name", default="auto", type=click.Choice(["auto", *FORMATS]), help="How to read lines."
)
year_option = click.option("--year", type=click.IntRange(1970, 9998), help="Dates every stamp that states no year.")
timezone_option = click.option(
    "--timezone", default="UTC", callback=_zone, help="IANA zone of stamps that state none (default: UTC)."
)
