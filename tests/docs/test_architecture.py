"""ARCHITECTURE.md tells the way of an event, and the layers, as they are."""

import ast
import itertools
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")

_LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<path>[^)#]+\.py)\)")


class Step(NamedTuple):
    """One entry of the list: a file, the names it says are in it, and the call that hands over ("" in the last)."""

    path: Path
    names: list[str]
    handover: str


def steps() -> list[Step]:
    section = PAGE.split("## One event's way\n", 1)[1].split("\n## ", 1)[0]
    entries = re.findall(r"^\d+\. (.*?)(?=^\d+\. |^$)", section, re.MULTILINE | re.DOTALL)
    return [step(entry) for entry in entries]


def step(entry: str) -> Step:
    told, _, handover = entry.partition("→")
    link = _LINK.match(told)
    assert link is not None, f"begins without a link: {entry[:60]}"
    assert link["text"] == link["path"]
    names = re.findall(r"`([A-Z]\w*(?:\.\w+)?)`", told)
    return Step(ROOT / link["path"], names, handover.strip().strip("`"))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def defined(path: Path) -> set[str]:
    """Classes, functions, and methods as Class.method."""
    found = set()
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{method.name}" for method in methods}
    return found


def imported(path: Path) -> set[str]:
    """Everything that a file imports, as it stands there and with the package of it."""
    nodes = list(ast.walk(tree(path)))
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return modules | {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}


def called(path: Path) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)}


def module_names(path: Path) -> set[str]:
    """A module's name, and that of its package below socmon, which hands out what is in it."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return {".".join(parts), *([".".join(parts[:-1])] if len(parts) > 2 else [])}


def calls_into(caller: Path, callee: Path, handover: str) -> bool:
    name = handover.rpartition(".")[2]
    return handover in called(caller) and any(each.rpartition(".")[2] == name for each in defined(callee))


def test_an_event_is_followed_in_at_most_eight_files_that_exist() -> None:
    paths = [each.path for each in steps()]

    assert 2 <= len(paths) <= 8
    assert len(set(paths)) == len(paths)
    assert [path for path in paths if not path.is_file()] == []
    assert (paths[0].parent.name, paths[-1].name) == ("collectors", "ncsc.py")


@pytest.mark.parametrize("at", steps(), ids=lambda at: at.path.stem)
def test_each_step_names_what_is_in_its_file(at: Step) -> None:
    elsewhere = {"Correlator"}  # of the file that the step links to beside its own

    assert at.names
    assert set(at.names) - elsewhere <= defined(at.path)


def test_each_step_hands_over_to_the_next() -> None:
    way = steps()
    for step, following in itertools.pairwise(way):
        linked = (
            imported(following.path) & module_names(step.path)
            or imported(step.path) & module_names(following.path)
            or calls_into(step.path, following.path, step.handover)
        )
        assert linked, f"{step.path.name} and {following.path.name} have nothing to do with each other"
        assert any(
            calls_into(caller.path, callee, step.handover) for caller in way for callee in (step.path, following.path)
        ), f"nobody calls {step.handover}"
    assert way[-1].handover == ""


def test_the_layers_are_those_that_are_enforced() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    block = PAGE.split("## Layers\n", 1)[1].split("```\n", 2)[1]

    assert block.splitlines() == contract["layers"]


def test_every_room_of_socmon_stands_among_the_layers_and_no_other() -> None:
    block = PAGE.split("## Layers\n", 1)[1].split("```\n", 2)[1]
    found = {path.stem for path in (ROOT / "socmon").glob("*.py")}
    found |= {path.parent.name for path in (ROOT / "socmon").glob("*/*.py")}

    assert set(re.findall(r"\w+", block)) == found - {"__init__"}
