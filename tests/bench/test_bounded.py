"""The siege in small: what the rules remember is bounded by bytes, honestly counted, and so is correlation."""

import gc
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from bench.bounded import report
from bench.bounded.attack import events
from bench.bounded.siege import BATCH, Sample, Siege, besieged, memo_bytes
from bench.engine.inputs import fresh
from socmon.resources import shipped
from socmon.sigma import RuleSet, load_rules
from socmon.sigma.joining import Limits

MIB = 1 << 20
NARROW = Limits(max_groups=500, max_members=2000)
ATTACK = 60_000


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load_rules([shipped("rules")])


def test_no_two_events_are_alike_and_the_attack_is_the_same_each_time() -> None:
    first = [(event.fields, event.logsource) for event in events(4000)]

    assert first == [(event.fields, event.logsource) for event in events(4000)]
    assert len({repr(one) for one in first}) == 4000
    assert len({repr(fields.get("EventID")) for fields, _ in first}) > 800
    assert len({source.service for _, source in first}) > 400


def test_correlation_keeps_its_bounds(rules: RuleSet) -> None:
    seen: list[Sample] = []

    siege = besieged(rules, events(20_000), BATCH, limits=NARROW, show=seen.append)

    assert [sample.events for sample in seen] == list(range(BATCH, 20_001, BATCH))
    assert siege.samples == seen
    assert NARROW.max_groups * 0.9 < max(sample.groups for sample in seen) <= NARROW.max_groups
    assert 0 < max(sample.members for sample in seen) <= NARROW.max_members
    assert siege.matched > 4000
    assert siege.alerts > 100


@pytest.mark.skipif(not hasattr(RuleSet, "memory"), reason="rule sets do not say yet what they remember")
@pytest.mark.timeout(300)
def test_what_is_remembered_of_values_keeps_its_bound_and_is_counted_honestly(rules: RuleSet) -> None:
    engine = fresh(rules)
    memory: Any = getattr(engine, "memory")  # noqa: B009  see the mark above
    memory.limit = 2 * MIB
    coming = events(ATTACK)
    held, real = [], []
    gc.collect()
    tracemalloc.start()
    try:
        for number, event in enumerate(coming, 1):
            engine.match(event.fields, event.logsource)
            if number % (ATTACK // 20) == 0:
                held.append(memo_bytes(engine) or 0)
                real.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()

    assert max(held) <= memory.limit
    assert max(held) > memory.limit // 2  # it was needed
    # Plans are made once for each log source that rules tell apart; after the first tenth nothing else grows.
    assert max(real) - real[1] < 2 * memory.limit


SMALL = Sample(events=0, rss_bytes=100 * MIB, memo_bytes=0, groups=0, members=0)
GOOD = report.Found(
    3,
    Siege(
        before=SMALL,
        samples=[replace(SMALL, events=10, rss_bytes=500 * MIB, memo_bytes=100 * MIB), replace(SMALL, events=20)],
        matched=5,
        alerts=2,
        took_s=3.0,
        cpu_s=2.0,
    ),
)


def test_what_is_too_much_is_named() -> None:
    assert GOOD.problems == []
    grown = replace(GOOD.siege.samples[0], rss_bytes=700 * MIB, memo_bytes=129 * MIB)
    large = replace(GOOD, siege=replace(GOOD.siege, samples=[grown, *GOOD.siege.samples]))
    assert large.problems == [
        "NOT REACHED: it grew by 600 MiB, not 512 MiB at most",
        "NOT REACHED: memos held 129 MiB, not 128 MiB at most",
    ]


def test_the_page_shows_growth_and_each_sample() -> None:
    page = report.as_markdown(GOOD)

    assert "Grown by at most 400 MiB of resident memory; demanded: 512 MiB: reached." in page
    assert "| 0 | 100 MiB | 0 MiB | 0 | 0 |\n| 10 | 500 MiB | 100 MiB |" in page
    assert report.as_json(GOOD)["growth_bytes"] == 400 * MIB
