"""Every modifier with every kind of value, and every pair of modifiers: each is exact, or refused with the remedy."""

from itertools import product
from typing import Any

import pytest
from sigma.modifiers import modifier_mapping
from sigma.rule import SigmaDetectionItem
from sigma_kit import FIRST_LINE, fires, loaded, refused, rule_text

VALUES: dict[str, Any] = {
    "text": "-abc",
    "number": 5,
    "decimal": 2.5,
    "bool": True,
    "null": None,
    "list": ["-abc", "/de"],
    "wildcard": "a*b",
}
WRITTEN = {
    "text": "'-abc'",
    "number": "5",
    "decimal": "2.5",
    "bool": "true",
    "null": "null",
    "list": "['-abc', '/de']",
    "wildcard": "'a*b'",
}

Values = list[Any]
MISSING: dict[str, Any] = {"other": "-abc"}


def utf16(text: str) -> str:
    return "".join(f"{letter}\0" for letter in text)


# Modifier → kind of value → values of the field that match, and some that do not.
ACCEPTED: dict[str, dict[str, tuple[Values, Values]]] = {
    "all": {
        "text": (["-ABC"], ["abc"]),
        "number": ([5, "5"], [6]),
        "decimal": ([2.5, "2.5"], [2]),
        "bool": ([True, "true"], [1]),
        "null": ([None], ["", "null"]),
        "list": ([["/de", "-abc"]], ["-abc", ["/de"]]),
        "wildcard": (["axxB"], ["ba"]),
    },
    "neq": {
        "text": (["abc", None], ["-ABC"]),
        "number": ([6, "05"], [5, "5"]),
        "decimal": ([2, "2.50"], [2.5]),
        "bool": ([False, 1], [True, "true"]),
        "null": (["", 0], [None]),
        "list": (["abc"], ["-abc", "/DE", ["x", "/de"]]),
        "wildcard": (["ba"], ["axB"]),
    },
    "cased": {
        "text": (["-abc"], ["-ABC", "x-abc"]),
        "list": (["-abc", "/de"], ["/DE"]),
        "wildcard": (["ab", "axb"], ["AB"]),
    },
    "contains": {
        "text": (["x-ABCx", "-abc"], ["abc"]),
        "list": (["x/dex"], ["de"]),
        "wildcard": (["xaxBx"], ["ba"]),
    },
    "startswith": {
        "text": (["-ABCx"], ["x-abc"]),
        "list": (["/dex"], ["x/de"]),
        "wildcard": (["axBx"], ["xab"]),
    },
    "endswith": {
        "text": (["x-ABC"], ["-abcx"]),
        "list": (["x/de"], ["/dex"]),
        "wildcard": (["xaxB"], ["abx"]),
    },
    "windash": {
        "text": (["-abc", "/ABC", "\u2013abc", "\u2014abc", "\u2015abc"], ["abc", "+abc", "\u2012abc"]),
        "list": (["/abc", "-de", "\u2015de"], ["de"]),
        "wildcard": (["axb"], ["ba"]),
    },
    "re": {
        "text": (["x-abcx"], ["-ABC", "abc"]),
        "list": (["x/de"], ["/DE"]),
        "wildcard": (["aab", "b"], ["aa"]),
    },
    "base64": {"text": (["LWFiYw=="], ["-abc", "LWFiYw"]), "list": (["L2Rl"], ["/de"])},
    "base64offset": {"text": (["LWFiY", "1hYm", "tYWJj"], ["LWFiYw=="]), "list": (["L2Rl", "9kZ", "vZG"], ["/de"])},
    "wide": {
        "text": ([utf16("-abc")], ["-abc"]),
        "list": ([utf16("/DE")], ["/de"]),
        "wildcard": ([utf16("ab"), utf16("axb")], ["ab"]),
    },
    "utf16be": {
        "text": (["\0-\0a\0b\0c"], [utf16("-abc")]),
        "list": (["\0/\0d\0e"], ["/de"]),
        "wildcard": (["\0a\0x\0b"], ["ab"]),
    },
    "utf16": {
        "text": (["\ufeff" + utf16("-abc")], [utf16("-abc")]),
        "list": (["\ufeff" + utf16("/de")], ["/de"]),
        "wildcard": (["\ufeff" + utf16("axb")], [utf16("axb")]),
    },
    "exists": {"bool": ([None, "", "x"], [])},
    "fieldref": {"text": ([], ["-abc"]), "list": ([], ["-abc", "/de"])},
    "gt": {"number": ([5.1, "6"], [5, "x"]), "decimal": (["2.51", 3], ["2.5", 2])},
    "gte": {"number": ([5, "6"], [4.9]), "decimal": (["2.5", "2.50"], ["2.49"])},
    "lt": {"number": ([4.9, "-6"], [5, "x"]), "decimal": (["2.49", -3], ["2.5", 3])},
    "lte": {"number": ([5, "4"], [5.1]), "decimal": (["2.5", 2], ["2.51"])},
    "minute": {"number": (["2026-03-01 10:05:00"], ["2026-05-05 05:06:05"])},
    "hour": {"number": (["2026-03-01T05:10:00Z"], ["2026-05-05T06:05:05Z"])},
    "day": {"number": (["2026-03-05"], ["2026-05-06T05:05:05"])},
    "week": {"number": (["2026-02-01"], ["2026-02-02"])},
    "month": {"number": (["2026-05-01"], ["2026-06-05"])},
    "year": {"number": (["0005-01-01"], ["2005-05-05"])},
}
ACCEPTED["utf16le"] = ACCEPTED["wide"]

