"""`socmon rules`: which rules are loaded, and whether they find what the cases beside them say."""

from __future__ import annotations  # what they name is imported where it is used: a shell only asks for the options

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from socmon.cli import PROBLEMS, Options
from socmon.cli.output import Form, as_json, write_rows
from socmon.cli.shown import tell_refused
from socmon.errors import ConfigError
from socmon.event import LogSource
from socmon.i18n import Translator, mark
from socmon.resources import shipped
from socmon.text import printable

if TYPE_CHECKING:
    from socmon.sigma import Rule, RuleSet
    from socmon.sigma.cases import Placed

_Row = dict[str, Any]


@click.group("rules")
def command() -> None:
    """List the rules, and run the test cases beside them; needs no daemon and no configuration."""


@command.command("list")
@click.pass_obj
def list_rules(options: Options) -> int:
    """List the rules that the daemon would load, and on standard error what it refuses and how often why.

    Exits with 1 when a rule, or an entry of a table of log sources, was refused.
    """
    from socmon.cli.configured import configured
    from socmon.detection import configured_rules

    rules, table_problems = configured_rules(configured(options))
    tell_refused(options, rules, table_problems)
    form = _RULES._replace(human=partial(_rule_line, options.tr))
    write_rows([_row(rule, rules) for rule in rules.rules], options.output, form, _refusals(rules))
    if rules.errors and options.output == "human" and not options.quiet:
        _tell_reasons(options, rules)
    return PROBLEMS if rules.errors or table_problems else 0


def _refusals(rules: RuleSet) -> _Row:
    """What was refused, and how often for which reason."""
    from socmon.sigma.refusals import reasons

    return {
        "refused": [{"path": error.path, "line": error.line, "message": error.message} for error in rules.errors],
        "reasons": [{"reason": reason, "count": count} for reason, count in reasons(rules.errors)],
    }


def _tell_reasons(options: Options, rules: RuleSet) -> None:
    """On standard error, after the list: thousands of rules may have been refused for few reasons."""
    from socmon.sigma.refusals import reasons

    text = mark("{rules} rules, {refused} refusals, by reason:")
    click.echo(options.tr(text, rules=len(rules.rules), refused=len(rules.errors)), err=True)
    for reason, count in reasons(rules.errors):
        click.echo(printable(f"{count:>6}  {reason}"), err=True)


@command.command("test")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True), metavar="[PATH…]")
@click.pass_obj
def test(options: Options, paths: tuple[Path, ...]) -> int:
    """Run the cases (NAME.test.yml) beside rules: each must end in the matches and alerts that it states.

    All rules see the lines of every case: the shipped ones, those of the configuration, and those of PATH. With PATH,
    a folder, a file of rules or a file of cases, only the cases there are run.

    Exits with 1 when a case fails, or when a rule or a file of cases was refused. A rule without cases is a warning.
    """
    from socmon.cli.configured import configured
    from socmon.detection import configured_rules, rule_paths
    from socmon.sigma.trying import failure, untried

    config = configured(options)
    chosen = list(paths) or ([shipped("rules")] if config is None else rule_paths(config))
    rules, table_problems = configured_rules(config, paths)
    tell_refused(options, rules, table_problems)
    cases, problems = _cases(chosen)
    for problem in problems:
        click.echo(printable(problem), err=True)
    lacking = list(untried(_beside(rules, chosen), [placed.case for placed in cases]))
    for rule in [] if options.quiet else lacking:
        text = options.tr("no case tries {title!r}", title=rule.title)
        click.echo(printable(f"{rule.path}:{rule.line}: " + options.tr("warning") + f": {text}"), err=True)
    failures = [failed for placed in cases if (failed := failure(rules, placed))]
    untold = [{"path": rule.path, "line": rule.line, "title": rule.title} for rule in lacking]
    form = _FAILURES._replace(human=partial(_failure_line, options.tr))
    write_rows([msgspec.to_builtins(failed) for failed in failures], options.output, form, {
        "cases": len(cases), "untried": untold,
    })  # fmt: skip
    if options.output == "human" and not options.quiet:
        text = mark("{cases} cases, {failed} failed, {rules} rules")
        click.echo(options.tr(text, cases=len(cases), failed=len(failures), rules=len(rules.rules)), err=True)
    return PROBLEMS if failures or problems or rules.errors or table_problems else 0


def _cases(paths: Iterable[Path]) -> tuple[list[Placed], list[str]]:
    """The cases at `paths`, and what is wrong with their files."""
    from socmon.sigma.cases import load_cases
    from socmon.sigma.trying import case_files

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
        "filters": [msgspec.structs.asdict(one) for one in rule.filters],
    }


def _stated(logsource: LogSource) -> dict[str, str]:
    return {name: value for name, value in msgspec.structs.asdict(logsource).items() if value}


def _rule_line(tr: Translator, row: _Row) -> str:
    source = " ".join(f"{name}={value}" for name, value in row["logsource"].items()) or "-"
    feeds = [tr("feeds {rule}", rule=over) for over in row["feeds"]]
    filters = [tr("filtered by {filter}", filter=one["title"]) for one in row["filters"]]
    does = " ".join([*([tr("alerts")] if row["alerts"] else []), *feeds, *filters])
    place = f"{row['path']}:{row['line']}"
    return f"{row['id']}  {tr(row['level']):<13}  {row['type']:<16}  {tr(row['title'])}  {source}  {place}  {does}"


def _failure_line(tr: Translator, row: _Row) -> str:
    place = f"{row['path']}:{row['line']}"
    expected, found = as_json(row["expected"]), as_json(row["found"])
    return f"{place}: {row['case']}: " + tr("expected {expected}, found {found}", expected=expected, found=found)


_RULES = Form(
    "socmon.rules.list/v1",
    "rules",
    ("id", "level", "type", "title", "logsource", "path", "line", "alerts", "feeds", "filters"),
    str,
)
_FAILURES = Form("socmon.rules.test/v1", "failures", ("path", "line", "case", "expected", "found"), str)
