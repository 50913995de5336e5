"""`socmon rules`: which rules are loaded, and whether they find what the cases beside them say."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from socmon.cli import PROBLEMS, Options
from socmon.cli.configured import configured
from socmon.cli.output import Form, as_json, write_rows
from socmon.detection import rule_paths
from socmon.errors import ConfigError
from socmon.event import LogSource
from socmon.resources import shipped
from socmon.sigma import Rule, RuleSet, load_rules
from socmon.sigma.cases import Placed, load_cases
from socmon.sigma.trying import case_files, failure, untried
from socmon.text import printable

_Row = dict[str, Any]


@click.group("rules")
def command() -> None:
    """List the rules, and run the test cases beside them; needs no daemon and no configuration."""


@command.command("list")
@click.pass_obj
def list_rules(options: Options) -> int:
    """List the rules that the daemon would load, and on standard error those that it would refuse.

    Exits with 1 when a rule was refused.
    """
    rules = load_rules(_paths(options))
    _tell_refused(rules)
    write_rows([_row(rule, rules) for rule in rules.rules], options.output, _RULES, {})
    return PROBLEMS if rules.errors else 0


@command.command("test")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True), metavar="[PATH…]")
@click.pass_obj
def test(options: Options, paths: tuple[Path, ...]) -> int:
    """Run the cases (NAME.test.yml) beside rules: each must end in the matches and alerts that it states.

    All rules see the lines of every case: the shipped ones, those of the configuration, and those of PATH. With PATH,
    a folder, a file of rules or a file of cases, only the cases there are run.

    Exits with 1 when a case fails, or when a rule or a file of cases was refused. A rule without cases is a warning.
    """
    always = _paths(options)
    chosen = list(paths) or always
    rules = load_rules([*always, *paths])
    _tell_refused(rules)
    cases, problems = _cases(chosen)
    for problem in problems:
        click.echo(printable(problem), err=True)
    lacking = list(untried(_beside(rules, chosen), [placed.case for placed in cases]))
    for rule in [] if options.quiet else lacking:
        click.echo(printable(f"{rule.path}:{rule.line}: warning: no case tries {rule.title!r}"), err=True)
    failures = [failed for placed in cases if (failed := failure(rules, placed))]
    untold = [{"path": rule.path, "line": rule.line, "title": rule.title} for rule in lacking]
    write_rows([msgspec.to_builtins(failed) for failed in failures], options.output, _FAILURES, {
        "cases": len(cases), "untried": untold,
    })  # fmt: skip
    if options.output == "human" and not options.quiet:
        click.echo(f"{len(cases)} cases, {len(failures)} failed, {len(rules.rules)} rules", err=True)
    return PROBLEMS if failures or problems or rules.errors else 0


def _paths(options: Options) -> list[Path]:
    """Where the configuration's rules are; of the shipped ones, if there is none at the default place.

    Raises:
        ConfigError: the configuration is not valid, or one that was named is not there.
    """
    config = configured(options)
    return [shipped("rules")] if config is None else rule_paths(config)


def _tell_refused(rules: RuleSet) -> None:
    for error in rules.errors:
        click.echo(f"rule refused: {printable(str(error))}", err=True)


def _cases(paths: Iterable[Path]) -> tuple[list[Placed], list[str]]:
    """The cases at `paths`, and what is wrong with their files."""
    files = {file.resolve(): file for path in paths for file in case_files(path)}
    cases: list[Placed] = []
    problems: list[str] = []
    for file in files.values():
        try:
            cases += load_cases(file)
        except ConfigError as error:
            problems += error.problems
        except OSError as error:
            problems.append(f"{file}:1: cannot read it: {(error.strerror or 'error').lower()}")
    return cases, problems


def _beside(rules: RuleSet, paths: Sequence[Path]) -> list[Rule]:
    """The rules in `paths`, or in files beside the files of cases there."""
    places = {path.resolve() for path in paths}
    places |= {path.with_name(path.name.replace(".test.yml", ".yml")).resolve() for path in paths}
    files = {rule.id: Path(rule.path).resolve() for rule in rules.rules}
    return [rule for rule in rules.rules if not places.isdisjoint([files[rule.id], *files[rule.id].parents])]


def _row(rule: Rule, rules: RuleSet) -> _Row:
    over = [other for other in rules.rules if other.correlation and rule.id in other.correlation.rules]
    return {
        "id": rule.id,
        "level": rule.level,
        "type": rule.correlation.type if rule.correlation else "event",
        "title": rule.title,
        "logsource": {} if rule.correlation else _stated(rule.logsource),
        "path": rule.path,
        "line": rule.line,
        "alerts": rule.alerts,
        "feeds": [other.id for other in over],
    }


def _stated(logsource: LogSource) -> dict[str, str]:
    return {name: value for name, value in msgspec.structs.asdict(logsource).items() if value}


def _rule_line(row: _Row) -> str:
    source = " ".join(f"{name}={value}" for name, value in row["logsource"].items()) or "-"
    does = " ".join([*(["alerts"] if row["alerts"] else []), *(f"feeds {over}" for over in row["feeds"])])
    place = f"{row['path']}:{row['line']}"
    return f"{row['id']}  {row['level']:<13}  {row['type']:<16}  {row['title']}  {source}  {place}  {does}"


def _failure_line(row: _Row) -> str:
    place = f"{row['path']}:{row['line']}"
    return f"{place}: {row['case']}: expected {as_json(row['expected'])}, found {as_json(row['found'])}"


_RULES = Form(
    "socmon.rules.list/v1",
    "rules",
    ("id", "level", "type", "title", "logsource", "path", "line", "alerts", "feeds"),
    _rule_line,
)
_FAILURES = Form("socmon.rules.test/v1", "failures", ("path", "line", "case", "expected", "found"), _failure_line)
