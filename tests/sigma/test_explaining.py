"""Why a rule matched or not: the explanation never disagrees with the rule set, and names what is in the way."""

import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sigma_kit import loaded, rule_text

from socmon.event import Event, LogSource, Match, Record, Source, clock_of
from socmon.resources import shipped
from socmon.sigma import RuleSet, load_rules
from socmon.sigma.cases import load_cases
from socmon.sigma.correlator import Correlator
from socmon.sigma.explaining import Explainer, GroupVerdict, ItemVerdict, Verdict, counted, find_rules
from socmon.sigma.joining import Limits
from socmon.sigma.outline import items
from socmon.sigma.trying import case_files, events_of

RULES = load_rules([shipped("rules")])
EXPLAINER = Explainer(RULES)
SINGLE = [rule for rule in RULES.rules if rule.correlation is None]
EVENTS = [
    event
    for file in case_files(shipped("rules"))
    for placed in load_cases(file)
    for event in events_of(placed.case)
]  # fmt: skip
ANY = LogSource(product="test")


def is_consistent(verdict: Verdict) -> bool:
    """Whether a group says of its parts what its word means."""
    if isinstance(verdict, ItemVerdict):
        return True
    each = [part.matched for part in verdict.parts]
    said = {"all": all(each), "any": any(each), "not": not each[0]}[verdict.link]
    return said is verdict.matched and all(map(is_consistent, verdict.parts))


def agrees(fields: dict[str, Any], logsource: LogSource) -> None:
    matched = {*RULES.match(fields, logsource)}
    for rule in SINGLE:
        told = EXPLAINER.explain(rule, fields, logsource)
        assert told.matched is (rule.id in matched), rule.title
        assert bool(told.obstacles) is not told.condition.matched, rule.title
        assert is_consistent(told.condition), rule.title
    assert matched.isdisjoint(told.rule.id for told in EXPLAINER.near_misses(fields, logsource))


def one(detection: str, fields: dict[str, Any]) -> tuple[bool, list[tuple[bool, str, Any]]]:
    """(matched, [(should hold, key, the event's value)] of what is in the way)."""
    rules = loaded(rule_text(detection))
    told = Explainer(rules).explain(rules.rules[0], fields, ANY)
    return told.matched, [(each.should, each.item.key, each.item.found) for each in told.obstacles]


def test_every_event_of_the_shipped_cases_is_explained_as_it_is_matched() -> None:
    assert len(EVENTS) > 100
    for event in EVENTS:
        agrees(event.fields, event.logsource)


WRITTEN = sorted({value for rule in SINGLE for item in items(RULES.condition(rule.id)) for value in item.values})
VALUES = st.one_of(
    st.sampled_from(WRITTEN),
    st.sampled_from(WRITTEN).map(lambda text: f"x{text.strip('*')}x"),
    st.none(),
    st.integers(0, 65_535),
    st.text(max_size=8),
    st.lists(st.sampled_from(WRITTEN), max_size=3),
)
NAMES = sorted({name for rule in SINGLE for name in RULES.fields_of(rule.id)})


@settings(max_examples=60, deadline=None)
@given(
    event=st.sampled_from(EVENTS),
    gone=st.sets(st.sampled_from(NAMES), max_size=3),
    new=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4),
    logsource=st.sampled_from([None, LogSource(), LogSource("LINUX", None, "sshd"), LogSource(category="webserver")]),
)
def test_generated_events_are_explained_as_they_are_matched(
    event: Event, gone: set[str], new: dict[str, Any], logsource: LogSource | None
) -> None:
    fields = {name: value for name, value in event.fields.items() if name not in gone} | new

    agrees(fields, event.logsource if logsource is None else logsource)


DETECTION = """
selection:
  action: login
  user|startswith: [adm, root]
filter:
  src_ip|cidr: 10.0.0.0/8
condition: selection and not filter
"""


