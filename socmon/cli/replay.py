"""`socmon replay`: old log files through the real engine."""

from __future__ import annotations  # what they name is imported where it is used: a shell only asks for the options

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from typing import TYPE_CHECKING, Any

import click

from socmon.cli import PROBLEMS, Options
from socmon.cli.output import Form, write_rows
from socmon.cli.reading import format_option, tell_cut, timezone_option, year_option
from socmon.cli.shown import tell_refused
from socmon.errors import ConfigError
from socmon.event import rfc3339
from socmon.resources import shipped
from socmon.text import printable

if TYPE_CHECKING:
    from socmon.replaying import Found, Reading, Replay

_UNKNOWN_SHOWN = 20

_Row = dict[str, Any]


@click.command("replay")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option(
    "--rules", "rule_paths", multiple=True, type=click.Path(path_type=Path), help="Instead of the shipped rules."
)
@click.option(
    "--assets",
    "asset_paths",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Whose hosts are whose: inventories.",
)
@click.option(
    "--logsources",
    "table_paths",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Tables of log sources, besides the shipped one and those of the configuration.",
)
@click.option("--matches", is_flag=True, help="Print each event that a rule matches, instead of alerts.")
@format_option
@year_option
@timezone_option
@click.pass_obj
def command(
    options: Options,
    files: tuple[str, ...],
    rule_paths: tuple[Path, ...],
    asset_paths: tuple[Path, ...],
    table_paths: tuple[Path, ...],
    *,
    matches: bool,
    format_name: str,
    year: int | None,
    timezone: str,
) -> int:
    """Run log files (.gz too) through the rules and show the alerts; needs no daemon, no store and no clock.

    Of the configuration, if there is one, only detection.placeholders and detection.logsources are used.

    Several files are read side by side, in the order of time, however they are named; alerts come in the order of
    their first event. A stamp without a year gets the latest one that puts it at most a day after FILE was last
    written; standard input (-) needs --year for that. Of a line over 64 KiB only that much is read. With --format pcap
    they are capture files, and the events of their packets count as lines.

    Exits with 1 when the answer may lack something: a rule, asset or log source was refused, a file could not be read
    to its end, or events could not be correlated. What could be used has run all the same.
    """
    from socmon.cli.configured import configured
    from socmon.detection import rule_cache
    from socmon.enrich import Assets, load_inventory
    from socmon.replaying import Replay
    from socmon.sigma import load_rules
    from socmon.sigma.logsource_files import load_log_sources
    from socmon.sigma.stated import NO_PLACEHOLDERS

    for name in files:
        _check(name)
    config = configured(options, needed=False)
    placeholders = NO_PLACEHOLDERS if config is None else config.detection.placeholders
    tables = [] if config is None else config.detection.logsources
    sources, table_problems = load_log_sources([*tables, *table_paths])
    paths = rule_paths or [shipped("rules")]
    rules = load_rules(paths, placeholders=placeholders, sources=sources, cache=rule_cache(config))
    tell_refused(options, rules, table_problems)
    if not rules.rules:
        raise ConfigError(["no rule could be loaded; name a folder with Sigma rules by --rules"])
    _allow_many_files()
    inventory = load_inventory(asset_paths)
    for problem in inventory.problems:
        click.echo(f"asset refused: {printable(problem)}", err=True)
    assets = Assets(inventory) if asset_paths else None
    replay = Replay(files, rules, format=format_name, year=year, zone=timezone, assets=assets)
    if matches:
        rows: Iterable[_Row] = ({"file": file, "n": n, "rules": [*ids]} for (file, n), ids in replay.matches())
        write_rows(rows, options.output, _MATCHES)
    else:
        found = replay.alerts()
        write_rows(map(_row, found), options.output, _ALERTS)
        if options.output == "human" and not options.quiet:
            click.echo(f"{replay.lines} lines, {len(found)} alerts", err=True)
    for reading in replay.readings:
        _tell(reading, "in any known format" if format_name == "auto" else f"as {format_name}")
    _tell_unused(replay)
    if assets and assets.unknown:
        _tell_unknown(list(assets.unknown))
    broken = any(reading.trouble for reading in replay.readings)
    lacking = (
        table_problems
        or rules.errors
        or inventory.problems
        or broken
        or replay.undated
        or replay.late
        or replay.evicted
    )
    return PROBLEMS if lacking else 0