TEXT, NUMBER = "it takes text, in quotes", "it takes a number, without quotes"
EXPRESSION = "it takes what re made; write re before it"
# Why the other kinds are refused; a pair: why texts are, and why all else is.
REASONS: dict[str, str | tuple[str, str]] = {
    **dict.fromkeys(("gt", "gte", "lt", "lte"), NUMBER),
    **dict.fromkeys(("minute", "hour", "day", "week", "month", "year"), NUMBER),
    **dict.fromkeys(("i", "m", "s", "ignorecase", "multiline", "dotall"), EXPRESSION),
    "exists": "it takes true or false, without quotes",
    "expand": "write %name%, or leave it out",  # what it does stands in test_placeholders
    "re": "must be text; put it in quotes",
    "cidr": ("write the network's first address and its length", TEXT),
    "base64": (r"write \* or \? for a plain * or ?", TEXT),
    "base64offset": (r"write \* or \? for a plain * or ?", TEXT),
    "fieldref": ("write a field's name", TEXT),
}
# Names that mean the same modifier need no pairs of their own.
DISTINCT = [name for name in modifier_mapping if name not in ("ignorecase", "multiline", "dotall", "utf16le", "expand")]
CASES = list(product(sorted(modifier_mapping), VALUES))


def line_of(key: str, kind: str) -> str:
    return f"sel:\n  {key}: {WRITTEN[kind]}\ncondition: sel"


@pytest.mark.parametrize(("modifier", "kind"), CASES, ids=[f"{modifier}-{kind}" for modifier, kind in CASES])
def test_a_modifier_with_a_kind_of_value_is_exact_or_refused(modifier: str, kind: str) -> None:
    text = rule_text(line_of(f"F|{modifier}", kind))
    expected = ACCEPTED.get(modifier, {}).get(kind)

    if expected:
        rules = loaded(text)
        assert [value for value in expected[0] if not fires(rules, {"F": value})] == []
        assert [value for value in expected[1] if fires(rules, {"F": value})] == []
        assert fires(rules, MISSING) == ((modifier, kind) == ("all", "null") or (modifier == "neq" and kind != "null"))
    else:
        (error,) = refused(text)
        reasons = REASONS.get(modifier, TEXT)
        if isinstance(reasons, tuple):
            reasons = reasons[0] if kind in ("text", "list", "wildcard") else reasons[1]
        if kind == "decimal" and "number" in ACCEPTED.get(modifier, {}):
            reasons = "write a whole number"
        assert error.startswith(f"{FIRST_LINE + 1}: ")
        assert error.endswith(reasons) or (modifier == "cidr" and reasons in error)


# Pairs that pySigma accepts of a text, and which are refused because one of the two would do nothing or another thing.
PLACES = ("contains", "endswith", "startswith")
ENCODINGS = ("base64", "base64offset", "utf16", "utf16be", "wide")
REFUSED_PAIRS = {
    *((one, one) for one in ("all", "cased", "neq", "windash", *PLACES)),
    *((one, other) for one in PLACES for other in PLACES),
    *((one, "windash") for one in ENCODINGS),
    *(("cased", one) for one in ("fieldref", "windash", *ENCODINGS)),
    *(("re", one) for one in ("startswith", "endswith")),
}


def pysigma_accepts(key: str, value: Any) -> bool:
    try:
        SigmaDetectionItem.from_mapping(key, value)
    except Exception:  # noqa: BLE001  of whatever kind
        return False
    return True


def test_a_pair_of_modifiers_of_a_text_loads_if_pysigma_accepts_it_but_for_those_that_cannot_be_meant() -> None:
    differing = set()
    for pair in product(DISTINCT, repeat=2):
        key = "|".join(("F", *pair))
        errors = refused(rule_text(line_of(key, "text")))
        assert all(error.startswith(f"{FIRST_LINE + 1}: ") and ";" in error for error in errors), key
        if pysigma_accepts(key, "-abc") != (not errors):
            differing.add(pair)

    assert differing == REFUSED_PAIRS


