"""The 43 traps of Sigma's semantics, each once, as a reader counts them: `pytest -k "trap_36"` runs number 36.

The same facts with their neighbours, and many more, are in test_traps, test_modifiers, test_correlator and others.
"""

import re
from typing import Any, NamedTuple

import pytest
from correlation_kit import BASE, event, made, rule
from sigma_kit import ANY_SOURCE, HEAD, fires, loaded, refused, rule_text

from socmon.event import SECOND_US, Match
from socmon.sigma import Correlation, RuleSet
from socmon.sigma.rule import CorrelationType


class Trap(NamedTuple):
    number: int
    detection: str
    hits: list[dict[str, Any]]
    misses: list[dict[str, Any]]


def one(key: str, value: str) -> str:
    return f"sel:\n  {key}: {value}\ncondition: sel"


def texts(*values: Any) -> list[dict[str, Any]]:
    return [{"F": value} for value in values]


MISSING: dict[str, Any] = {"other": "x"}
DASHES = "-/\u2013\u2014\u2015"
A_B_C = "f1: {A: 1}\nf2: {B: 1}\nsel: {C: 1}\n"
WIDE_FOO = ("ZgBvAG8A", "YAbwBvA", "mAG8AbwA")  # of f, o and o with their zeros, at three offsets

TRAPS = [
    Trap(1, one("Image|endswith", r"'\cmd.exe'"), [{"Image": r"C:\W\CMD.EXE"}], [{"Image": r"C:\W\xcmd.exe"}]),
    Trap(2, one("F", r"'a\*b'"), texts("a*b"), texts("axb")),
    Trap(3, one("F", r"'a\\*b'"), texts(r"a\xyzb"), texts("axyzb")),
    Trap(4, one("F", r"'a\\\*b'"), texts(r"a\*b"), texts(r"a\xb", "a*b")),
    Trap(5, one("F", r"'\\\\srv\c'"), texts(r"\\srv\c"), texts(r"\srv\c")),
    Trap(6, one("F", "'a?c'"), texts("abc", "a\nc"), texts("ac")),
    Trap(7, one("F|contains", "'a*b'"), texts("xaQby"), texts("xbQa")),
    Trap(8, one("F|cased", "'Ab'"), texts("Ab"), texts("ab")),
    Trap(9, one("F|re", "'A.b'"), texts("yAxbz"), texts("axb")),
    Trap(9, one("F|re|i", "'A.b'"), texts("axb"), texts("ab")),
    Trap(10, one("F|re", "'^a$'"), texts("a", "a\n"), texts("a\n\n", "ab")),
    Trap(11, one("F", "''"), texts(""), [MISSING]),
    Trap(12, one("F", "null"), [MISSING, *texts(None)], texts("")),
    Trap(13, one("F", "[a, null]"), [MISSING, *texts("a")], texts("b")),
    Trap(14, one("F", "'*'"), texts(""), [MISSING]),
    Trap(15, one("F", "5"), texts(5, "5"), texts("05")),
    Trap(15, one("F", "010"), texts(8), texts(10)),
    Trap(16, one("F", "true"), texts(True, "true"), texts(1)),
    Trap(17, one("F|contains|all", "[a, b]"), texts("xbya"), texts("a", "b")),
    Trap(
        18,
        one("F|windash|contains|all", "['-a', '-b']"),
        texts(*(f"x {first}a {second}b" for first in DASHES for second in DASHES)),
        texts("x -a", "x +a +b"),
    ),
    Trap(19, one("F|base64offset|contains", "foo"), texts("xZm9v", "xZvb", "xmb2"), texts("foo")),
    Trap(20, one("F|wide|base64offset|contains", "foo"), texts(*WIDE_FOO), texts("Zm9v")),
    Trap(21, one("F|base64|contains", "foo"), texts("Zm9v", "zM9V"), texts("foo")),
    Trap(22, one("F|cidr", "10.0.0.0/8"), texts("10.1.2.3"), texts("x", "", "10.1.2", 10)),
    Trap(22, one("F|cidr", "'2001:db8::/32'"), texts("2001:db8::1"), texts("2001:db9::1")),
    Trap(23, one("F|gt", "5"), texts("10"), texts("abc")),
    Trap(24, one("F|neq", "[a, b]"), [MISSING, *texts("c")], texts("a", "b")),
    Trap(25, one("F|fieldref", "G"), [{"F": "a", "G": "a"}], [MISSING]),
    Trap(26, one("F|exists", "false"), [MISSING], texts(None, "")),
    Trap(27, "sel:\n  - A: 1\n    B: 2\n  - C: 3\ncondition: sel", [{"A": 1, "B": 2}, {"C": 3}], [{"A": 1}, {"B": 2}]),
    Trap(28, "words: [evil, bad]\ncondition: words", [{"x": "evil"}, {"y": "so bad"}], [{"x": "good"}]),
    Trap(28, "words:\n  '|all': [evil, bad]\ncondition: words", [{"x": "evil", "y": "bad"}], [{"x": "evil"}]),
    Trap(29, A_B_C + "condition: sel and not f1 or f2", [{"C": 1}, {"B": 1}, {"A": 1, "B": 1}], [{"A": 1, "C": 1}]),
    Trap(30, A_B_C + "condition: sel and not 1 of f*", [{"C": 1}], [{"C": 1, "A": 1}]),
    Trap(30, A_B_C + "condition: sel and not all of f*", [{"C": 1, "A": 1}], [{"C": 1, "A": 1, "B": 1}]),
    Trap(31, "_x: {A: 1}\ny: {B: 1}\ncondition: 1 of them", [{"B": 1}], [{"A": 1}]),
    Trap(31, "_p1: {A: 1}\ny: {B: 1}\ncondition: 1 of _p*", [{"A": 1}], [{"B": 1}]),
    Trap(32, A_B_C + "condition: [f1, f2]", [{"A": 1}, {"B": 1}], [{"C": 1}]),
    Trap(34, one("F", "b"), texts(["a", "b"]), texts(["a"])),
    Trap(34, one("F|contains|all", "[a, b]"), texts(["xa", "b"]), texts(["a"])),
    Trap(35, "f: {F: x}\ncondition: not f", [MISSING], texts("x")),
    Trap(38, one("F|endswith", "x"), texts("İx"), texts("xİ")),
    Trap(42, one("'Threat Name'", "x"), [{"ThreatName": "x"}], [{"Threat_Name": "x"}]),
    Trap(42, one("Provider_Name", "x"), [{"Provider_Name": "x"}], [{"Provider Name": "x"}]),
    Trap(43, one("F", "'true'"), texts(True), texts(1)),
]
REFUSED = [
    (22, one("F|cidr", "10.0.0.1/8"), "has host bits set"),
    (33, A_B_C + "condition: 2 of f*", "there is only `1 of`"),
    (33, A_B_C + "condition: sel | count() > 5", "aggregation after |"),
]


