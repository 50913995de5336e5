"""Layouts of lines: what they read is what the line holds; and whoever varies lines makes no more than the bound."""

import json as stdlib_json
from typing import Any

import pytest

from socmon.parsers import json, layouts
from socmon.parsers.layouts import Layouts

MARK = b'"EventID"'
Names = tuple[str, ...]


def new() -> Layouts[Names]:
    return Layouts(MARK, lambda names: names)


def line(**members: Any) -> bytes:
    return stdlib_json.dumps({"EventID": 4688, **members}).encode()


def taught(*lines: bytes) -> Layouts[Names]:
    made = new()
    for one in lines:
        for _ in range(layouts._OFTEN):
            made.read(one)
    return made


def test_a_line_is_read_by_its_layout_once_lines_like_it_were_met() -> None:
    made = taught(line(a="x", b=[1, None]))

    assert made.read(line(a=None, b=2.5)) == (("EventID", "a", "b"), (4688, None, 2.5, None))
    assert made.read(line(b=True)) == (("EventID", "a", "b"), (4688, None, True, None))
    assert made.read(b'{"EventID": 4688, "a": 1, "a": "\\u0061"}') == (("EventID", "a", "b"), (4688, "a", None, None))


@pytest.mark.parametrize(
    "member",
    [b'"c": 1', b'"a": {}', b'"a": [[1]]', b'"a": "\xff"', b'"a": 9223372036854775808', b'" ": 1', b'"'],
)  # fmt: skip
def test_what_does_not_fit_is_not_read(member: bytes) -> None:
    made = taught(line(a="x"))

    assert made.read(b'{"EventID": 4688, "a": "x", %s}' % member) is None
    assert made.read(line(a="y")) is not None


def test_a_layout_grows_by_the_names_that_lines_have_besides() -> None:
    made = taught(line(a=1), line(b=1), line(c=1))

    names, values = made.read(line(c=7)) or ((), ())

    assert names == ("EventID", "a", "b", "c")
    assert values == (4688, None, None, 7, None)


def test_a_hint_that_keeps_failing_rests_and_has_another_chance() -> None:
    made = taught(line(a=1))
    for _ in range(layouts._MOST_MISSED + 1):
        assert made.read(line(a={})) is None

    rested = [made.read(line(a=1)) for _ in range(layouts._REST)]

    assert not any(rested)
    assert made.read(line(a=1)) is not None


def test_names_made_up_without_end_make_no_layouts_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "_MOST_IN_ALL", 2000)
    asked: list[int] = []
    made: Layouts[Names] = Layouts(MARK, lambda names: asked.append(len(names)) or names)  # type: ignore[func-returns-value]

    for place in range(30_000):
        made.read(b'{"EventID":%d,"made%d":1,"up":2}' % (place % 50, place))

    assert sum(asked) <= 2000
    assert made.made > 50
    assert max(asked) <= layouts._MOST_NAMES


def test_hints_made_up_without_end_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "_MOST_HINTS", 100)
    made = new()

    for place in range(30_000):
        made.read(b'{"EventID":%d,"a":1}' % (place // layouts._OFTEN if place % 2 else place))

    assert made.made <= 100
    assert len(made._kinds) <= 100
    assert len(made._met) <= layouts._MOST_MET


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "é", "x" * 65, "", "a b"])
def test_a_line_with_an_odd_name_teaches_nothing(name: str) -> None:
    made = taught(stdlib_json.dumps({"EventID": 1, name: 1}).encode())

    assert made.made == 0


def test_a_line_of_very_many_names_teaches_nothing() -> None:
    made = taught(line(**{f"n{place}": place for place in range(layouts._MOST_NAMES)}))

    assert made.made == 0
    assert json.as_decoded(line(a=1)) is not None
