"""Events of Windows that match nothing are passed over by their layouts: what comes of a batch is the same."""

import gc
import json
import os
import tracemalloc
from collections import Counter
from random import Random
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sigma_sequences import WINDOWS_EVENTS, WINDOWS_RULES
from sigmahq_kit import ARCHIVE, real_events, some_rules

from socmon.enrich import Assets, Inventory
from socmon.event import SECOND_US, Event, Owner, Record, Source
from socmon.journal import Batch
from socmon.matching import Matched, Matcher
from socmon.parsers import windows_layouts
from socmon.sigma import plans
from socmon.sigma.logsources import LogSources, Table, shipped_log_sources
from socmon.sigma.plan import Plan
from socmon.sigma.routing import Route
from socmon.sigma.ruleset import RuleSet, parse_rules

MORE = int(os.environ.get("SOCMON_EXAMPLES", "1"))  # times as many examples
pytestmark = pytest.mark.timeout(120 * MORE)

NOW_US = 1_795_000_000 * SECOND_US
SOURCE = Source("logs", "/f", "windows_json", zone="Asia/Ho_Chi_Minh")
RELAY = Source("relay", "192.0.2.7", "windows_json", "detected")

# Members that events have now and then.
MEMBERS = [
    b'"Computer":"pc1"', b'"Computer":"pc2"', b'"Computer":7', b'"Computer":null', b'"Computer":"-"',
    b'"Hostname":"pc3"', b'"Hostname":null', b'"host.name":"pc4"', b'"Hostname":5,"host.name":"pc5"',
    b'"Provider_Name":"Linux-Sysmon"', b'"Provider_Name":"a"', b'"Provider_Name":null', b'"Provider_Name":1',
    b'"ProviderName":"linux-sysmon"', b'"SourceName":"b"', b'"ProviderName":7,"SourceName":"c"',
    b'"TimeCreated":"2026-11-18T10:00:00Z"', b'"TimeCreated":"2026-11-18 10:00:00"', b'"TimeCreated":"soon"',
    b'"TimeCreated":1795000000', b'"TimeCreated":["2026-11-18T10:00:00Z"]', b'"TimeCreated":null',
    b'"TimeCreated_SystemTime":"2026-11-18T09:00:00.5Z"', b'"TimeCreated_SystemTime":1700000000',
    b'"UtcTime":"2026-11-18 08:00:00.123"', b'"@timestamp":"2026-11-18T23:00:00Z"', b'"@timestamp":true',
    b'"TimeGenerated":"2026-11-17T08:00:00+01:00"', b'"EventTime":1795000000.25', b'"EventTime":"2027-11-18 08:00"',
    b'"message":"a"', b'"message":""', b'"message":null', b'"Message":"b1"', b'"Message":1',
    b'"a b":"a"', b'"ab":"b"', b'"User":"a","User":"b"', b'"User":"b","User":null', b'"User":null,"User":"a"',
    b'"\\u0049mage":"a"', b'"Image":"\\u0061b1"', b'"Image":"\\u00e9\\/"', b'"x":"\xff"', b'"\xff":1', b'"x":"\\ud800"',
    b'"x":18446744073709551616', b'"x":9223372036854775807', b'"x":1e30', b'"x":1e400', b'"x":-0', b'"x":1.0',
    b'" ":null', b'" ":"a"', b'"nothing":"a"', b'"f0":"a"', b'"x":[]', b'"x":["a",null]', b'"x":[["a"]]', b'"x":{}',
    b'"EventData":{"Image":"a","EventID":5}', b'"socmon.peer":"forged"', b'"socmon.agency":"forged"', b'"x":tru',
    b'"EventID":1', b'"EventID":"4688"', b'"EventID":true', b'"Channel":["Security"]', b'"Channel":null',
    b'"x":"\xe2\x84\xaa"', b'"":"a"',
]  # fmt: skip
MORE_RULES = """
title: t
id: 00000000-0000-4000-8000-00000000001{number}
logsource: {{product: {product}}}
detection:
  s: {{{line}}}
  condition: {condition}
"""
LINES = [
    "Computer: pc1", "Computer|exists: true", "Computer: null", "Provider_Name|contains: a", "Provider_Name: 1",
    "ProviderName: null", "TimeCreated|contains: 'T'", "message|contains: '4'", "Message: null", "ab: b", "x: null",
    "'|contains': Ab1", "'|contains': null", "x|gt: 0", "x|exists: true", "User|fieldref: Image", "User: b",
    "Hostname|fieldref: Computer", "EventID|exists: true", "f0: a", "Image|endswith: 1", "'|contains': security",
]  # fmt: skip
OWN_LINES = ["socmon.peer: /f", "socmon.agency: '1'", "socmon.collector: null"]


