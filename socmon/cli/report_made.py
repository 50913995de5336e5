"""`socmon report made`: says that a report was handed over otherwise; the daemon writes it down, with who said so."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from socmon.cli import Options

if TYPE_CHECKING:
    from socmon.reports.told import Kind

# How each begins in a comment, as socmon/reports/told.py reads it.
_WORDS: "Mapping[Kind, str]" = {"first": "first notice", "detailed": "detailed report", "final": "final report"}


@click.command("made")
@click.argument("ids", metavar="ID…", nargs=-1, required=True)
@click.option(
    "--kind", type=click.Choice([*_WORDS]), required=True,
    help="first: the initial notice; detailed: cause, scope and remedy; final: how it ended.",
)  # fmt: skip
@click.option("--how", required=True, metavar="TEXT", help="How it was handed over: when, to whom, its number.")
@click.option("--dry-run", is_flag=True, help="Show what would become of them; change nothing.")
@click.pass_obj
def command(options: Options, ids: tuple[str, ...], kind: "Kind", how: str, *, dry_run: bool) -> int:
    """Say that the report of ID was made otherwise than by the feed; ends the alarms of its deadline.

    It is written into the incident's history, with your name and the time. ID is an alert's id, or as much of its
    beginning as tells it from others; `-` reads them from standard input.
    """
    from socmon.cli.alerts_triage import change_alerts, checked

    told = " ".join(how.split())  # one line: another one could begin another part
    if not told:
        raise click.BadParameter(options.tr("say how it was handed over"), param_hint="--how")
    text = checked(options, f"{_WORDS[kind]}: {told}", "--how")
    return change_alerts(options, ids, {"verb": "comment", "text": text}, dry_run=dry_run)
