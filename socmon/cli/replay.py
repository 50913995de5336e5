"""`socmon replay`: old log files through the real engine."""

from pathlib import Path

import click
import msgspec

from socmon.cli import PROBLEMS, Options
from socmon.cli.reading import format_option, timezone_option, year_option
from socmon.errors import ConfigError
from socmon.event import rfc3339
from socmon.replaying import STDIN, Found, Replay
from socmon.resources import shipped
from socmon.sigma import load_rules
from socmon.text import printable


@click.command("replay")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option(
    "--rules", "rule_paths", multiple=True, type=click.Path(path_type=Path), help="Instead of the shipped rules."
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
    *,
    matches: bool,
    format_name: str,
    year: int | None,
    timezone: str,
) -> int:
    """Run log files (.gz too) through the rules and show the alerts; needs no daemon, no store and no clock.

    A stamp without a year gets the latest one that puts it at most a day after FILE was last written; standard input
    (-) needs --year. Exits with 1 when a rule was refused; what could be loaded has run all the same.
    """
    for name in files:
        if name != STDIN and not Path(name).is_file():
            raise click.UsageError(f"cannot read {name}: no such file")
    rules = load_rules(rule_paths or [shipped("rules")])
    for error in rules.errors:
        click.echo(f"rule refused: {printable(str(error))}", err=True)
    if not rules.rules:
        raise ConfigError(["no rule could be loaded; name a folder with Sigma rules by --rules"])
    replay = Replay(files, rules, format=format_name, year=year, zone=timezone)
    if matches:
        _print_matches(replay, options.output)
    else:
        _print_alerts(replay, options.output)
    if replay.unparsed:
        click.echo(f"{replay.unparsed} of {replay.lines} lines could not be read as {format_name}", err=True)
    return PROBLEMS if rules.errors else 0


def _print_matches(replay: Replay, form: str) -> None:
    rows = ({"file": place.file, "n": place.n, "rules": ids} for place, ids in replay.matches())
    if form == "json":
        click.echo(_json({"schema": "socmon.replay.matches/v1", "matches": list(rows)}))
    elif form == "ndjson":
        for row in rows:
            click.echo(_json(row))
    else:
        for place, ids in replay.matches():
            click.echo(f"{printable(place.file)}:{place.n}  {' '.join(ids)}")


def _print_alerts(replay: Replay, form: str) -> None:
    found = replay.alerts()
    if form == "json":
        click.echo(_json({"schema": "socmon.replay/v1", "alerts": [_row(item) for item in found]}))
        return
    for item in found:
        click.echo(_json(_row(item)) if form == "ndjson" else _line(item))
    if form == "human":
        click.echo(f"{replay.lines} lines, {len(found)} alerts", err=True)


def _row(item: Found) -> dict[str, object]:
    alert = item.alert
    return {
        "rule_id": alert.rule_id,
        "title": alert.title,
        "level": alert.level,
        "group": alert.group,
        "first_seen": rfc3339(alert.first_us),
        "last_seen": rfc3339(alert.last_us),
        "count": alert.count,
        "events": [{"file": place.file, "n": place.n} for place in item.events],
    }


def _line(item: Found) -> str:
    alert = item.alert
    span = f"{rfc3339(alert.first_us)} … {rfc3339(alert.last_us)}"
    group = " ".join(f"{name}={value}" for name, value in alert.group.items())
    return printable(f"{span}  {alert.level:<13} {alert.count:>6}×  {alert.title}  {group}")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
