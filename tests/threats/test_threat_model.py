"""docs/threat-model.md: each line has a control and a test, and that test fails once the control is switched off."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from switched_off import AS_IT_IS, PASSED
from threat_lines import LINES
from threat_switches import Line

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "threat-model.md"
SECTIONS = [
    "How to read it", "Spoofed province", "Replay and tampering", "Downgrade", "Stolen keys", "Hostile centre",
    "Privacy", "Insider at the province", "Insider at the centre", "Hostile text", "Floods", "Pages, metrics, backups",
    "Not covered",
]  # fmt: skip
MAX_LINES = 200
COLUMNS = ["Line", "Asset", "Who", "What they do", "Control", "Test", "What is left"]

_ROW = re.compile(r"^\| ([A-Z]\d+) \|.*$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_RUN_S = 300  # about 25 of processor time, on a machine that does other things too

Ends = Mapping[str, Mapping[str, Sequence[str]]]

each_line = pytest.mark.parametrize("line", LINES, ids=lambda line: line.id)


def rows() -> dict[str, list[str]]:
    """Cells of the page's lines, by the name of the line."""
    found = [row[0] for row in _ROW.finditer(PAGE.read_text("utf-8"))]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in found]
    return {row[0]: row for row in cells}


@pytest.fixture(scope="module")
def ends(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ends:
    """How each test of the lines that are asked for ended: by line, by test, by parameter."""
    name = test_a_line_s_test_fails_once_its_control_is_switched_off.__name__
    items = [item for item in request.session.items if isinstance(item, pytest.Function) and item.originalname == name]
    asked = [line for line in LINES if line.id in {item.callspec.id for item in items}]
    told = tmp_path_factory.mktemp("threats") / "ends.json"
    # What this run was told, as by xdist, is not for the one inside.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]),
        "SOCMON_LINES": ",".join(line.id for line in asked),
        "SOCMON_ENDS": str(told),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "switched_off", "-p", "no:cacheprovider", "-p", "no:xdist"]
    run = subprocess.run(
        [*command, *dict.fromkeys(test for line in asked for test in line.tests)],
        cwd=ROOT, env=environment, timeout=_RUN_S, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert told.exists(), run.stdout + run.stderr
    found: Ends = json.loads(told.read_text())
    return found


@pytest.mark.timeout(_RUN_S + 60)
@each_line
def test_a_line_s_test_fails_once_its_control_is_switched_off(ends: Ends, line: Line) -> None:
    for test in line.tests:
        assert set(ends[AS_IT_IS][test]) == {PASSED}

        without = set(ends[line.id][test]) - {PASSED}

        assert without, f"{test} passes without the control of {line.id}"
        # By what it says, not because the switch broke something else.
        assert without <= {f"call {name}" for name in ("AssertionError", "Failed", *line.raised)}


def test_a_line_stands_on_the_page_and_in_the_table_of_switches() -> None:
    assert [*rows()] == [line.id for line in LINES]


@each_line
def test_a_line_says_who_does_what_to_what_and_what_is_left(line: Line) -> None:
    row = rows()[line.id]

    assert len(row) == len(COLUMNS)
    assert [column for column, cell in zip(COLUMNS, row, strict=True) if not cell] == []


@each_line
def test_a_line_names_where_its_control_lives(line: Line) -> None:
    row = rows()[line.id]
    named = [target.removeprefix("../") for _, target in _LINK.findall(row[COLUMNS.index("Control")])]
    ours = ("socmon.", "forwarders.")
    switched = [off.where.partition(":")[0] for off in line.off if off.where.startswith(ours)]

    assert named
    assert all((ROOT / path).is_file() for path in named)
    assert all(path.startswith(("socmon/", "forwarders/")) for path in named)
    assert switched == [] or any(f"{module.replace('.', '/')}.py" in named for module in switched)


@each_line
def test_a_line_names_its_tests(line: Line) -> None:
    links = _LINK.findall(rows()[line.id][COLUMNS.index("Test")])

    assert [f"{target.removeprefix('../')}::{name.strip('`')}" for name, target in links] == [*line.tests]
    for test in line.tests:
        path, _, name = test.partition("::")
        assert re.search(rf"^(?:async )?def {name}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE)


def test_the_page_has_its_sections_and_stays_short() -> None:
    lines = PAGE.read_text("utf-8").splitlines()

    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == SECTIONS
    assert len(lines) <= MAX_LINES
    assert max(len(line) for line in lines if not line.startswith("|")) <= 120


def test_every_table_of_the_page_has_its_columns() -> None:
    heads = re.findall(r"^\| Line \|.*$", PAGE.read_text("utf-8"), re.MULTILINE)

    assert heads
    assert set(heads) == {f"| {' | '.join(COLUMNS)} |"}
