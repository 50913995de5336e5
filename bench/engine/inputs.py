"""What the benchmarks of detection read: all rules of SigmaHQ, and real Windows events, always the same ones."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# The archive is read, and the answers are checked, by what the tests have for it.
sys.path.append(str(Path(__file__).parents[2] / "tests"))

from sigma_naive import Naive
from sigmahq_kit import ACTIVE, ARCHIVE, files_of

from socmon.resources import shipped
from socmon.sigma import RuleSet
from socmon.sigma.loading import Loader, rule_files
from socmon.sigma.logsources import shipped_log_sources
from socmon.sigma.ruleset import rule_set

EVENTS_FILE = "windows_events.jsonl"
VARIABLE = "SOCMON_BENCH_DATA"


@dataclass(frozen=True)
class Events:
    """Lines of real events, no line in two lists nor twice in one.

    Attributes:
        first: those that an engine is warmed with.
        unseen: as many others.
        other: what is made hostile.
    """

    first: list[bytes]
    unseen: list[bytes]
    other: list[bytes]


def events_file(folder: str | None) -> Path:
    """The file of events in `folder`, or in what the environment names; it ends the program where there is none."""
    path = Path(folder or os.environ.get(VARIABLE, "")) / EVENTS_FILE
    if not path.is_file():
        sys.exit(f"no {path}; say with --data, or {VARIABLE}, which folder holds {EVENTS_FILE}")
    return path


def chosen(path: Path, count: int, other: int) -> Events:
    """Twice `count` lines, and `other` ones, evenly over the whole file.

    A line that was taken already gives way to the next that was not.
    """
    wanted = 2 * count + other
    taken = list(_taken(path, wanted))
    if len(taken) < wanted:
        sys.exit(f"{path} holds too few different lines: {wanted:,} are needed")
    others = {place * wanted // other for place in range(other)}
    rest = [line for place, line in enumerate(taken) if place not in others]
    return Events(rest[::2], rest[1::2], [taken[place] for place in sorted(others)])


def _taken(path: Path, wanted: int) -> Iterator[bytes]:
    with path.open("rb") as lines:
        total = sum(1 for _ in lines)
        lines.seek(0)
        seen: set[bytes] = set()
        for place, raw in enumerate(lines):
            line = raw.rstrip(b"\r\n")
            if len(seen) * total <= place * wanted and len(seen) < wanted and line not in seen:
                seen.add(line)
                yield line


def all_rules(*, with_shipped: bool = False) -> RuleSet:
    """SigmaHQ's rules in force, but for those whose placeholders have no values; as wished with the shipped ones."""
    if not ARCHIVE.is_file():
        sys.exit(f"no {ARCHIVE}; set SOCMON_DATA to the folder of real data")
    loader = Loader(shipped_log_sources())
    if with_shipped:
        for file in rule_files(shipped("rules"), loader.errors):
            loader.add_path(file)
    for path, content in files_of(*ACTIVE):
        loader.add(path, content)
    return rule_set(loader, shipped_log_sources())


def unpacked_rules(folder: Path) -> int:
    """Write the same rules as files below `folder`; how many files."""
    if not ARCHIVE.is_file():
        sys.exit(f"no {ARCHIVE}; set SOCMON_DATA to the folder of real data")
    files = list(files_of(*ACTIVE))
    for name, content in files:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return len(files)


def fresh(rules: RuleSet) -> RuleSet:
    """The same rules, as if they had been loaded just now: nothing is remembered of any event."""
    conditions = {rule.id: rules.condition(rule.id) for rule in rules.rules if rule.correlation is None}
    return RuleSet(rules.rules, rules.errors, conditions, shipped_log_sources())


def naive(rules: RuleSet) -> Naive:
    """The naive engine over the same rules."""
    return Naive(rules, shipped_log_sources())
