"""Rules and events at random, of few characters and values, so that they meet."""

import os
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from hypothesis import strategies as st
from sigma_values_reference import PARTS

ALPHABET = "aAbB*?\\-/ đĐ\n1%"
# Letters that change their length or their kind with their case, and the same letter in two forms.
LETTERS = [
    "İx",
    "i\u0307x",
    "straße",
    "STRASSE",
    "ΟΔΟΣ",
    "οδος",
    "οδοσ",
    "Đạ",
    "đạ",
    "d\u0323a",
    "\u212a",
    "k",
    "ẞ",
    "ß",
]
COMMON = [
    "",
    "a",
    "b",
    "ab",
    "Ab",
    "aab",
    "ba",
    "-a",
    "/a",
    "–a",
    "a -b",
    "a /b",
    "1",
    "12",
    "true",
    "10.1.2.3",
    *LETTERS,
]
ENCODED = [
    b64encode(before + text.encode(codec)).decode()
    for text in ("ab", "a1b", "đa")
    for codec in ("utf-8", "utf-16-le", "utf-16", "utf-16-be")
    for before in (b"", b"x", b"xy")
]
TIMES = [
    "2024-12-30T00:05:00Z", "2024-02-29 12:30:59.5", "2021-01-03T23:59:59.123456+07:00", "2024-12-30",
    "2024-13-01 00:00:00",
    "2023-02-29T10:00:00", "1700000000", "2024-06-05T12:30:00", "12:30",
]  # fmt: skip
NUMBERS = [0, 1, 5, -3, 12, 2.5, 5.0, "5", "2.50", "-3", "0.1", "1e1", "+5", "x", "9007199254740993", 10**30]
ADDRESSES = ["10.1.2.3", "10.200.0.1", "192.0.2.1", "::1", "::ffff:10.1.2.3", "2001:db8::7", "10.1.2", "fe80::1%eth0"]

# Everything is chosen from lists made once: hypothesis takes its time for each thing that it draws.
_RANDOM = Random() if os.environ.get("SOCMON_EXPLORE") else Random(21)


def _some(alphabet: str, most: int, count: int) -> list[str]:
    return ["".join(_RANDOM.choices(alphabet, k=_RANDOM.randint(0, most))) for _ in range(count)]


RULE_TEXTS = [*_some(ALPHABET, 4, 400), *_some("aAb*?", 3, 200), *COMMON * 6]
_EVENT_TEXTS = [*_some(ALPHABET + ".", 6, 300), *_some("aAb-", 4, 200), *COMMON * 6, *ENCODED]
# Field → what it holds; a rule asks a field for what it may hold.
_HELD: dict[str, list[Any]] = {
    "A": _EVENT_TEXTS,
    "B": [*_EVENT_TEXTS, *[None, True, False, 1, 2.5, "false"] * 30],
    "N": NUMBERS,
    "I": ADDRESSES,
    "T": TIMES,
}


def _held(name: str) -> Any:
    """A value, or several in a list or mapping."""
    choose = partial(_RANDOM.choice, _HELD[name])
    kind = _RANDOM.randint(0, 7)
    if kind == 0:
        return [choose() for _ in range(_RANDOM.randint(0, 3))]
    return {"k": choose(), "l": [choose()]} if kind == 1 else choose()


def _event() -> dict[str, Any]:
    return {name: _held(name) for name in _HELD if _RANDOM.randint(0, 4)}


TEXT_MODIFIERS = [
    "", "", "|contains", "|contains", "|startswith", "|endswith", "|cased", "|contains|cased", "|windash",
    "|windash|contains",
    "|neq", "|contains|neq", "|all", "|contains|all", "|windash|contains|all", "|startswith|cased", "|contains|all|neq",
    "|windash|startswith", "|windash|endswith|cased",
]  # fmt: skip
ENCODINGS = [
    "|base64", "|base64offset", "|wide|base64", "|utf16le|base64", "|utf16|base64", "|utf16be|base64offset",
    "|wide|base64offset", "|utf16|base64offset",
]  # fmt: skip
REGEXES = [
    "a", "^a", "b$", "a.b", "^$", "[aA]+b", "(a|b)1", "\\d", "a?b*", "^.$", "đ", "^[^a]", "b{2}|a{1,2}$", "\\w+$",
    "a\\.b",
]  # fmt: skip
NETWORKS = ["10.0.0.0/8", "::/64", "10.1.2.3", "10.1.0.0/16", "2001:db8::/32", "0.0.0.0/0", "fe80::/10"]
LIMITS = [-3, 0, 1, 5, 12, 2.5, 0.1, 9007199254740992, 10**30]
_LIKELY = {
    "minute": [30, 59, 5],
    "hour": [12, 0, 23],
    "day": [30, 29, 3, 5],
    "week": [1, 53, 9, 23],
    "month": [12, 2, 6],
}


