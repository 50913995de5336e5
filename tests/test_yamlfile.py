"""YAML without surprises."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from socmon.yamlfile import Document, read


def written(folder: Path, text: str) -> Document:
    path = folder / "some.yaml"
    path.write_text(text)
    return read(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("12:30:00", "12:30:00"),
        ("2026-11-22", "2026-11-22"),
        ("0x1f", "0x1f"),
        ("1__0", "1__0"),
        (".inf", ".inf"),
        ("'0777'", "0777"),
        ("!!str 12", "12"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("10_000", 10_000),
        ("-7", -7),
        ("0", 0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("2.5E-1", 0.25),
    ],
)
def test_plain_scalar_means_what_it_looks_like(tmp_path: Path, text: str, value: Any) -> None:
    document = written(tmp_path, f"key: {text}\n")

    assert (document.data, document.problems) == ({"key": value}, [])
    assert type(document.data["key"]) is type(value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 0777\n", ":2: 0777 may be octal or decimal; write 777, or put it in quotes"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", ":4: key 'c' stands here a second time, first on line 3; remove one"),
        ("a: &x [1]\nb: *x\n", ":1: an alias (*name); write the value out"),
        ("a: !!python/object:os.system x\n", ":1: tag 'tag:yaml.org,2002:python/object:os.system'; tags are not used"),
        ("a: !!bool maybe\n", ":1: 'maybe' is no bool; remove the tag"),
        ("? [a]\n: b\n", ":1: a key must be a word"),
        ("a: [1\nb: 2\n", ":2: not valid YAML: did not find expected ',' or ']'"),
        ("a: 1\n---\nb: 2\n", ":2: not valid YAML: but found another document"),
        ("[" * 100_000, ":1: nested deeper than 50 levels; make it flatter"),
        (f"a: {'9' * 5000}\n", "is too long for a number"),
        ("a: \x01\n", ":1: not valid YAML: "),
    ],
)
def test_what_could_be_misread_is_a_problem_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    document = written(tmp_path, text)

    assert len(document.problems) == 1
    assert document.problems[0].startswith(str(tmp_path / "some.yaml"))
    assert problem in document.problems[0]


def test_value_with_a_problem_is_marked_broken(tmp_path: Path) -> None:
    document = written(tmp_path, "a:\n  b: 010\n  c: 1\n")

    assert document.data == {"a": {"b": None, "c": 1}}
    assert document.broken == {("a", "b")}


def test_missing_file_is_a_problem(tmp_path: Path) -> None:
    document = read(tmp_path / "none.yaml")

    assert document.problems == [
        f"{tmp_path}/none.yaml: cannot read it: no such file or directory; check path and rights"
    ]


def test_place_that_the_file_does_not_spell_out_is_found_at_what_is_around_it(tmp_path: Path) -> None:
    document = written(tmp_path, "a: 1\nb:\n  c: [x,\n   y]\n")

    assert document.at(("b", "c", 1)).endswith(":4")
    assert document.at(("b", "missing")).endswith(":2")
    assert document.at(("nothing",)).endswith(":1")


class _Quoting(yaml.SafeDumper):
    """Writes every text in quotes, and never an alias."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_scalars = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
_values = st.recursive(
    _scalars | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(data=st.dictionaries(_texts, _values, max_size=5))
def test_what_was_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("yaml") / "some.yaml"
    path.write_text(yaml.dump(data, Dumper=_Quoting, allow_unicode=True), encoding="utf-8")

    document = read(path)

    assert (document.problems, document.data) == ([], data)


@settings(max_examples=200, deadline=None)
@given(text=st.binary(max_size=200) | st.text("[]{}:,-&*!|>'\"%@ \n\ta0.e~?#", max_size=60).map(str.encode))
def test_no_bytes_make_it_raise(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    path = tmp_path_factory.mktemp("yaml") / "some.yaml"
    path.write_bytes(text)

    document = read(path)

    assert all(problem.startswith(str(path)) for problem in document.problems)
