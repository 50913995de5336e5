"""Our evaluation equals an independent one over pySigma's condition tree, for rules and events made at random."""

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sigma_kit import ANY_SOURCE
from sigma_reference import rule_matches

from socmon.sigma.ruleset import parse_rules

FIELDS = st.sampled_from(["A", "B", "C"])
# Few characters, so that rules and events meet; wildcards, escapes, dashes, case, characters of several bytes.
RULE_TEXT = st.text(alphabet="aAbB*?\\-/ đĐ\n1", max_size=5)
VALUES = st.one_of(
    st.text(alphabet="aAbB*?\\-/ đĐ\n1.", max_size=6),
    st.integers(-12, 12),
    st.sampled_from([None, True, False, "true", "1", 2.5, "10.1.2.3", "::1", "YWI=", "Ab", "aab", "-a", "/a"]),
)
EVENTS = st.dictionaries(FIELDS, VALUES | st.lists(VALUES, max_size=3), max_size=3)
TEXT_MODIFIERS = [
    "", "|contains", "|startswith", "|endswith", "|cased", "|contains|cased", "|windash", "|windash|contains", "|neq",
    "|contains|neq", "|base64offset|contains", "|all", "|contains|all", "|windash|contains|all",
]  # fmt: skip
REGEXES = st.sampled_from(["a", "^a", "b$", "a.b", "^$", "[aA]+b", "(a|b)1", "\\d", "a?b*", "^.$", "đ"])


def named(modifiers: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda field, end, value: {field + end: value}, FIELDS, st.sampled_from(modifiers), values)


TEXT_ITEMS = named(TEXT_MODIFIERS, st.lists(RULE_TEXT, min_size=1, max_size=3))
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-2, 12), st.just(2.5))
ITEMS = st.one_of(
    TEXT_ITEMS,
    TEXT_ITEMS,
    named(["|re", "|re|i", "|re|s", "|re|m"], st.lists(REGEXES, min_size=1, max_size=2)),
    named(["|gt", "|gte", "|lt", "|lte"], st.integers(-12, 12)),
    named([""], st.lists(PLAIN, min_size=1, max_size=2)),
    named(["|cidr"], st.sampled_from(["10.0.0.0/8", "::/64", "10.1.2.3"])),
    named(["|exists"], st.booleans()),
    named(["|fieldref", "|fieldref|contains", "|fieldref|startswith", "|fieldref|endswith"], FIELDS),
)
MAPS = st.lists(ITEMS, min_size=1, max_size=2).map(lambda parts: {k: v for part in parts for k, v in part.items()})
KEYWORDS = st.lists(RULE_TEXT.filter(lambda text: text.strip("*")), min_size=1, max_size=2)
DETECTIONS = st.one_of(
    MAPS, MAPS, st.lists(MAPS, min_size=1, max_size=2), KEYWORDS, KEYWORDS.map(lambda words: {"|all": words})
)
CONDITIONS = st.sampled_from(
    ["s1", "not s1", "s1 and s2", "s1 or s2", "s1 and not s2", "1 of s*", "all of s*", "not 1 of s*", "not all of them",
     "s1 and not s2 or s3", "s1 or s2 and s3", "not (s1 or s2) and s3", ["s1", "s2 and s3"], "1 of s* and not _s"]
)  # fmt: skip
RIGHTLY_REFUSED = ("true for every event", "windash modifier expands", "wildcards is not allowed")
NAMES = ["s1", "s2", "s3", "_s"]


def is_ordinary(event: dict[str, Any]) -> bool:
    """Something in it has a text, and nothing in it is an empty list."""
    return any(value not in ("", None) and not isinstance(value, list) for value in event.values()) and (
        [] not in event.values()
    )


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    detections = {name: draw(DETECTIONS) for name in NAMES}
    return {"title": "t", "logsource": {"product": "test"}, "detection": detections | {"condition": draw(CONDITIONS)}}


@settings(max_examples=200, deadline=None)
@given(rules(), st.lists(EVENTS, min_size=1, max_size=6))
def test_evaluation_equals_the_reference(rule: dict[str, Any], events: list[dict[str, Any]]) -> None:
    text = yaml.safe_dump(rule, allow_unicode=True).encode()

    loaded = parse_rules("rule.yml", text)

    if loaded.errors:
        refusal = str(loaded.errors[0])
        assert any(reason in refusal for reason in RIGHTLY_REFUSED), refusal
        if "true for every event" in refusal:
            assert [event for event in events if is_ordinary(event) and not rule_matches(rule, event)] == []
        return
    for event in events:
        assert bool(loaded.match(event, ANY_SOURCE)) == rule_matches(rule, event), event