@pytest.mark.parametrize(
    ("fields", "matched", "obstacles"),
    [
        ({"action": "login", "user": "root"}, True, []),
        ({"action": "login", "user": "lan"}, False, [(True, "user|startswith", "lan")]),
        ({"action": "login"}, False, [(True, "user|startswith", None)]),
        ({"action": "login", "user": "root", "src_ip": "10.1.2.3"}, False, [(False, "src_ip|cidr", "10.1.2.3")]),
        ({}, False, [(True, "action", None), (True, "user|startswith", None)]),
    ],
)
def test_what_is_in_the_way_is_named(fields: dict[str, Any], matched: bool, obstacles: list[Any]) -> None:
    assert one(DETECTION, fields) == (matched, obstacles)


def test_of_alternatives_the_one_that_lacks_least_is_named() -> None:
    detection = "a: {f: 1, g: 1}\nb: {h: 1}\ncondition: 1 of *"

    assert one(detection, {"f": "2"}) == (False, [(True, "h", None)])


def test_a_line_that_the_condition_uses_twice_is_named_once() -> None:
    detection = "a: {f: 1}\nb: {g: 1}\nc: {h: 1}\ncondition: (a and b) and (a and c)"

    assert one(detection, {"g": 1, "h": 1}) == (False, [(True, "f", None)])


def test_a_field_that_is_missing_is_told_from_one_that_is_null() -> None:
    rules = loaded(rule_text("s: {f: 1}\ncondition: s"))
    explain = Explainer(rules).explain

    missing, null = (explain(rules.rules[0], fields, ANY).obstacles[0].item for fields in ({}, {"f": None}))

    assert (missing.is_missing, missing.field) == (True, None)
    assert (null.is_missing, null.field, null.found) == (False, "f", None)


def test_the_tree_has_the_names_and_the_words_of_the_rule() -> None:
    rules = loaded(rule_text("s:\n  f|contains|all: [a, b]\nk: [word, 7]\ncondition: s or not k"))

    told = Explainer(rules).explain(rules.rules[0], {"f": "ab", "message": "no"}, ANY).condition

    assert isinstance(told, GroupVerdict)
    selection, negated = told.parts
    assert isinstance(selection, GroupVerdict)
    assert isinstance(negated, GroupVerdict)
    assert (told.link, selection.name, negated.link) == ("any", "s", "not")
    assert selection.parts == (ItemVerdict("f|contains|all", ("a", "b"), matched=True, field="f", found="ab"),)
    keywords = negated.parts[0]
    assert isinstance(keywords, GroupVerdict)
    assert keywords.parts == (ItemVerdict("", ("word", "7"), matched=False, field=None, found=None),)


def test_the_parts_of_the_log_source_that_differ_are_named() -> None:
    (rule,) = [rule for rule in SINGLE if rule.logsource == LogSource("linux", None, "sshd")][:1]

    def differing(logsource: LogSource) -> tuple[str, ...]:
        return EXPLAINER.explain(rule, {}, logsource).differing

    assert differing(LogSource("linux", None, "SSHD")) == ()
    assert differing(LogSource("linux", "any", "sudo")) == ("service",)
    assert differing(LogSource()) == ("product", "service")


def test_a_near_miss_has_a_line_that_agrees_and_one_that_does_not() -> None:
    texts = [
        rule_text(f"s: {{{fields}}}\ncondition: s").replace("5b0e", f"{number}b0e").replace("A rule", f"Rule {number}")
        for number, fields in enumerate(["f: 1, g: 1", "f: 1, g: 1, h: 1", "g: 1", "f: 1, g: 2, h: 2", "f: 1"], 1)
    ]
    rules = loaded("---\n".join(texts))

    told = Explainer(rules).near_misses({"f": 1, "h": 1}, ANY)

    assert [each.rule.title for each in told] == ["Rule 2", "Rule 1"]


# ── what a match counts for ──────────────────────────────────────────────────────────────────────────────────────────