def _check(name: str) -> None:
    """Refuse what cannot be a log, before anything is read; a pipe can be one."""
    from socmon.replaying import STDIN

    if name == STDIN:
        return
    if Path(name).is_dir():
        raise click.UsageError(f"cannot read {printable(name)}: is a directory; name the files in it")
    if not Path(name).exists():
        raise click.UsageError(f"cannot read {printable(name)}: no such file")
    if not os.access(name, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)


def _allow_many_files() -> None:
    """Raise the number of files that may be open, as all of them are at once; the usual 1,024 are soon too few."""
    _, hard = getrlimit(RLIMIT_NOFILE)
    setrlimit(RLIMIT_NOFILE, (hard, hard))


def _tell(reading: Reading, form: str) -> None:
    """Say on standard error what was wrong with a file."""
    name = printable(reading.name)
    if reading.trouble:
        used = f"the {reading.lines} lines before that are used"
        click.echo(f"cannot read all of {name}: {printable(reading.trouble)}; {used}", err=True)
    if reading.unparsed:
        click.echo(f"{name}: {reading.unparsed} of {reading.lines} lines could not be read {form}", err=True)
    tell_cut(reading.name, reading.cut)


def _tell_unused(replay: Replay) -> None:
    """Say on standard error what the alerts do not count."""
    from socmon.replaying import LATENESS_S

    unused = "they are matched, not correlated"
    if replay.undated:
        click.echo(f"{replay.undated} events have no time (standard input without --year); {unused}", err=True)
    if replay.late:
        behind = f"more than {LATENESS_S} s behind earlier lines of their file and host"
        click.echo(f"{replay.late} events are {behind}; {unused}", err=True)
    if replay.evicted:
        click.echo(f"{replay.evicted} groups were too many to hold; some alerts may lack events", err=True)


def _tell_unknown(hosts: list[str]) -> None:
    shown = ", ".join(printable(host) for host in hosts[:_UNKNOWN_SHOWN])
    more = f" and {len(hosts) - _UNKNOWN_SHOWN} more" if len(hosts) > _UNKNOWN_SHOWN else ""
    click.echo(f"no agency owns these hosts, add them to the inventory: {shown}{more}", err=True)


def _row(item: Found) -> _Row:
    alert = item.alert
    return {
        "rule_id": alert.rule_id,
        "title": alert.title,
        "level": alert.level,
        "group": alert.group,
        "agency": alert.agency,
        "system": alert.system,
        "system_level": alert.system_level,
        "first_seen": rfc3339(alert.first_us),
        "last_seen": rfc3339(alert.last_us),
        "count": alert.count,
        "events": [{"file": place.file, "n": place.n} for place in item.events],
    }


def _alert_line(row: _Row) -> str:
    group = " ".join(f"{name}={value}" for name, value in row["group"].items())
    span = f"{row['first_seen']} … {row['last_seen']}"
    owner = f"  {row['agency']} {row['system']}".rstrip()
    return f"{span}  {row['level']:<13} {row['count']:>6}×  {row['title']}  {group}{owner}"


def _match_line(row: _Row) -> str:
    return f"{row['file']}:{row['n']}  {' '.join(row['rules'])}"


_ALERTS = Form(
    "socmon.replay/v1",
    "alerts",
    ("rule_id", "title", "level", "group", "agency", "system", "system_level", "first_seen", "last_seen", "count"),
    _alert_line,
)
_MATCHES = Form("socmon.replay.matches/v1", "matches", ("file", "n", "rules"), _match_line)
