"""The fuzz target over seeds, over damaged rules, and over rules whose values are anything YAML can say."""

import random
from typing import Any

import pytest
import yaml
from fuzz.fuzz_rules import one_input
from hypothesis import given, settings
from hypothesis import strategies as st
from sigma.modifiers import modifier_mapping

from socmon.resources import shipped

RULE = b"""title: t
logsource: {product: test}
detection:
  sel:
    - F|contains|all: [a, '*b?']
      G|re|i: '^a(b|c)*$'
    - ['x', 5, null]
  words: [evil]
  condition: 1 of sel* and not words
"""
FILTER = (
    RULE
    + b"""---
title: f
logsource: {product: test}
filter:
  rules: any
  sel: {G|expand: ['%a%-%b%', '\\%c', 5]}
  words: {'|contains|all|expand': ['%a%', '%b%']}
  condition: not all of them
"""
)
SEEDS = [
    b"",
    b"\xff\xfe",
    b"\0",
    b"a: &a [*a]",
    b"a: !!timestamp x\nb: !!int x",
    b"? [a]\n: b",
    b"<<: {a: 1}\n",
    b"title: t\ncorrelation: []\n",
    b"title: t\ncorrelation: {type: [], rules: {}, timespan: [], condition: []}\n",
    b"title: t\nid: 5\nlogsource: []\ndetection: []\n",
    b"title: t\nlogsource: {product: test}\ndetection: {sel: {F|re: '(((a{1000}){1000}){1000}'}, condition: sel}\n",
    b"title: t\nlogsource: {product: test}\ndetection: {sel: {F: 1}, condition: " + b"(" * 3000 + b"}\n",
    b"title: t\nlogsource: {product: test}\ndetection: {sel: {F: 1}, condition: " + b"not " * 3000 + b"sel}\n",
    b"title: t\nlogsource: {product: test}\ndetection: {sel: " + b"[" * 90 + b"a" + b"]" * 90 + b", condition: sel}\n",
    b"[" * 300_000,
    b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c]\n",
    b"title: t\nlogsource: []\nfilter: []\n",
    b"title: t\nlogsource: {product: test}\nfilter: {rules: {a: b}, sel: {F: 1}, condition: [sel]}\n",
    RULE,
    FILTER,
]


@pytest.mark.parametrize("seed", SEEDS, ids=range(len(SEEDS)))
def test_seeds(seed: bytes) -> None:
    one_input(seed)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    one_input(data)


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_damaged_rules(chance: random.Random) -> None:
    data = bytearray(
        (shipped("rules") / "linux" / "ssh_brute_force.yml").read_bytes()
        if chance.random() < 0.3
        else chance.choice([RULE, FILTER])
    )
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data))
        piece = chance.choice([b"\xff", b"|", b": ", b"- ", b"[", b"}", b"*", b"&x", b"\n", b"'", b"null", b"\\", b""])
        data[at : at + chance.randint(0, 3)] = piece

    one_input(bytes(data))


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), st.text(max_size=8), st.binary(max_size=4)
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
MODIFIERS = st.lists(st.sampled_from([*modifier_mapping, "nope"]), max_size=4)
ITEMS = st.dictionaries(
    st.tuples(st.sampled_from(["F", "G", ""]), MODIFIERS).map(lambda parts: "|".join([parts[0], *parts[1]])),
    VALUES,
    max_size=3,
)
SECTIONS = st.dictionaries(st.sampled_from(["sel", "_x", "other"]), ITEMS | VALUES, max_size=3)
KEYS = ("title", "id", "name", "level", "tags", "date", "logsource", "correlation", "taxonomy", "related", "fields")


@settings(max_examples=200, deadline=None)
@given(SECTIONS, VALUES | st.sampled_from(["sel", "1 of them", "not sel or other"]), st.sampled_from(KEYS), VALUES)
def test_any_values(section: dict[str, Any], condition: Any, key: str, value: Any) -> None:
    rule = {
        "title": "t",
        "logsource": {"product": "test"},
        "detection": {**section, "condition": condition},
        key: value,
    }

    one_input(yaml.safe_dump(rule, allow_unicode=True).encode("utf-8", "surrogatepass"))


CORRELATIONS = st.fixed_dictionaries(
    {},
    optional={
        "type": VALUES | st.just("event_count"),
        "rules": VALUES | st.just(["base"]),
        "group-by": VALUES,
        "timespan": VALUES | st.just("5m"),
        "condition": VALUES | st.dictionaries(st.sampled_from(["gt", "lte", "eq"]), SCALARS, max_size=3),
        "generate": VALUES,
    },
)


@settings(max_examples=200, deadline=None)
@given(CORRELATIONS, VALUES)
def test_any_correlation(section: dict[str, Any], generate: Any) -> None:
    text = yaml.safe_dump({"title": "c", "correlation": section, "generate": generate}, allow_unicode=True)

    one_input(RULE.replace(b"title: t", b"title: t\nname: base") + b"---\n" + text.encode("utf-8", "surrogatepass"))