def _more_rules(random: Random) -> str:
    own = OWN_LINES if random.randint(0, 3) == 0 else []
    made = (
        MORE_RULES.format(
            number=number,
            product=random.choice(["windows", "windows", "linux"]),
            line=random.choice([*LINES, *own]),
            condition=random.choice(["s"] * 6 + ["not s"]),
        )
        for number in range(random.randint(1, 4))
    )
    return "\n---".join(made)


def _line(fields: dict[str, Any], random: Random) -> bytes:
    """An event as an object, mostly with what tells its kind at the start."""
    names = random.sample([*fields], len(fields))
    if random.randint(0, 3):
        names.sort(key=lambda name: ["EventID", "Channel"].index(name) if name in ("EventID", "Channel") else 2)
    ascii_only, colon = random.randint(0, 1), random.choice([":", ":", ": "])
    members = [
        f"{json.dumps(name)}{colon}{json.dumps(fields[name], ensure_ascii=bool(ascii_only))}".encode(
            errors="surrogatepass"
        )
        for name in names
    ]
    members += random.sample(MEMBERS, random.choice([0, 1, 1, 2, 4]))
    return b"{" + b",".join(members) + b"}"


def _is_flat(name: str, value: Any) -> bool:
    is_number = type(value) is int
    return " " not in name and "{" not in repr(value) and "[[" not in repr(value) and not (is_number and value > 2**63)


