"""The known traps of Sigma's semantics, one fact each (Sigma rules specification 2.1 and its modifiers appendix)."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from sigma_kit import FIRST_LINE, fires, loaded, refused, rule_text


class Trap(NamedTuple):
    fact: str
    detection: str
    hits: Sequence[dict[str, Any]]
    misses: Sequence[dict[str, Any]]


def one(value: str, field: str = "F") -> str:
    return f"sel:\n  {field}: {value}\ncondition: sel"


def texts(*values: Any) -> list[dict[str, Any]]:
    return [{"F": value} for value in values]


MISSING: dict[str, Any] = {"other": "x"}

TRAPS = [
    Trap(
        "a backslash before a plain character is a backslash, and case does not count",
        one(r"'\cmd.exe'", "F|endswith"),
        texts("C:\\W\\CMD.EXE", "\\cmd.exe"),
        texts("C:\\W\\xcmd.exe", "cmd.exe", "\\cmd.exe "),
    ),
    Trap("an escaped star is a star", one(r"'a\*b'"), texts("a*b", "A*B"), texts("axb", r"a\*b", r"a\xb")),
    Trap(
        "an escaped backslash before a star leaves a wildcard",
        one(r"'a\\*b'"),
        texts(r"a\xyzb", "a\\b"),
        texts("axyzb", "a*b"),
    ),
    Trap("three backslashes and a star are both plain", one(r"'a\\\*b'"), texts(r"a\*b"), texts(r"a\xb", "a*b")),
    Trap("four backslashes are two", one(r"'\\\\srv\c'"), texts(r"\\srv\c"), texts(r"\srv\c", r"\\\\srv\c")),
    Trap("two backslashes before a plain character are one", one(r"'\\srv'"), texts(r"\srv"), texts(r"\\srv")),
    Trap(
        "a question mark is exactly one character, a newline too",
        one("'a?c'"),
        texts("abc", "a\nc", "aéc", "A?C"),
        texts("ac", "abbc", "abc\n"),
    ),
    Trap("a star spans newlines", one("'a*c'"), texts("ac", "a\n\nc"), texts("ac\n", "xac")),
    Trap("wildcards work inside contains", one("'a*b'", "F|contains"), texts("xaQby", "ab"), texts("ba")),
    Trap("wildcards work inside startswith", one("'a?b'", "F|startswith"), texts("aQby"), texts("xaQb", "ab")),
    Trap("cased tells case", one("'Ab'", "F|cased"), texts("Ab"), texts("ab", "AB")),
    Trap("cased tells case inside contains", one("'Ab'", "F|contains|cased"), texts("xAbx"), texts("xabx")),
    Trap("cased tells case with wildcards", one("'A?c*d'", "F|cased"), texts("Axcyd"), texts("axcyd", "AxcyD")),
    Trap("a regular expression tells case and is not anchored", one("'A.b'", "F|re"), texts("yAxbz"), texts("axb")),
    Trap("re with i does not tell case", one("'A.b'", "F|re|i"), texts("axb", "AXB"), texts("ab")),
    Trap("a dot is no newline unless s says so", one("'a.b'", "F|re"), texts("axb"), texts("a\nb")),
    Trap("a dot is a newline with s", one("'a.b'", "F|re|s"), texts("a\nb"), texts("ab")),
    Trap("carets and dollars are the value's ends", one("'^b$'", "F|re"), texts("b"), texts("a\nb\nc")),
    Trap("carets and dollars are the lines' ends with m", one("'^b$'", "F|re|m"), texts("a\nb\nc"), texts("ab")),
    Trap(
        "a dollar also matches before a newline that ends the value, as in PCRE",
        one("'^a$'", "F|re"),
        texts("a", "a\n"),
        texts("a\n\n", "a\nb", "\na"),
    ),
    Trap("re with contains is the same expression", one("'a.c|x'", "F|re|contains"), texts("zabcz", "x"), texts("z")),
    Trap("a lone surrogate in a value is just another character", one("'a.c'", "F|re"), texts("a\ud800c"), texts("a")),
    Trap("the empty text is not the missing field", one("''"), texts(""), [MISSING, *texts(None, " ")]),
    Trap("null is missing or null, not the empty text", one("null"), [MISSING, *texts(None)], texts("", 0, "null")),
    Trap("null may stand in a list", one("[a, null]"), [MISSING, *texts("a", None)], texts("", "b")),
    Trap("a lone star is any value, the empty text too", one("'*'"), texts("", "x", 0, False), [MISSING, *texts(None)]),
    Trap("a number matches itself and its text", one("5"), texts(5, "5", 5.0), [MISSING, *texts("05", 50, True)]),
    Trap("a text of digits matches the number", one("'5'"), texts(5, "5"), texts(50)),
    Trap("010 is eight to YAML 1.1", one("010"), texts(8, "8"), texts(10, "010")),
    Trap("fractions compare as written", one("2.5"), texts(2.5, "2.5"), texts(2, "2.50")),
    Trap("true is the truth value and its text, never one", one("true"), texts(True, "true", "True"), texts(1, "1")),
    Trap("one is never the truth value", one("1"), texts(1, "1"), texts(True, "true")),
    Trap("the text true matches JSON's true", one("'true'"), texts(True, "TRUE"), texts(False, 1)),
    Trap("false is not the missing field", one("false"), texts(False, "false"), [MISSING, *texts(None, 0, "")]),
    Trap("contains with all needs every part", one("[a, b]", "F|contains|all"), texts("xbya", "ab"), texts("a", "b")),
    Trap("a list without all needs one", one("[a, b]", "F|contains"), texts("xa", "b"), texts("c")),
    Trap(
        "windash accepts five dashes for each flag, and all still needs every flag",
        one("['-a ', '/b']", "F|windash|contains|all"),
        texts("x -a /b", "x /a -b", "x \u2013a \u2014b", "x \u2015a \u2013b"),
        texts("x -a", "x /b", "x +a +b"),
    ),
    Trap(
        "base64offset finds the text at each of three offsets",
        one("foo", "F|base64offset|contains"),
        texts("xxZm9vyy", "xxZvbyy", "xxmb2yy"),
        texts("foo", "Zm9"),
    ),
    Trap("base64 is the whole text encoded", one("foobar", "F|base64"), texts("Zm9vYmFy"), texts("foobar")),
    Trap(
        "wide is UTF-16LE before it is encoded, wherever it stands in what was encoded",
        one("ping", "F|wide|base64offset|contains"),
        texts(*(b64encode(b"x" * n + "ping".encode("utf-16-le") + b"yy").decode() for n in range(4))),
        texts("ping", b64encode(b"ping").decode(), b64encode("ping".encode("utf-16-be")).decode()),
    ),
    Trap("utf16le is wide by another name", one("ab", "F|utf16le"), texts("a\0b\0"), texts("ab", "\0a\0b")),
    Trap("utf16be puts the zero first", one("ab", "F|utf16be"), texts("\0a\0b"), texts("a\0b\0")),
    Trap("utf16 begins with a byte order mark", one("ab", "F|utf16"), texts("\ufeffa\0b\0"), texts("a\0b\0")),
    Trap(
        "base64 under contains does not tell case",
        one("foo", "F|base64|contains"),
        texts("xZm9vx", "xzm9Vx"),
        texts("foo"),
    ),
    Trap(
        "cidr holds addresses, and text that is none is no match",
        one("10.0.0.0/8", "F|cidr"),
        texts("10.1.2.3", "::ffff:10.1.2.3"),
        [MISSING, *texts("11.0.0.1", "x", "", None, 10, "10.1.2", "::1", "10.1.2.3/32", "1" * 100_000)],
    ),
    Trap(
        "cidr knows IPv6",
        one("'2001:db8::/32'", "F|cidr"),
        texts("2001:db8::1", "2001:0DB8:0:0::1"),
        texts("2001:db9::1", "32.1.13.184"),
    ),
    Trap("gt compares numbers, also those written as text", one("5", "F|gt"), texts("10", 6, 5.5), texts("abc", 5, "")),
    Trap("gte takes the same number", one("5", "F|gte"), texts(5, "5", "5.0"), texts(4, "4.9")),
    Trap("lt and lte", one("5", "F|lt"), texts(4, "-10", "4.9"), [MISSING, *texts(5, "abc", None, True)]),
    Trap("lte takes the same number", one("5", "F|lte"), texts(5, "5"), texts(6)),
    Trap("large integers compare exactly", one("9007199254740992", "F|gt"), texts("9007199254740993"), texts(2**53)),
    Trap("large integers are themselves", one("9007199254740993"), texts(2**53 + 1, str(2**53 + 1)), texts(2**53)),
    Trap("integers of 64 bits are themselves", one("18446744073709551615"), texts(2**64 - 1), texts(2**64)),
    Trap("large limits compare exactly", one("9007199254740993", "F|gte"), texts(2**53 + 1), texts(2**53)),
    Trap("limits of any length compare exactly", one(f"{10**60 + 1}", "F|gte"), texts(f"{10**60 + 1}"), texts(10**60)),
    Trap("neq is none of them, so missing matches", one("[a, b]", "F|neq"), [MISSING, *texts("c")], texts("B")),
    Trap("neq turns contains round", one("a", "F|contains|neq"), [MISSING, *texts("b")], texts("xAx")),
    Trap(
        "fieldref compares two fields of the event, and two missing ones do not match",
        one("G", "F|fieldref"),
        [{"F": "a", "G": "A"}, {"F": 5, "G": "5"}],
        [MISSING, {"F": "a"}, {"G": "a"}, {"F": "a", "G": "b"}, {"F": None, "G": None}],
    ),
    Trap(
        "fieldref works with endswith",
        one("G", "F|fieldref|endswith"),
        [{"F": "xyab", "G": "AB"}],
        [{"F": "ab", "G": "xyab"}, {"F": "abx", "G": "ab"}],
    ),
    Trap(
        "fieldref works with contains",
        one("G", "F|fieldref|contains"),
        [{"F": "xaby", "G": "AB"}],
        [{"F": "ab", "G": "xaby"}, MISSING],
    ),
    Trap("exists false is the missing field only", one("false", "F|exists"), [MISSING], texts(None, "", "x")),
    Trap("exists true takes an explicit null", one("true", "F|exists"), texts(None, "", 0), [MISSING]),
    Trap(
        "a list of maps is any of them, each needing all of its fields",
        "sel:\n  - A: 1\n    B: 2\n  - C: 3\ncondition: sel",
        [{"A": 1, "B": 2}, {"C": 3}],
        [{"A": 1}, {"B": 2}, {"A": 1, "C": 4}],
    ),
    Trap(
        "keywords are any text in any field",
        "words: [evil, 'b?d']\ncondition: words",
        [{"x": "so EVIL"}, {"y": ["a", "a bad b"]}, {"z": {"deep": ["evil"]}}],
        [{"evil": "field names do not count"}, {"x": 1}],
    ),
    Trap(
        "keywords with all may stand in different fields",
        "words:\n  '|all': [evil, bad]\ncondition: words",
        [{"x": "evil", "y": "bad"}, {"x": "bad evil"}],
        [{"x": "evil"}, {"y": "bad"}],
    ),
    Trap("numbers are keywords", "words: [4625]\ncondition: words", [{"x": 4625}, {"x": "id=4625;"}], [{"x": 462}]),
    Trap(
        "a field of a list matches by any element",
        one("b"),
        texts(["a", "B"], ("b",)),
        texts([], ["a"], [["c"]]),
    ),
    Trap("all takes different elements", one("[a, b]", "F|contains|all"), texts(["xa", "b"]), texts(["a"])),
    Trap("an empty list is not null, a null in a list is", one("null"), texts([None]), texts([], ["a"])),
    Trap("numbers and addresses are looked for in lists", one("5", "F|gt"), texts([1, "9"]), texts([1, 2], [])),
    Trap(
        "a letter whose lower case is longer keeps its place",
        one("'x'", "F|endswith"),
        texts("İx", "İİX"),
        texts("xİ"),
    ),
    Trap("that letter is one character to a question mark", one("'?x'"), texts("İx", "ix"), texts("İİx", "x")),
    Trap("that letter is one character in any place", one("'a?*?x'"), texts("aİİx", "aİbx"), texts("ax", "ab")),
    Trap("that letter has no case", one("'İs'", "F|contains"), texts("aİSb", "ai\u0307sb"), texts("is")),
    Trap(
        "the Greek sigma has one form, in a word and at its end",
        one("'Σ'", "F|contains"),
        texts("xΣx", "\u03c3", "\u03c2"),
        texts("s"),
    ),
    Trap("Vietnamese is compared without case", one("'ĐĂNG NHẬP'"), texts("đăng nhập"), texts("dang nhap")),
    Trap(
        "spaces in a field's name go",
        one("x", "'Threat Name'"),
        [{"ThreatName": "x"}, {"Threat Name": "x"}],
        [{"Threat_Name": "x"}, {"Threat": "x"}],
    ),
    Trap("names of XML attributes are taken as they are", one("x", "Provider_Name"), [{"Provider_Name": "x"}], [{}]),
    Trap(
        "a channel has no case",
        one("Security", "Channel"),
        [{"Channel": "security"}],
        [{"Channel": "x"}],
    ),
]

A_B_C = "f1: {A: 1}\nf2: {B: 1}\nsel: {C: 1}\n"

CONDITIONS = [
    Trap(
        "not binds before and, and before or",
        A_B_C + "condition: sel and not f1 or f2",
        [{"C": 1}, {"B": 1}, {"A": 1, "B": 1, "C": 1}],
        [{"A": 1, "C": 1}, {}],
    ),
    Trap(
        "parentheses bind before not",
        A_B_C + "condition: sel and not (f1 or f2)",
        [{"C": 1}],
        [{"C": 1, "A": 1}, {"C": 1, "B": 1}],
    ),
    Trap(
        "not 1 of is none of them",
        A_B_C + "condition: sel and not 1 of f*",
        [{"C": 1}],
        [{"C": 1, "A": 1}, {"C": 1, "B": 1}],
    ),
    Trap(
        "not all of is true if one misses",
        A_B_C + "condition: sel and not all of f*",
        [{"C": 1}, {"C": 1, "A": 1}],
        [{"C": 1, "A": 1, "B": 1}],
    ),
    Trap(
        "of them passes over names with an underscore",
        "_x: {A: 1}\ny: {B: 1}\ncondition: 1 of them",
        [{"B": 1}],
        [{"A": 1}],
    ),
    Trap(
        "a pattern with an underscore takes them",
        "_p1: {A: 1}\n_p2: {B: 1}\ny: {C: 1}\ncondition: 1 of _p*",
        [{"A": 1}, {"B": 1}],
        [{"C": 1}],
    ),
    Trap("a list of conditions is any of them", A_B_C + "condition: [f1, f2]", [{"A": 1}, {"B": 1}], [{"C": 1}]),
    Trap("not of a missing field is true", "f: {F: x}\ncondition: not f", [{}, {"F": "y"}, {"F": None}], [{"F": "X"}]),
    Trap("any of is 1 of", A_B_C + "condition: any of f*", [{"A": 1}], [{"C": 1}]),
    Trap(
        "names that begin like an operator are names",
        "notepad: {A: 1}\norder: {B: 1}\ncondition: notepad and order",
        [{"A": 1, "B": 1}],
        [{"A": 1}],
    ),
]


@pytest.mark.parametrize("trap", TRAPS + CONDITIONS, ids=lambda trap: trap.fact)
def test_semantics(trap: Trap) -> None:
    rules = loaded(rule_text(trap.detection))

    assert [fields for fields in trap.hits if not fires(rules, fields)] == []
    assert [fields for fields in trap.misses if fires(rules, fields)] == []


REFUSED = [
    ("cidr with host bits", one("10.0.0.1/8", "F|cidr"), 1, "has host bits set"),
    ("2 of", A_B_C + "condition: 2 of f*", 3, "there is only `1 of`"),
    ("the old aggregation", A_B_C + "condition: sel | count() > 5", 3, "aggregation after |"),
    ("x of a name that is not there", A_B_C + "condition: 1 of nomatch*", 3, "nomatch"),
    ("a detection that is not there", A_B_C + "condition: f1 and f3", 3, "f3"),
    ("an empty list", "sel:\n  A: 1\n  F: []\ncondition: sel", 2, "empty list"),
    ("an empty detection", "sel: {}\ncondition: sel", 0, "empty"),
    ("a condition that is always true", "a: {F: 1}\ncondition: a or not a", 1, "true for every event"),
    ("a keyword that is everywhere", "a: ['*']\ncondition: a", 1, "true for every event"),
    ("exists and not exists", "a: {F|exists: true}\nb: {F|exists: false}\ncondition: a or b", 2, "every event"),
    ("null or exists", "a: {F: null}\nb: {F|exists: true}\ncondition: a or b", 2, "every event"),
    ("null or any value", "sel:\n  F: ['*', null]\ncondition: sel", 2, "every event"),
    ("null or any value in two detections", "a: {F: null}\nb: {F: '*'}\ncondition: 1 of them", 2, "every event"),
    ("not null or null", "a: {F: null}\nb: {F: null}\ncondition: a or not b", 2, "every event"),
    ("not any value or exists", "a: {F: '*'}\nb: {F|exists: true}\ncondition: b or not a", 2, "every event"),
    ("a part or not the whole", "a: {F|contains: b}\nb: {F: aBc}\ncondition: a or not b", 2, "every event"),
    (
        "a part or not the beginning",
        "a: {F|contains: b}\nb: {F|startswith: ab}\ncondition: a or not b",
        2,
        "every event",
    ),
    ("the end or not a longer one", "a: {F|endswith: b}\nb: {F|endswith: ab}\ncondition: a or not b", 2, "every event"),
    ("a wildcard or not the whole", "a: {F: 'a?c*'}\nb: {F: abc}\ncondition: a or not b", 2, "every event"),
    ("a limit or not a number above it", "a: {F|gt: 3}\nb: {F: 5}\ncondition: a or not b", 2, "every event"),
    (
        "a network or not an address in it",
        "a: {F|cidr: 10.0.0.0/8}\nb: {F: 10.1.2.3}\ncondition: a or not b",
        2,
        "every",
    ),
    ("any expression", "a:\n  '|re': '.*'\ncondition: a", 2, "every event"),
    ("the empty expression", "a:\n  '|re': ''\ncondition: a", 2, "every event"),
    ("the expression of one character", "a:\n  '|re': '.'\ncondition: a", 2, "every event"),
    ("a keyword of one character", "a: ['?*']\ncondition: a", 1, "every event"),
    ("a placeholder", "sel:\n  F|expand: '%servers%'\ncondition: sel", 1, "%servers%"),
    ("look-around", "sel:\n  A: 1\n  F|re: '(?=a)b'\ncondition: sel", 2, "(?="),
    ("a back-reference", "sel:\n  F|re: '(a)\\1'\ncondition: sel", 1, "invalid escape"),
    ("a regular expression that is a number", "sel:\n  F|re: 5\ncondition: sel", 1, "quotes"),
    ("an unknown modifier", "sel:\n  - A: 1\n  - F|nope: x\ncondition: sel", 2, "nope"),
    ("contains of null", one("null", "F|contains"), 1, "does not take null; it takes"),
    ("exists of null", one("null", "F|exists"), 1, "does not take null; it takes"),
    ("an expression that is not closed", one("'('", "F|re"), 1, "'(' is invalid: RE2 says: missing ): ("),
    ("a number beyond reason", one("1" + "0" * 400), 1, "number"),
    ("gt of text", one("'5'", "F|gt"), 1, "gt does not take 5; it takes a number, without quotes"),
    ("re with startswith", one("a", "F|re|startswith"), 1, "startswith"),
    ("cased before base64", one("a", "F|cased|base64"), 1, "cased"),
    ("cased before fieldref", one("G", "F|cased|fieldref"), 1, "cased"),
    ("a null keyword", "sel: [null]\ncondition: sel", 0, "keyword"),
    ("more than three dashes", one("'-a -b -c -d'", "F|windash"), 1, "windash"),
    ("a date as a value", one("2026-01-01"), 1, "type"),
    ("a condition that is no text", "sel: {F: 1}\ncondition: 5", 1, "text"),
    ("a condition that is null", "sel: {F: 1}\ncondition: null", 1, "text"),
    ("no condition", "sel: {F: 1}", None, "condition"),
]


@pytest.mark.parametrize(
    ("detection", "line", "reason"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refused_with_the_line_and_the_reason(detection: str, line: int | None, reason: str) -> None:
    (error,) = refused(rule_text(detection))

    assert reason in error
    assert error.startswith(f"{FIRST_LINE - 1 if line is None else FIRST_LINE + line}: ")


@pytest.mark.parametrize(
    ("detection", "miss"),
    [
        ("a: {F: null}\nb: {G|exists: true}\ncondition: a or b", {"F": "x"}),
        ("a: {F: null}\nb: {F|exists: true}\ncondition: a and b", {"F": "x"}),
        ("a: {F: null}\nb: {F: '?*'}\ncondition: a or b", {"F": ""}),
        ("a: {F: '*'}\nb: {F|exists: true}\ncondition: a or not b", {"F": None}),
        ("a: {F: abc}\nb: {F|contains: b}\ncondition: a or not b", {"F": "b"}),
        ("a: {F|contains: b}\nb: {G: abc}\ncondition: a or not b", {"G": "abc"}),
        ("a: {F|contains|cased: b}\nb: {F: abc}\ncondition: a or not b", {"F": "ABC"}),
        ("a: {F|re: b}\nb: {F: abc}\ncondition: a or not b", {"F": "ABC"}),
        ("a: {F|endswith: b}\nb: {F|startswith: ab}\ncondition: a or not b", {"F": "abc"}),
        ("a: {F|gt: 5}\nb: {F|lte: 5}\ncondition: a or b", {"F": "x"}),
        ("a: ['*.*']\ncondition: a", {"F": "x"}),
        ("a: ['????']\ncondition: a", {"F": "x"}),
        ("a:\n  '|re': '^[^%]*$'\ncondition: a", {"F": "%"}),
        ("a:\n  '|re': '^.{0,300}$'\ncondition: a", {"F": "x" * 301}),
        ("a: {F|re: '.*'}\ncondition: a", {}),
    ],
)
def test_a_condition_that_an_event_can_miss_loads(detection: str, miss: dict[str, Any]) -> None:
    assert not fires(loaded(rule_text(detection)), miss)


def test_a_condition_with_thousands_of_values_is_decided_in_bounded_steps() -> None:
    values = ", ".join(f"v{number}" for number in range(3000))

    rules = loaded(rule_text(f"a: {{F: [{values}]}}\nb: {{F|contains: [{values}]}}\ncondition: b or not a"))

    assert fires(rules, {})