@pytest.mark.parametrize("kind", ["number", "bool", "null"])
def test_a_pair_of_modifiers_of_another_value_loads_or_is_refused_at_its_line_with_a_remedy(kind: str) -> None:
    loads = set()
    for pair in product(DISTINCT, repeat=2):
        errors = refused(rule_text(line_of("|".join(("F", *pair)), kind)))
        assert all(error.startswith(f"{FIRST_LINE + 1}: ") and ";" in error for error in errors), pair
        if not errors:
            loads.add(frozenset(pair))

    compare = ("gt", "gte", "lt", "lte")
    units = ("minute", "hour", "day", "week", "month", "year")
    single = {"bool": ("exists",), "null": (), "number": (*compare, *units)}[kind]
    expected = {frozenset(("all", "neq")), *(frozenset(pair) for pair in product(single, ("all", "neq")))}
    if kind == "number":
        expected |= {frozenset(pair) for pair in product(units, compare)}
    assert loads == expected


@pytest.mark.parametrize(
    ("key", "value", "hits", "misses"),
    [
        ("F|fieldref|cased", "G", [{"F": "aB", "G": "aB"}], [{"F": "ab", "G": "aB"}, {}]),
        ("F|fieldref|cased|endswith", "G", [{"F": "xaB", "G": "aB"}], [{"F": "xab", "G": "aB"}]),
        ("F|fieldref|startswith|cased", "G", [{"F": "aBx", "G": "aB"}], [{"F": "abx", "G": "aB"}]),
        ("F|fieldref|startswith", "G", [{"F": "abx", "G": "aB"}], [{"F": "xab", "G": "ab"}]),
        ("F|fieldref|neq", "G", [{"F": "x", "G": "y"}, {"F": "x"}], [{"F": "x", "G": "X"}]),
        ("F|fieldref|contains|neq", "G", [{"F": "x", "G": "xy"}], [{"F": "xyz", "G": "Y"}]),
        ("F|windash|contains|cased", "-Ab", [{"F": "x /Ab"}], [{"F": "x /ab"}]),
        ("F|windash", "a \u2014b", [{"F": "a -b"}, {"F": "a \u2013b"}], [{"F": "a b"}]),
        ("F|windash|base64", "-a", [{"F": "L2E="}, {"F": "LWE="}, {"F": "4oCTYQ=="}], [{"F": "-a"}]),
        ("F|base64|cased", "foo", [{"F": "Zm9v"}], [{"F": "zm9v"}]),
        ("F|utf16|base64|cased", "cmd", [{"F": "//5jAG0AZAA="}], [{"F": "77u/YwBtAGQA"}]),
        ("F|utf16be|base64", "cmd", [{"F": "AGMAbQBk"}], [{"F": "YwBtAGQA"}]),
        ("F|base64|contains", r"a\*b", [{"F": "xYSpix"}], [{"F": "a*b"}]),
        ("F|re|i|m|s", "^B.c$", [{"F": "a\nb\nC\nd"}], [{"F": "ab\nc"}]),
        ("F|re|all", "['a', 'b']", [{"F": "ba"}], [{"F": "a"}]),
        ("F|re|neq", "^a", [{"F": "b"}, {}], [{"F": "ab"}]),
        ("F|cidr|neq", "10.0.0.0/8", [{"F": "11.0.0.1"}, {"F": "x"}, {}], [{"F": "10.0.0.1"}]),
        ("F|cidr", "['10.0.0.0/8', '::1']", [{"F": "10.0.0.1"}, {"F": "0::1"}], [{"F": "::2"}]),
        ("F|exists|neq", "true", [{}], [{"F": None}]),
        ("F|gt|neq", "5", [{"F": 5}, {"F": "x"}, {}], [{"F": 6}]),
        ("F|gt|all", "[1, 5]", [{"F": 6}], [{"F": 2}]),
    ],
)
def test_modifiers_together(key: str, value: str, hits: list[dict[str, Any]], misses: list[dict[str, Any]]) -> None:
    written = value if value[0] in "[t15" else f"'{value}'"

    rules = loaded(rule_text(f"sel:\n  {key}: {written}\ncondition: sel"))

    assert [fields for fields in hits if not fires(rules, fields)] == []
    assert [fields for fields in misses if fires(rules, fields)] == []


@pytest.mark.parametrize("key", ["'|gt'", "'|cidr'", "'|hour'", "'|exists'", "'|fieldref'"])
def test_what_is_no_text_needs_a_field(key: str) -> None:
    value = {"'|cidr'": "10.0.0.0/8", "'|exists'": "true", "'|fieldref'": "G"}.get(key, "5")

    (error,) = refused(rule_text(f"sel:\n  {key}: {value}\ncondition: sel"))

    assert error.startswith(f"{FIRST_LINE + 1}: ")
    assert "field" in error
