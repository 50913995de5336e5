"""`socmon config`: the configuration as it is understood, what it may hold, and reading it anew."""

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from socmon.cli import BAD_CONFIG, PARTLY, PROBLEMS, CommandError, Options
from socmon.cli.output import as_json, write_csv, write_ndjson
from socmon.i18n import mark
from socmon.text import printable

_WAIT_S = 60.0
_PAUSE_S = 0.1
_ADDRESS = re.compile(r"https?://[^/?#]*")
_COLUMNS = ("option", "value", "origin")


@click.group("config")
def command() -> None:
    """Show the whole configuration and its schema, or reload it."""


@command.command("show")
@click.pass_obj
def show(options: Options) -> None:
    """Show every option with its value, and the file and line that it comes from; needs no daemon.

    An option without a place has its default. Secrets are not shown: they stand in files that the configuration names.
    Of web addresses only scheme, host and port are shown: what comes behind is often as good as a password.
    """
    from socmon.config import load_with_origins

    config, origins = load_with_origins(options.config)
    whole = _without_keys(_plain(config))
    rows = [{"option": name, "value": value, "origin": origins.get(name)} for name, value in _options(whole)]
    match options.output:
        case "json":
            click.echo(as_json({"schema": "socmon.config.show/v1", "config": whole, "origins": origins}))
        case "ndjson":
            write_ndjson(rows)
        case "csv":
            write_csv([row | {"value": as_json(row["value"])} for row in rows], _COLUMNS)
        case "human":
            for row in rows:
                origin = printable(row["origin"] or options.tr("default"))
                told = printable(f"{row['option']}: {as_json(row['value'])}")
                click.echo(f"{told}  {click.style(f'# {origin}', dim=True)}")


@command.command("schema")
def schema() -> None:
    """Print what a configuration may hold, as JSON Schema (2020-12), with the kinds that are installed here."""
    from socmon.cli.config_schema import configuration_schema

    click.echo(as_json(configuration_schema()))


@command.command("reload")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0, 3600), default=_WAIT_S, show_default=True, metavar="SECONDS",
    help="How long to wait for the result.",
)  # fmt: skip
@click.pass_obj
def reload(options: Options, timeout_s: float) -> int:
    """Let the running daemon read its configuration, rules and inventory anew.

    Rules that did not change keep their windows and open alerts. When anything is wrong, all stays as it was, and the
    exit code is 78. What changed in other sections is named: it needs a restart.
    """
    from socmon.cli.control_client import asking
    from socmon.config import load

    deadline_s = time.monotonic() + timeout_s
    with asking(load(options.config).state_dir) as ask:
        number = ask("config.reload", dict[str, int])["reload"]
        while (told := ask("config.reloaded", dict[str, Any] | None, reload=number)) is None:  # type: ignore[arg-type]  # a union is no type to mypy
            if time.monotonic() > deadline_s:
                text = options.tr(mark("not done yet; the log says when it is, and what came of it"))
                raise CommandError(text, PARTLY)
            time.sleep(_PAUSE_S)
    _write_reloaded(told, options)
    if told["ok"]:
        return 0
    return BAD_CONFIG if told["invalid"] else PROBLEMS


def _write_reloaded(told: Mapping[str, Any], options: Options) -> None:
    if options.output != "human":
        whole = {"schema": "socmon.config.reload/v1"} if options.output == "json" else {}
        click.echo(as_json(whole | dict(told)))
        return
    tr = options.tr
    bad, odd = click.style(tr("problem"), fg="red"), click.style(tr("warning"), fg="yellow")
    for problem in told["problems"]:
        click.echo(f"{bad}  {printable(problem)}", err=True)
    if not told["ok"]:
        click.echo(tr("not reloaded; what ran before goes on"), err=True)
        return
    for option in told["needs_restart"]:
        text = tr("{option} changed, and needs a restart", option=printable(option))
        click.echo(f"{odd}  {text}", err=True)
    if not options.quiet:
        counts = {"rules": told["rules"], "changed": len(told["changed"]), "gone": len(told["gone"])}
        click.echo(tr("reloaded: {rules} rules, {changed} of them begin empty, {gone} gone", **counts))


def _plain(config: Any) -> dict[str, Any]:
    """The configuration as JSON has it: sections, and in those of components their blocks."""
    whole: dict[str, Any] = {}
    for name in type(config).__dataclass_fields__:
        value = getattr(config, name)
        if name == "path":
            continue
        if isinstance(value, Path):
            whole[name] = str(value)
        elif isinstance(value, tuple):
            whole[name] = {each.name: {"kind": each.kind} | each.settings.model_dump(mode="json") for each in value}
        elif isinstance(value, dict):
            whole[name] = {key: each.model_dump(mode="json") for key, each in value.items()}
        else:
            whole[name] = value.model_dump(mode="json")
    return whole


def _without_keys(value: Any) -> Any:
    """`value` with every web address in it cut behind its host, as messages and the log show it."""
    if isinstance(value, dict):
        return {name: _without_keys(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_keys(each) for each in value]
    if isinstance(value, str) and (found := _ADDRESS.match(value)) and found.end() < len(value.rstrip("/")):
        return f"{found[0]}/…"
    return value


def _options(whole: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(name, value) of each option, as origins name it."""
    from socmon.config import NAMED

    for section, content in whole.items():
        if not isinstance(content, dict):
            yield section, content
            continue
        for key, value in content.items():
            if section in NAMED:
                yield from ((f"{section}.{key}.{option}", each) for option, each in value.items())
            else:
                yield f"{section}.{key}", value
