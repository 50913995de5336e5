"""docs/sources.md is what the code and the pages beside it say, for each kind; and what it shows can be used."""

import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from socmon import metrics, registry
from socmon.config import load

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sources.md"
ROLES: dict[str, registry.Group] = {"collectors": "socmon.collectors", "forwarders": "socmon.forwarders"}
OTHER_SIDE = {"collectors": "## What the sender's side needs", "forwarders": "## What the receiver's side needs"}
TROUBLES = "## How it may lose or repeat"
WHAT = {"collectors": "records", "forwarders": "alerts"}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REASON = re.compile(r"`(?:dropped|error): ([a-z_]+)`")
_OPTION = re.compile(r"`([a-z]+(?:_[a-z]+)+)(?:: [^`]*)?`")


class Kind(NamedTuple):
    """A kind that ships with socmon, and its page."""

    role: str
    kind: str
    component: type[Any]
    path: Path


def kinds() -> Iterator[Kind]:
    for role, group in ROLES.items():
        for kind in registry.kinds(group):
            if registry.owner(registry.registered(group, kind)) == "socmon":
                yield Kind(role, kind, registry.find(group, kind), ROOT / role / f"{kind}.md")


KINDS = list(kinds())
each_kind = pytest.mark.parametrize("each", KINDS, ids=lambda each: f"{each.role}-{each.kind}")


def generator() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "generate.py"))


def test_the_page_is_current() -> None:
    assert PAGE.read_text("utf-8") == generator()["sources"](), "run `make docs`"


def test_every_page_beside_the_code_is_of_a_kind() -> None:
    pages = {path for role in ROLES for path in (ROOT / role).glob("*.md")}

    assert pages == {each.path for each in KINDS}


@each_kind
def test_a_page_has_its_parts(each: Kind) -> None:
    text = _FENCE.sub("", each.path.read_text("utf-8"))

    assert re.findall(r"^#.*$", text, re.MULTILINE) == [
        f"# {each.role}: kind {each.kind}",
        OTHER_SIDE[each.role],
        TROUBLES,
    ]
    first = text.split("\n\n")[1]
    assert len(first) > 80, "say in the first paragraph what it is"
    table = text.split(TROUBLES)[1].strip().splitlines()
    assert table[0] == f"| Cause | What becomes of the {WHAT[each.role]} | Where it is told |"
    assert len(table) >= 5
    assert {line.count(" | ") for line in table[2:] if line.startswith("|")} == {2}


@each_kind
def test_the_page_of_all_kinds_shows_each_option_once(each: Kind) -> None:
    page = PAGE.read_text("utf-8")
    part = page.split(f"### {each.role}: kind {each.kind}\n", 1)[1].split("\n### ", 1)[0].split("\n## ", 1)[0]
    common = page.split(f"\n## {each.role}\n", 1)[1].split("\n### ", 1)[0]

    own = re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)
    of_all = re.findall(r"^\| `(\w+)` \|", common, re.MULTILINE)

    assert {*own, *of_all} == {*each.component.settings_type.model_fields}
    assert len(own) == len({*own})


@each_kind
def test_what_a_page_shows_of_our_configuration_loads(each: Kind, tmp_path: Path) -> None:
    blocks = [block for language, block in _FENCE.findall(each.path.read_text("utf-8")) if language == "yaml"]
    assert blocks
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block)

        config = load(path)

        assert each.kind in {wiring.kind for wiring in getattr(config, each.role)}


@each_kind
def test_what_a_page_shows_for_others_is_well_formed(each: Kind) -> None:
    for language, block in _FENCE.findall(each.path.read_text("utf-8")):
        assert language in {"yaml", "toml", "conf", "sh", "ini"}
        if language == "toml":
            tomllib.loads(block)


@each_kind
def test_the_reasons_on_a_page_are_counted_somewhere(each: Kind) -> None:
    sources = "".join(path.read_text("utf-8") for role in ("socmon", *ROLES) for path in (ROOT / role).rglob("*.py"))

    missing = [
        reason
        for reason in _REASON.findall(each.path.read_text("utf-8"))
        if not re.search(rf'"{reason}"|\b{reason}=', sources)
    ]

    assert missing == []


@each_kind
def test_the_options_that_a_page_names_exist(each: Kind) -> None:
    text = _FENCE.sub("", each.path.read_text("utf-8"))
    known = {*each.component.settings_type.model_fields} | {each.name for each in metrics.declared()}
    known |= {kind.kind for kind in KINDS}

    assert [name for name in _OPTION.findall(text) if name not in known] == []


def test_a_heading_in_a_snippet_is_no_heading() -> None:
    described = generator()["_described"]
    collector = KINDS[0].component
    page = f"# collectors: kind x\n\nWords.\n\n## A\n\n```conf\n# a comment\n```\n\n[a](../docs/{PAGE.name})\n"

    text = described(page, collector.settings_type, collector.settings_type.__mro__[1])

    assert "\n# a comment\n" in text
    assert text.startswith("### collectors: kind x\n")
    assert "\n#### A\n" in text
    assert f"[a]({PAGE.name})" in text
