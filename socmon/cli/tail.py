"""`socmon tail`: `socmon alerts tail -f`, for the terminal that stays open all day."""

import click

from socmon.cli import Options, follow


@click.command("tail")
@follow.options
@click.pass_obj
def command(options: Options, /, lines: int, **given: str | None) -> int:
    """Show alerts as they come, grow and are triaged, until Ctrl-C; it goes on over restarts of the daemon."""
    return follow.tail(options, lines, following=True, **given)