def named(number: int) -> str:
    return f"trap_{number}"


@pytest.mark.parametrize("trap", TRAPS, ids=[named(trap.number) for trap in TRAPS])
def test_matches(trap: Trap) -> None:
    rules = loaded(rule_text(trap.detection))

    assert [fields for fields in trap.hits if not fires(rules, fields, ANY_SOURCE)] == []
    assert [fields for fields in trap.misses if fires(rules, fields, ANY_SOURCE)] == []


@pytest.mark.parametrize(
    ("detection", "reason"), [case[1:] for case in REFUSED], ids=[named(case[0]) for case in REFUSED]
)
def test_is_refused(detection: str, reason: str) -> None:
    (error,) = refused(rule_text(detection))

    assert reason in error


@pytest.mark.parametrize(("timespan", "seconds"), [("1M", 2_629_746), ("5m", 300), ("5x", None)], ids=[named(39)] * 3)
def test_timespan(timespan: str, seconds: int | None) -> None:
    counted = f"timespan: {timespan}\n  condition:\n    gte: 2\n"
    base = rule_text(one("F", "x"), HEAD.replace("title: A rule", "title: A rule\nname: base"))
    text = f"{base}---\ntitle: Counted\ncorrelation:\n  type: event_count\n  rules: [base]\n  {counted}"

    if seconds is None:
        (error,) = refused(text)
        assert "5x" in error
    else:
        correlation = loaded(text).rules[1].correlation
        assert correlation is not None
        assert correlation.timespan_us == seconds * SECOND_US


