"""What the pages name exists: links, files, commands and their options, make targets, metrics, messages, statements."""

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from socmon import metrics
from socmon.cli import COMMANDS
from socmon.store.schema import prepare

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
VIETNAMESE = ROOT / "docs" / "vi" / "README.md"
_UNSEEN = {"data", "node_modules"}

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"(?:^|[/ ])socmon(?: -[co] \S+| --(?:config|output) \S+)* ([a-z]+(?:-[a-z]+)*)(.*)$")
_OURS = ("socmon", "collectors", "forwarders", "rules", "docs", "tests", "bench")


def pages() -> list[Path]:
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _UNSEEN]
        found += [Path(folder, name) for name in names if name.endswith(".md")]
    return sorted(found)


PAGES = pages()
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def fences(text: str) -> list[tuple[str, str]]:
    """(language, content) of each fenced block."""
    return _FENCE.findall(text)


def code(page: Path) -> Iterator[str]:
    """Each code span, and each line of a block that a person types; what commands print is left out."""
    text = page.read_text("utf-8")
    for language, block in fences(text):
        for line in block.splitlines():
            if language != "console":
                yield line
            elif line.startswith("$ "):
                yield line[2:]
    yield from _SPAN.findall(_FENCE.sub("", text))


def section(page: Path, heading: str) -> str:
    return page.read_text("utf-8").split(f"{heading}\n", 1)[1].split("\n## ", 1)[0]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> Iterator[tuple[str, str]]:
    """(sub-command, the rest of the line) of each `socmon …` in code."""
    for line in code(page):
        for part in line.split(" | "):
            if found := _COMMAND.search(part):
                yield found[1], found[2]


def options_of(command: click.Command) -> set[str]:
    mine = {option for each in command.params for option in each.opts}
    if isinstance(command, click.Group):
        mine = mine.union(*(options_of(each) for each in command.commands.values()))
    return mine


# ── the README ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("page", "heading"), [(README, "## Quick start"), (VIETNAMESE, "## Chạy thử")])
def test_quick_start_is_two_commands_of_one_line(page: Path, heading: str) -> None:
    blocks = [block for _, block in fences(section(page, heading))]

    assert blocks == ["make demo\n", "make test\n"]


def test_both_languages_have_the_same_commands() -> None:
    english = [block for language, block in fences(README.read_text("utf-8")) if language == "sh"]
    vietnamese = [block for language, block in fences(VIETNAMESE.read_text("utf-8")) if language == "sh"]

    assert vietnamese == english


@pytest.mark.parametrize("page", [README, VIETNAMESE], ids=["en", "vi"])
def test_what_the_readme_shows_is_what_the_commands_print(page: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("colectors:\n  a: {kind: fil}\nlog: {level: loud}\n")
    (tmp_path / "socmon").symlink_to(ROOT / "socmon")
    shown = [block for language, block in fences(page.read_text("utf-8")) if language == "console"]
    environment = os.environ | {"NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
    assert shown

    for block in shown:
        for typed, printed in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            line = typed.replace(".venv/bin/socmon", shlex.quote(str(Path(sys.executable).with_name("socmon"))))
            result = subprocess.run(
                line, shell=True, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=60, check=False,
            )  # fmt: skip
            assert result.stdout.decode() == printed


# ── every page ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_pages_are_found() -> None:
    assert {README, VIETNAMESE, ROOT / "CHANGELOG.md", ROOT / "docs" / "adr" / "README.md"} <= {*PAGES}


@each_page
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text("utf-8"))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


@each_page
def test_files_of_ours_that_are_named_exist(page: Path) -> None:
    named = [span for span in code(page) if re.fullmatch(rf"(?:{'|'.join(_OURS)})/[\w./-]*", span)]
    generated = {"bench/results/", "bench/data/"}

    missing = [name for name in named if not (ROOT / name).exists() and name not in generated]

    assert [name for name in missing if not re.search(r"[A-Z]{3}", name)] == []  # KIND and NAME stand for yours


@each_page
def test_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^(\w+):", makefile, re.MULTILINE))

    named = {name for line in code(page) for name in re.findall(r"(?:^|\s)make (\w+)", line)}

    assert named <= targets


@each_page
def test_commands_and_their_options_exist(page: Path) -> None:
    for name, rest in commands(page):
        assert name in COMMANDS, f"socmon {name}"
        command = import_module(f"socmon.cli.{name.replace('-', '_')}").command
        known = options_of(command) | {
            "-c",
            "-o",
            "-q",
            "-v",
            "-h",
            "--config",
            "--output",
            "--color",
            "--help",
            "--lang",
            "--tz",
        }
        assert set(re.findall(r"(?<=\s)--?[a-z]+", rest)) <= known, f"socmon {name}{rest}"


@each_page
def test_metrics_exist(page: Path) -> None:
    declared = {each.name for each in metrics.declared()}
    named = {name for line in code(page) for name in re.findall(r"\bsocmon_[a-z0-9_]+", line)}

    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in named} <= declared