CHAIN = """
title: Burst
id: 22222222-7a67-4e0a-9d5c-0f2d7c1f3a11
name: burst
correlation:
  type: event_count
  rules: [5b0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a11]
  group-by: [ip]
  timespan: 10s
  condition: {gte: 2}
---
title: Users
id: 33333333-7a67-4e0a-9d5c-0f2d7c1f3a11
correlation:
  type: value_count
  rules: [5b0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a11]
  group-by: [ip]
  timespan: 10s
  condition: {gte: 3, field: user}
---
title: Over
id: 44444444-7a67-4e0a-9d5c-0f2d7c1f3a11
correlation:
  type: temporal_ordered
  rules: [burst, burst2]
  group-by: [ip]
  timespan: 1m
---
title: Burst 2
id: 55555555-7a67-4e0a-9d5c-0f2d7c1f3a11
name: burst2
correlation:
  type: event_count
  rules: [5b0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a11]
  group-by: [ip]
  timespan: 10s
  condition: {gte: 4}
"""


class Run:
    """Events through a rule and the correlations of CHAIN over it."""

    def __init__(self) -> None:
        self.rules: RuleSet = loaded(rule_text("s: {f: 1}\ncondition: s") + "---" + CHAIN)
        self.correlator = Correlator(self.rules.rules, uuid.UUID(int=0), Limits(ahead_us=None))
        self.seq = 0

    def event(self, at_s: int, **fields: Any) -> dict[str, Any]:
        """Title → (number, holds) of what it counts for; the missing fields where it does not."""
        self.seq += 1
        record = Record(b"", Source("c", "p"), 0, seq=self.seq)
        event = Event(record, at_s * 1_000_000, "stated", "h", ANY, {"f": 1, **fields})
        matched = self.rules.match(event.fields, event.logsource)
        self.correlator.process([Match(event, matched, event.time_us or 0)], {clock_of(event): event.time_us or 0})
        found = counted(self.rules, self.correlator, event, matched)
        return {each.rule.title: each.lacking or (each.number, each.holds) for each in found}


def test_a_match_counts_for_each_correlation_over_its_rule_and_those_over_them() -> None:
    run = Run()

    told = [run.event(at_s, ip="a", user=user) for at_s, user in ((1, "x"), (2, "y"), (3, "x"), (4, "z"), (20, "x"))]

    assert [each["Burst"] for each in told] == [(1, False), (2, True), (3, True), (4, True), (1, False)]
    assert [each["Burst 2"] for each in told] == [(1, False), (2, False), (3, False), (4, True), (1, False)]
    assert [each["Users"] for each in told] == [(1, False), (2, False), (2, False), (3, True), (1, False)]
    assert [each["Over"] for each in told] == [(0, False), (1, False), (1, False), (2, True), (2, True)]


def test_a_match_counts_for_its_own_group_only_and_lacks_what_it_does_not_have() -> None:
    run = Run()
    run.event(1, ip="a", user="x")

    assert run.event(2, ip="b")["Burst"] == (1, False)
    assert run.event(3, ip="b")["Users"] == ("user",)
    assert run.event(4)["Burst"] == ("ip",)


def test_a_match_of_a_rule_that_feeds_nothing_counts_for_nothing() -> None:
    rules = loaded(rule_text("s: {f: 1}\ncondition: s"))
    correlator = Correlator(rules.rules, uuid.UUID(int=0))

    assert counted(rules, correlator, EVENTS[0], [rules.rules[0].id]) == []


def test_rules_are_found_by_id_title_and_a_part_of_it() -> None:
    brute = next(rule for rule in RULES.rules if rule.title == "SSH brute force")

    assert find_rules(RULES, brute.id.upper()) == [brute]
    assert find_rules(RULES, "ssh BRUTE force") == [brute]
    assert brute in find_rules(RULES, "brute")
    assert find_rules(RULES, "dò mật khẩu", ["SSH brute force"]) == [brute]
    assert find_rules(RULES, " ") == find_rules(RULES, "no such rule") == []