OTHER, OVER = "33333333-3333-4333-8333-333333333333", "44444444-4444-4444-8444-444444444444"


def alerts(
    kind: CorrelationType, bases: tuple[str, ...], matches: list[tuple[str, str]], fields: tuple[str, ...] = ()
) -> int:
    """How many alerts two make that come within a minute, of the given rules and with the given users."""
    correlation = Correlation(
        type=kind, rules=bases, group_by=(), timespan_us=60 * SECOND_US, op="gte", value=2, fields=fields
    )
    correlator = made([*(rule(base, alerts=False) for base in bases), rule(OVER, correlation=correlation)])
    for seq, (base, user) in enumerate(matches, start=1):
        item = event(seq, seq * 10.0)
        item.fields["user"] = user
        correlator.process([Match(item, [base], item.time_us or 0)], {})
    return len(correlator.take_alerts())


@pytest.mark.parametrize("trap", [40], ids=named)
def test_value_count_counts_distinct_values(trap: int) -> None:
    assert alerts("value_count", (BASE,), [(BASE, "ann"), (BASE, "bob")], ("user",)) == 1
    assert alerts("value_count", (BASE,), [(BASE, "ann"), (BASE, "ann")], ("user",)) == 0


@pytest.mark.parametrize("trap", [41], ids=named)
def test_temporal_ordered_wants_the_order_and_temporal_does_not(trap: int) -> None:
    assert alerts("temporal_ordered", (BASE, OTHER), [(BASE, "ann"), (OTHER, "ann")]) == 1
    assert alerts("temporal_ordered", (BASE, OTHER), [(OTHER, "ann"), (BASE, "ann")]) == 0
    assert alerts("temporal", (BASE, OTHER), [(OTHER, "ann"), (BASE, "ann")]) == 1


PROCESS = {
    "Channel": "Security",
    "EventID": 4688,
    "NewProcessName": r"C:\Windows\System32\cmd.exe",
    "ParentProcessName": r"C:\Windows\explorer.exe",
}
WINDOWS = {"product": "windows"}


def process_rule() -> RuleSet:
    detection = r"sel: {Image|endswith: '\cmd.exe', ParentImage|endswith: '\explorer.exe'}" + "\ncondition: sel"
    head = HEAD.replace("product: test", "product: windows\n  category: process_creation")
    return loaded(rule_text(detection, head))


@pytest.mark.parametrize("trap", [36], ids=named)
def test_security_4688_is_a_process_creation_under_other_names(trap: int) -> None:
    assert fires(process_rule(), PROCESS, WINDOWS)
    assert not fires(process_rule(), PROCESS | {"EventID": 4689}, WINDOWS)
    assert not fires(process_rule(), PROCESS | {"NewProcessName": "x"}, WINDOWS)


@pytest.mark.parametrize("trap", [37], ids=named)
def test_a_channel_has_no_case(trap: int) -> None:
    assert fires(process_rule(), PROCESS | {"Channel": "SECURITY"}, WINDOWS)
    assert not fires(process_rule(), PROCESS | {"Channel": "System"}, WINDOWS)


def test_all_43_are_here(request: pytest.FixtureRequest) -> None:
    here = [item.name for item in request.session.items if item.path == request.path]
    if len(here) < len(TRAPS):
        pytest.skip("only some were asked for")

    numbers = {int(number) for name in here for number in re.findall(r"trap_(\d+)", name)}
    assert numbers == set(range(1, 44))