def _lines(events: list[tuple[dict[str, Any], Any]], random: Random) -> list[bytes]:
    """Lines of these events, most of them several times, so that their layouts are learnt."""
    made: list[bytes] = []
    for event, _ in events:
        is_flat = random.randint(0, 5)
        fields = {name: value for name, value in event.items() if not is_flat or _is_flat(name, value)}
        made += [_line(fields, random)] * random.choice([1, 5, 6])
    again = random.sample(made, len(made) // 3)
    return [*made, *again, *made[:20]]


class General(Matcher):
    """Asks the rules of every event with all its fields."""

    def _unmatched(self, record: Record) -> Event | None:  # noqa: ARG002  as of any
        return None

    def parse(self, record: Record) -> Event:
        event = super().parse(record)
        event.verbatim = False
        return event


class Counting(Matcher):
    """Counts what is passed over."""

    passed = 0

    def _unmatched(self, record: Record) -> Event | None:
        event = super()._unmatched(record)
        self.passed += event is not None
        return event


def shown(matched: Matched) -> Any:
    for match in matched.matches:
        match.event.verbatim = False
    return msgspec.to_builtins(matched, str_keys=False)


def batches(data: list[bytes], random: Random) -> list[Batch]:
    """The lines as records of two sources, some of them old, in batches."""
    records = [
        Record(
            one,
            SOURCE if random.randint(0, 4) else RELAY,
            NOW_US + place,
            anchor_us=None if random.randint(0, 5) else NOW_US - 1,
            count=random.choice([1, 1, 3]),
            seq=place + 1,
        )
        for place, one in enumerate(data)
    ]
    return [Batch(1, 1, NOW_US, records[start : start + 40], [], tick=False) for start in range(0, len(records), 40)]


def compare(rules: RuleSet, data: list[bytes], random: Random, **options: Any) -> Counter[str]:
    """Match with layouts and without, the same in all; how many were passed over, and how many matched."""
    quick, general = Counting(rules, **options), General(rules, **options)
    came: Counter[str] = Counter()
    for batch in batches(data, random):
        ours, theirs = quick.match(batch), general.match(batch)
        assert shown(ours) == shown(theirs)
        came["matched"] += len(ours.matches)
        came["evaluated"] += sum(ours.evaluated.values())
        came["unparsed"] += sum(ours.unparsed.values())
    came["passed"] = quick.passed
    return came


ASSETS = Assets(Inventory(patterns={"pc1": Owner("1", "dvc", 4)}))
OPTIONS = st.fixed_dictionaries({}, optional={
    "live": st.booleans(), "undated": st.booleans(), "year": st.just(2026), "assets": st.just(ASSETS),
})  # fmt: skip


@pytest.fixture(autouse=True, params=["much room", "little room"])
def _structs_are_made_soon(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_layouts, "_OFTEN", 2)
    if request.param == "little room":
        monkeypatch.setattr(windows_layouts, "_MISSED", 1)
        monkeypatch.setattr(windows_layouts, "_MOST_HINTS", 2)
        monkeypatch.setattr(windows_layouts, "_MOST_IN_ALL", 300)
        monkeypatch.setattr(windows_layouts, "_STRUCT_NAMES", 2)
        monkeypatch.setattr(plans, "_MAX_NAMES", 60)
        monkeypatch.setattr(plans, "_MAX_METS", 5)
        monkeypatch.setattr(plans, "_MAX_KINDS", 2)


def test_batches_come_to_the_same_whether_events_are_read_by_their_layouts() -> None:
    came: Counter[str] = Counter()

    @settings(max_examples=150 * MORE)
    @given(WINDOWS_RULES, WINDOWS_EVENTS, OPTIONS, st.integers(0, 2**32))
    def check(stated: list[dict[str, Any]], events: Any, options: dict[str, Any], seed: int) -> None:
        random = Random(seed)
        few = stated[: random.choice([0, 0, 2, 8])]
        text = yaml.safe_dump_all(few, allow_unicode=True) + "\n---\n" + _more_rules(random)
        came.update(compare(parse_rules("rules.yml", text.encode()), _lines(events, random), random, **options))

    check()

    assert came["passed"] > came["evaluated"] / 50
    assert came["matched"] > came["evaluated"] / 20
    assert came["unparsed"] > 0


@pytest.mark.parametrize(
    "name", [b'a\\"b', b"a\\\\b", b"a\\u0000b", b"a\\tb", "\u1ec7".encode(), b"a b", b"", b"'", b"{"]
)
def test_a_name_that_cannot_be_one_of_a_struct_is_read_all_the_same(name: bytes) -> None:
    rules = parse_rules(
        "rules.yml", MORE_RULES.format(number=1, product="windows", line="x: a", condition="s").encode()
    )
    line = b'{"EventID":1,"Channel":"Security","x":"a","%s":1}' % name

    came = compare(rules, [line] * 20, Random(1))

    assert came["matched"] == 20


def test_equal_values_that_are_not_the_same_are_told_apart_whichever_came_first() -> None:
    line = "x: {value}"
    stated = [
        MORE_RULES.format(number=number, product="windows", line=line.format(value=value), condition="s")
        for number, value in enumerate(["1", "'true'", "'1.0'", "'false'", "2"])
    ]
    rules = parse_rules("rules.yml", "---".join(stated).encode())
    values = ["1", "true", "1.0", "0", "false", "0.0", "-0", "2", "2.0", '"1"', '"true"', "null", "[1]", "[true]"]

    for seed in range(4):
        random = Random(seed)
        lines = [b'{"EventID":1,"Channel":"c","x":%s}' % random.choice(values).encode() for _ in range(400)]
        came = compare(rules, lines, random)
        assert came["passed"] > 0
        assert came["matched"] > 0


@pytest.mark.timeout(300)
def test_what_is_remembered_of_lines_keeps_its_bound_and_is_counted_honestly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_layouts, "_MOST_IN_ALL", 6_000)
    monkeypatch.setattr(plans, "_MAX_NAMES", 6_000)
    monkeypatch.setattr(plans, "_MAX_KINDS", 500)
    names = [f"F{number}" for number in range(12)]
    rules = parse_rules(
        "rules.yml",
        "---".join(
            MORE_RULES.format(number=number, product="windows", line=f"{name}: x", condition="s")
            for number, name in enumerate(names[:10])
        ).encode(),
    )
    rules.memory.limit = 2 << 20
    events, random = windows_layouts.Events(), Random(1)
    held, real, said = [], [], 0
    tracemalloc.start()
    try:
        for place in range(30_000):
            fields = ",".join(f'"{name}":"{place}{name * 30}"' for name in random.sample(names, 3))
            channel = f"{place % 3_000}" * random.choice([1, 1, 1, 8_000])
            found = events.read(f'{{"EventID":{place % 40},"Channel":"{channel}",{fields}}}'.encode())
            if found is not None:
                said += rules.match_by_layout(*found, b"") == ()
            if place % 1_500 == 0:
                held.append(rules.memory.held)
                gc.collect()  # structs that are let go of
                real.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()

    assert said > 15_000
    assert rules.memory.limit // 2 < max(held) <= rules.memory.limit
    assert rules.memory.held == sum(memo.held for memo in rules.memory._memos.values())
    assert len(rules.memory._memos) < 2 * plans._MAX_METS + len(names)
    # Layouts and kinds are bounded by number; what they take is there after half.
    assert max(real[10:]) - max(real[:10]) < 2 * rules.memory.limit


