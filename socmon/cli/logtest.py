"""`socmon logtest`: a log line through the daemon's own stages, and why a rule matches it or does not."""

from __future__ import annotations  # what they name is imported where it is used: a shell only asks for the options

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from socmon.cli import NOT_FOUND, PROBLEMS, CommandError, Options
from socmon.cli.completing import offer_collectors
from socmon.cli.output import as_json, write_csv
from socmon.cli.reading import tell_cut, year_option, zone_of
from socmon.cli.shown import tell_refused
from socmon.event import Source
from socmon.i18n import Message, mark, sources
from socmon.parsers import FORMATS
from socmon.parsers.lines import Lines
from socmon.text import printable

if TYPE_CHECKING:
    from socmon.cli.line_trial import Trial
    from socmon.config import Config
    from socmon.enrich import Inventory
    from socmon.sigma import Rule, RuleSet

_STDIN = "-"
_SHOWN_RULES = 20
_TERMINAL_BYTES = 4095  # of a line that a terminal hands out (termios(3), canonical mode); it drops the rest


@click.command("logtest")
@click.argument("line", required=False)
@click.option("--rule", "wanted", metavar="ID|TITLE", help="Explain this rule, whether it matches or not.")
@click.option("--rules", "more", multiple=True, type=click.Path(path_type=Path, exists=True), help="Rules besides.")
@click.option(
    "--collector",
    metavar="NAME",
    shell_complete=offer_collectors,
    help="Read lines as this collector of the configuration does.",
)
@click.option("--format", "format_name", type=click.Choice(["auto", *FORMATS]), help="How to read lines.")
@click.option("--timezone", callback=zone_of, help="IANA zone of stamps that state none (default: UTC).")
@year_option
@click.pass_obj
def command(
    options: Options,
    line: str | None,
    wanted: str | None,
    more: tuple[Path, ...],
    collector: str | None,
    format_name: str | None,
    timezone: str | None,
    year: int | None,
) -> int:
    """Show what becomes of LINE, or of each line of standard input: frame, event, owner, rules, alerts.

    On a terminal it asks for lines until Ctrl-D. Lines are taken as one source's, received now, so several that belong
    together show how far a correlation is, and the alert that would open. Needs no daemon and changes nothing; without
    a configuration the shipped rules are used.

    Without --rule it names up to five rules that are missed by one line of their detection. Exits with 1 when a line
    could not be decoded, or when the rule that --rule names matched none of them.
    """
    from socmon.cli.configured import configured
    from socmon.cli.line_trial import Session
    from socmon.detection import configured_rules, limits
    from socmon.enrich import Assets, Inventory, load_inventory
    from socmon.sigma.joining import Limits

    config = configured(options)
    rules, table_problems = configured_rules(config, more)
    tell_refused(options, rules, table_problems)
    rule = None if wanted is None else _wanted(options, rules, wanted)
    inventory = Inventory() if config is None else load_inventory(config.assets.paths)
    session = Session(
        rules,
        _source(config, collector, format_name, timezone),
        Limits() if config is None else limits(config.detection),
        Assets(inventory) if inventory.agencies else None,
        rule,
        year,
    )
    trials = (session.tried(n, data) for n, data in enumerate(_lines(options, line)) if data)
    _write(options, trials, inventory, rule)
    return PROBLEMS if session.undecoded or (rule and not session.fulfilled) else 0


def _lines(options: Options, line: str | None) -> Iterator[bytes]:
    """The lines to try; on a terminal each is asked for."""
    if line not in {None, _STDIN}:
        yield from str(line).encode("utf-8", "surrogateescape").splitlines()
        return
    stream = sys.stdin.buffer
    if not stream.isatty():
        lines = Lines(stream)
        yield from lines
        tell_cut(_STDIN, lines.cut)
        return
    if not options.quiet:
        click.echo(options.tr("paste a log line and press Enter; Ctrl-D ends"), err=True)
    while True:
        click.echo("> ", err=True, nl=False)
        read = stream.readline()
        if not read:
            click.echo(err=True)
            return
        if len(read) >= _TERMINAL_BYTES:
            text = mark("a terminal hands on {count} bytes of a line; give a longer one by a file or a pipe")
            click.echo(options.tr(text, count=_TERMINAL_BYTES), err=True)
        yield read.rstrip(b"\r\n")


def _source(config: Config | None, collector: str | None, format_name: str | None, timezone: str | None) -> Source:
    """How lines are read: as the options say, else as the collector's settings do."""
    from socmon.component import CollectorSettings

    read_as = CollectorSettings()
    if collector is not None:
        wirings = {} if config is None else {wiring.name: wiring for wiring in config.collectors}
        if collector not in wirings:
            text = mark("no collector is called {name!r}; known: {known}")
            raise CommandError(Message(text, name=collector[:40], known=", ".join(wirings) or "-"), NOT_FOUND)
        settings = wirings[collector].settings
        read_as = settings if isinstance(settings, CollectorSettings) else read_as
    return Source(
        collector=collector or "logtest",
        peer="logtest",
        format=format_name or read_as.format,
        zone=timezone or read_as.timezone,
    )


def _wanted(options: Options, rules: RuleSet, name: str) -> Rule:
    from socmon.sigma.explaining import find_rules

    found = find_rules(rules, name, sources(name))
    if len(found) == 1:
        return found[0]
    if not found:
        text = mark("no rule has the id or title {name!r}; `socmon rules list` shows them")
        raise CommandError(Message(text, name=name[:60]), NOT_FOUND)
    lines = [f"  {rule.id}  {options.tr(rule.title)}" for rule in found[:_SHOWN_RULES]]
    head = options.tr("several rules have {name!r} in their title; name one by its id:", name=name[:60])
    raise click.UsageError("\n".join(map(printable, [head, *lines])))


def _write(options: Options, trials: Iterator[Trial], inventory: Inventory, rule: Rule | None) -> None:
    from socmon.cli.line_forms import COLUMNS, flat, told
    from socmon.cli.line_page import write_trial

    match options.output:
        case "json":
            asked = None if rule is None else {"id": rule.id, "title": rule.title}
            click.echo(as_json({"schema": "socmon.logtest/v1", "rule": asked, "lines": [*map(told, trials)]}))
        case "ndjson":
            for trial in trials:
                click.echo(as_json(told(trial)))
        case "csv":
            write_csv((flat(told(trial)) for trial in trials), COLUMNS)
        case "human":
            for trial in trials:
                write_trial(options, trial, inventory)