# Names of fields, modifiers, values, and how many of these at most. What stands here twice is chosen twice as often.
_KINDS: list[tuple[list[str], list[str], list[Any], int]] = [
    *[(["A", "A", "B"], TEXT_MODIFIERS, RULE_TEXTS, 3)] * 4,
    (["A", "B"], [one + end for one in ENCODINGS for end in ("|contains", "")], ["ab", "a1b", "đa", "b"], 2),
    (["A"], ["|wide|contains", "|utf16be", "|utf16"], ["a", "b1"], 2),
    (["A", "B"], ["|re", "|re", "|re|i", "|re|s", "|re|m", "|re|i|m|s", "|re|neq", "|re|all"], REGEXES, 2),
    (["N", "N", "N", "B"], ["|gt", "|gte", "|lt", "|lte", "|gt|neq"], LIMITS, 2),
    (["N", "B"], ["", "", "|neq"], [1, 5, -3, 2.5, True, False, None, "5"], 2),
    (["I"], ["|cidr", "|cidr", "|cidr|neq"], NETWORKS, 2),
    (["A", "B", "N", "X"], ["|exists"], [True, False], 1),
    (["A", "N"], ["|fieldref" + end for end in ("", "|contains", "|startswith", "|endswith", "|neq")], ["B", "A",
    "X"], 2),
    (["A", "B"], ["|expand", "|expand|contains", "|expand|cased", "|expand|contains|all"], ["%few%", "a%few%",
    "%one%b"], 2),
    (["A", "N"], ["|expand"], ["%many%"], 1),
    *[
        (["T"], [f"|{part}{end}" for end in ("", "", "|gte", "|lt", "|neq")], _LIKELY.get(part, [2024, 2021]), 2)
        for part in PARTS
    ],
]  # fmt: skip
PLACEHOLDERS: dict[str, list[str | int | float]] = {"few": ["a", "B*"], "one": ["a?"], "many": ["ab", 12, 2.5, "*1"]}


def _line() -> tuple[str, Any]:
    names, modifiers, values, most = _RANDOM.choice(_KINDS)
    end = _RANDOM.choice(modifiers)
    least = 2 if "|all" in end else 1
    many = [_RANDOM.choice(values) for _ in range(_RANDOM.randint(least, max(least, most)))]
    return _RANDOM.choice(names) + end, many[0] if len(many) == 1 else many


def _map() -> dict[str, Any]:
    return dict(_line() for _ in range(_RANDOM.choice([1, 1, 2])))


def _words(least: int) -> list[str]:
    words = [text for text in RULE_TEXTS if text.strip("*")]
    return _RANDOM.sample(words, _RANDOM.randint(least, 3))


def _detection() -> Any:
    kind = _RANDOM.randint(0, 11)
    special: dict[int, Callable[[], Any]] = {
        0: lambda: [_map(), _map()],
        1: lambda: _words(1),
        2: lambda: {"|all": _words(2)},
        3: lambda: {_RANDOM.choice(["|re", "|contains"]): _RANDOM.choice(["a", "1b", "đ", "b-"])},
    }
    make: Callable[[], Any] = special.get(kind, _map)
    return make()


SECTIONS = ("s1", "s2", "s3", "_s")
CONDITIONS = st.sampled_from(
    ["s1", "not s1", "s1 and s2", "s1 or s2", "s1 and not s2", "1 of s*", "all of s*", "not 1 of s*", "not all of them",
     "any of them", "s1 and not s2 or s3", "s1 or s2 and s3", "not (s1 or s2) and s3", ["s1", "s2 and s3"],
     "1 of s* and not _s", "1 of them", "all of *3 or s2", "not not s1 and s2", "(s1)", "1 of _* or s1"]
)  # fmt: skip
SOURCES: list[dict[str, str]] = [
    {"product": "test"}, {"product": "test"}, {"product": "Test", "service": "one"}, {"category": "kind"},
    {"product": "test", "category": "KIND"}, {"product": "other"},
]  # fmt: skip
EVENT_SOURCES: list[dict[str, str | None]] = [
    {"product": "test", "service": "one", "category": "kind"}, {"product": "test"},
    {"product": "TEST", "service": "two", "category": "Kind"}, {"product": "test", "service": "one", "category": None},
]  # fmt: skip


_DETECTIONS = st.sampled_from([_detection() for _ in range(3000)])
_MAPS = st.sampled_from([_map() for _ in range(500)])
EVENTS = st.tuples(st.sampled_from([_event() for _ in range(3000)]), st.sampled_from(EVENT_SOURCES))


@st.composite
def rules(draw: st.DrawFn, number: int) -> dict[str, Any]:
    return {
        "title": f"rule {number}",
        "id": f"00000000-0000-4000-8000-00000000000{number}",
        "name": f"rule_{number}",
        "logsource": draw(st.sampled_from(SOURCES)),
        "detection": {name: draw(_DETECTIONS) for name in SECTIONS} | {"condition": draw(CONDITIONS)},
    }


@st.composite
def filters(draw: st.DrawFn, of: dict[str, Any]) -> dict[str, Any]:
    """A filter of a rule, for its log source."""
    condition = draw(st.sampled_from(["not s1", "not s1", "not 1 of s*", "s1"]))
    return {
        "title": "a filter",
        "logsource": of["logsource"],
        "filter": {"rules": [of["id"]], "s1": draw(_MAPS), "condition": condition},
    }


@st.composite
def rule_sets(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Two rules, and perhaps a filter of the first one."""
    stated = [draw(rules(number)) for number in (1, 2)]
    return stated, [draw(filters(stated[0]))] if draw(st.sampled_from([False, False, True])) else []
