"""`socmon check`: would the daemon start, and would everything it needs be there? Changes nothing."""

from __future__ import annotations  # what they name is imported where it is used: a shell only asks for the options

import os
from collections.abc import Callable, Iterator, Mapping
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct, to_builtins

from socmon.cli import BAD_CONFIG, PROBLEMS, Options
from socmon.cli.output import Row, as_json, write_csv
from socmon.errors import ConfigError
from socmon.text import printable

if TYPE_CHECKING:
    from pydantic import BaseModel

    from socmon.cli.check_connect import Tried

_RIGHT = "check as the user that runs socmon, or give this one the right"


class Findings(Struct):
    """What a check came to.

    Attributes:
        rules: how many were loaded.
        refused: what was refused of rules, each told in `warnings`.
        agencies: how many the inventory names.
        problems: to be mended before the daemon is started.
        warnings: may be meant so.
    """

    collectors: list[str] = []
    forwarders: list[str] = []
    rules: int = 0
    refused: int = 0
    agencies: int = 0
    problems: list[str] = []
    warnings: list[str] = []


@click.command("check")
@click.option("--connect", is_flag=True, help="Go to each destination too: name, TCP, TLS, clock; deliver nothing.")
@click.option(
    "--timeout", "timeout_s", default=10.0, show_default=True, type=click.FloatRange(0.1, 600), metavar="S",
    help="Seconds for each destination of --connect, at most.",
)  # fmt: skip
@click.pass_obj
def command(options: Options, *, connect: bool, timeout_s: float) -> int:
    """Check configuration, rules and secrets; change nothing.

    Exits with 0, or with 78 when something must be mended first, with 1 when only the way to a destination is not
    open. Warnings do not change the exit code.
    """
    from socmon.cli import check_connect

    found = inspect(options.config)
    tried = _tried(options.config, timeout_s) if connect else []
    bad = check_connect.is_bad(tried)
    told = {"destinations": check_connect.rows(tried)} if connect else {}
    if options.output == "human":
        for line in check_connect.lines(tried, options):
            click.echo(line)
        _print(found, options)
        if bad:
            click.echo(options.tr(check_connect.verdict(tried)), err=True)
    elif options.output == "csv":
        write_csv([*_flat(found), *_flat_destinations(told)], ("section", "value"))
    else:
        whole = {"schema": "socmon.check/v1", "ok": not (found.problems or bad), **to_builtins(found), **told}
        click.echo(as_json(whole))
    return BAD_CONFIG if found.problems else PROBLEMS if bad else 0


def _tried(path: Path, timeout_s: float) -> list[Tried]:
    """What the way to each destination came to; none where the configuration has mistakes, which are told apart."""
    from socmon.cli.check_connect import try_all
    from socmon.config import load

    try:
        return try_all(load(path), timeout_s)
    except ConfigError:
        return []


def _flat_destinations(told: Mapping[str, list[Row]]) -> Iterator[Row]:
    for each in told.get("destinations", []):
        for step in each["steps"]:
            said = step["error"] or " ".join(f"{name}={value}" for name, value in step["values"].items())
            yield {"section": "destination", "value": f"{each['name']} {step['name']} {step['state']} {said}".rstrip()}


def inspect(path: Path) -> Findings:
    """Check the configuration file `path` and all that it names."""
    from socmon import registry
    from socmon.config import load
    from socmon.detection import configured_rules
    from socmon.enrich import load_inventory

    found = Findings(warnings=registry.shadowed())
    try:
        config = load(path)
    except ConfigError as error:
        found.problems += error.problems
        return found
    rules, table_problems = configured_rules(config)
    found.rules, found.refused = len(rules.rules), len(rules.errors)
    # One bad rule must not keep the daemon from starting: the others do their work.
    found.warnings += (f"rule refused: {error}" for error in rules.errors)
    found.warnings += map(str, rules.warnings)
    unused = "no rule or filter has this placeholder; correct the name, or remove it"
    found.warnings += (f"detection.placeholders.{name}: {unused}" for name in rules.unused)
    found.warnings += (f"log source refused: {problem}" for problem in table_problems)
    inventory = load_inventory(config.assets.paths)
    found.agencies = len(inventory.agencies)
    found.warnings += (f"asset refused: {problem}" for problem in inventory.problems)
    found.problems += _state_dir_problems(config.state_dir)
    if not rules.rules:
        found.warnings.append("rules: none is loaded, nothing will be detected; see section `rules`")
    for role, wirings in (("collectors", config.collectors), ("forwarders", config.forwarders)):
        found_names: list[str] = getattr(found, role)
        found_names += [wiring.name for wiring in wirings]
        if not wirings:
            found.warnings.append(f"{role}: none is configured; see section `{role}`")
        for wiring in wirings:
            where = f"{role}.{wiring.name}"
            _check_files(where, wiring.settings, found)
            found.problems += (f"{where}: {problem}" for problem in _problems(wiring.settings, config.state_dir))
            found.warnings += (f"{where}: {warning}" for warning in _warnings(wiring.settings))
    return found