def one_rule(line: str, number: int = 1) -> str:
    return MORE_RULES.format(number=number, product="windows", line=line, condition="s")


@pytest.mark.parametrize(
    "line", ["message: Security 4688", "socmon.peer: /f", "User|fieldref: Image", "'message|re': '8$'"]
)
def test_what_is_not_picked_of_an_event_tells_it_apart_as_well(line: str) -> None:
    rules = parse_rules("rules.yml", one_rule(line).encode())
    same = b'{"EventID":4688,"Channel":"Security","User":"a","Image":"a"}'
    others = [same.replace(b'Image":"a"', b'Image":"b"'), same.replace(b"4688", b"4689")]

    for seed in range(8):
        came = compare(rules, Random(seed).choices([same, *others], k=200), Random(seed))
        assert came["matched"] > 20


def test_a_log_source_that_other_fields_tell_is_asked_for() -> None:
    sources = LogSources([*shipped_log_sources().tables, Table(routes=(Route("windows", "Shop", {"shop": [1]}),))])
    rule = one_rule("x: null").replace("product: windows", "service: shop")
    rules = parse_rules("rules.yml", rule.encode(), sources=sources)
    values = ["1", "true", "1.0", '"1"', "2"]
    lines = [b'{"EventID":4688,"Channel":"Security","Shop":%s}' % value.encode() for value in values]

    for seed in range(8):
        came = compare(rules, Random(seed).choices(lines, k=60), Random(seed))
        assert 0 < came["matched"] < 60


def test_an_event_like_one_before_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though meanwhile other kinds of events were met, of which more is picked."""
    monkeypatch.setattr(plans, "_MAX_KINDS", 4096)
    stated = [one_rule("EventID: 4688, Image: x", 1), one_rule("EventID: 4689, User: x", 2)]
    rules = parse_rules("rules.yml", "---".join(stated).encode())
    line = '{"EventID":%d,"Channel":"Security","User":"%s","Image":"%s"}'
    lines = [(line % (4688 + place % 2, place % 3, place % 5)).encode() for place in range(30)]
    events = windows_layouts.Events()

    def pass_over() -> None:
        for data in lines:
            found = events.read(data)
            assert found is not None
            assert rules.match_by_layout(*found, data) == ()

    pass_over()
    pass_over()
    monkeypatch.setattr(Plan, "without_keywords", None)
    pass_over()


REFERRING = """
title: a field and another, which has two names
id: 00000000-0000-4000-8000-000000000021
logsource: {product: windows, category: process_creation}
detection: {s: {'CommandLine|fieldref': Image}, condition: s}
---
title: makes layouts pick these fields
id: 00000000-0000-4000-8000-000000000022
logsource: {product: windows, service: security}
detection: {s: {EventID: 4689, Image: x, CommandLine: y}, condition: s}
"""


def test_a_layout_with_two_names_of_a_field_takes_over_no_answer_of_one_with_a_single_name() -> None:
    def lines(start: bytes, more: bytes) -> list[bytes]:
        members = b',"Channel":"Security","CommandLine":"c","Image":"i"' + more
        return [start + b" %d%s}" % (number, members) for number in (4600, 4600, 4600, 4600, 4600, 4688, 4689)]

    one, two = b'{"EventID" :  ', b'{"EventID":   '  # so that all of a kind begin alike, up to `46`
    last = b'"Channel":"Security","CommandLine":"v"'
    matching = two + b' 4688,%s,"NewProcessName":"v"}' % last
    data = [*lines(two, b',"NewProcessName":"n"'), *lines(one, b""), one + b" 4688,%s}" % last, matching]

    came = compare(parse_rules("rules.yml", REFERRING.encode()), data, Random(1))

    assert came["matched"] == 1


@pytest.mark.skipif(not ARCHIVE.exists(), reason=f"no {ARCHIVE}; set SOCMON_DATA to the folder of real data")
def test_real_events_come_to_the_same_with_sigmahq_rules() -> None:
    real = real_events(1500 * MORE)

    came = compare(some_rules(max(1, 8 // MORE)), [*real, *real], Random(1))

    assert came["passed"] > len(real)
    assert came["matched"] > 20