@each_page
def test_options_that_are_named_with_their_section_exist(page: Path) -> None:
    reference = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    sections = {part.split("\n", 1)[0]: part for part in reference.split("\n## ")[1:]}
    pattern = re.compile(rf"({'|'.join(sections.keys() - {'collectors', 'forwarders'})})\.([a-z_]+)")

    named = [found.groups() for span in code(page) if (found := pattern.match(span.split(":")[0]))]

    assert [f"{name}.{option}" for name, option in named if f"| `{option}` |" not in sections[name]] == []


# ── single pages ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_message_that_operations_explains_is_one_of_ours() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", section(ROOT / "docs" / "operations.md", "## Messages"), re.MULTILINE)
    sources = [path.read_text("utf-8") for name in _OURS[:3] for path in (ROOT / name).rglob("*.py")]

    assert len(rows) > 10
    assert [row for row in rows if not any(row in source for source in sources)] == []


def test_operations_says_nothing_twice() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    told = re.findall(r"^(?:#+ .+|\| `[^`]+` \|(?=[^|]{40,}\|))", page, re.MULTILINE)

    assert len(told) > 100
    assert sorted({each for each in told if told.count(each) > 1}) == []
    assert re.findall(r"(?<!\n)\n#{2,} .+", re.sub(r"```.*?```", "", page, flags=re.DOTALL)) == []


def test_operations_explains_every_trouble_that_is_logged() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    centre = {"ncsc", "feed"}  # the simulated centre's log is its own
    sources = [path for name in _OURS[:3] for path in (ROOT / name).rglob("*.py") if path.parent.name not in centre]
    logged = {
        message
        for path in sources
        for message in re.findall(r'log\.(?:warning|error|exception)\(\s*"([^"]+)"', path.read_text("utf-8"))
    }

    assert len(logged) > 10
    assert [message for message in sorted(logged) if message not in page] == []


def test_statements_that_operations_shows_run() -> None:
    db = sqlite3.connect(":memory:")
    prepare(db, "memory")
    statements = [
        block
        for language, block in fences((ROOT / "docs" / "operations.md").read_text("utf-8"))
        if language == "sql"
    ]  # fmt: skip

    assert len(statements) == 2
    for statement in statements:
        assert db.execute(statement).fetchall() == []
    db.close()


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "adr"
    listed = _LINK.findall((folder / "README.md").read_text("utf-8"))

    assert listed == sorted(path.name for path in folder.glob("0*.md"))


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "adr").glob("0*.md")), ids=lambda path: path.stem[:4])
def test_a_decision_is_short_and_has_its_three_parts(path: Path) -> None:
    text = path.read_text("utf-8")

    assert len(text.splitlines()) <= 40
    assert text.startswith(f"# {int(path.stem[:4])}. ")
    assert text.index("**Context.**") < text.index("**Decision.**") < text.index("**Consequences.**")