def _problems(settings: BaseModel, state_dir: Path) -> list[str]:
    """What the component itself finds wrong with its settings, if their class has a method `problems`: a line each."""
    paths = [value for key in type(settings).model_fields if isinstance(value := getattr(settings, key), Path)]
    if not os.access(state_dir, os.W_OK) and any(path.is_relative_to(state_dir) for path in paths):
        # The daemon makes the folder at its start; whether it can is a problem of `state_dir`.
        return []
    problems: Callable[[], list[str]] = getattr(settings, "problems", list)
    return problems()


def _warnings(settings: BaseModel) -> list[str]:
    """What the component itself finds doubtful in its settings, if their class has a method `warnings`: a line each."""
    warnings: Callable[[], list[str]] = getattr(settings, "warnings", list)
    return warnings()


def _state_dir_problems(state_dir: Path) -> Iterator[str]:
    nearest = next(folder for folder in (state_dir, *state_dir.parents) if folder.exists())
    if not nearest.is_dir():
        yield f"state_dir: {nearest} is no folder; name another one"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        what = "write to" if nearest == state_dir else f"make {state_dir} in"
        yield f"state_dir: this user may not {what} {nearest}; check as the user that runs socmon, or chown it"


def _check_files(where: str, settings: BaseModel, found: Findings) -> None:
    """Warn of files that are missing; one that is there but cannot be read is a problem."""
    for key in type(settings).model_fields:
        try:
            patterns = list(_named(getattr(settings, key)))
        except ConfigError as error:
            found.warnings.append(f"{where}.{key}: {error}")
            continue
        for pattern in patterns:
            files = glob(pattern, recursive=True)  # noqa: PTH207  pathlib globs no absolute pattern
            if not files and (closed := _closed_folder(pattern)):
                found.problems.append(f"{where}.{key}: this user may not look into {closed} for {pattern}; {_RIGHT}")
            elif not files and not (key == "socket" and Path(pattern).parent.is_dir()):  # the collector makes a socket
                found.warnings.append(f"{where}.{key}: {pattern} does not exist (yet)")
            for file in files:
                if not os.access(file, os.R_OK):
                    found.problems.append(f"{where}.{key}: this user may not read {file}; {_RIGHT}")


def _closed_folder(pattern: str) -> Path | None:
    """The folder above `pattern` that this user may not enter: whether a file is behind it nobody can say."""
    for folder in reversed(Path(pattern).parents):
        if folder.is_dir() and not os.access(folder, os.X_OK):
            return folder
    return None


def _named(value: object) -> Iterator[str]:
    """The files that an option's value names, as patterns of `glob`.

    Raises:
        ConfigError: it names a credential, and this process was given none.
    """
    from pydantic import BaseModel

    from socmon.secrets import SecretRef

    if isinstance(value, BaseModel):
        for key in type(value).model_fields:
            yield from _named(getattr(value, key))
    elif isinstance(value, SecretRef | Path):
        yield escape(str(value.path() if isinstance(value, SecretRef) else value))
    elif isinstance(value, str) and value.startswith("/"):
        yield value
    elif isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _named(item)


def _flat(found: Findings) -> Iterator[Row]:
    """A row for each name, number, problem and warning."""
    for section, value in to_builtins(found).items():
        for one in value if isinstance(value, list) else [value]:
            yield {"section": section.removesuffix("s") if isinstance(value, list) else section, "value": one}


def _print(found: Findings, options: Options) -> None:
    tr = options.tr
    for problem in found.problems:
        click.echo(click.style(tr("problem"), fg="red") + f"  {printable(problem)}", err=True)
    for warning in [] if options.quiet else found.warnings:
        click.echo(click.style(tr("warning"), fg="yellow") + f"  {printable(warning)}", err=True)
    path = printable(str(options.config))
    if found.problems:
        click.echo(f"{path}: " + tr("{count} to be mended", count=len(found.problems)), err=True)
    elif not options.quiet:
        counts = [
            tr.many("{count} collector", "{count} collectors", len(found.collectors)),
            tr.many("{count} rule", "{count} rules", found.rules),
            tr.many("{count} forwarder", "{count} forwarders", len(found.forwarders)),
        ]
        if found.refused:
            counts.insert(2, tr.many("{count} refusal", "{count} refusals", found.refused))
        if found.agencies:
            counts.append(tr.many("{count} agency", "{count} agencies", found.agencies))
        told = ", ".join([click.style(tr("ok"), fg="green"), *counts])
        click.echo(f"{path}: {told}")
