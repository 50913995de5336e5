"""temporal, value_sum, value_avg and value_percentile by example: what each comes to, and does not count."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from correlation_kit import INCARNATION, START_US, rule
from sigma_kit import ONE, ONE_ID, correlation, loaded, together

from socmon.event import SECOND_US, Event, LogSource, Match, Record, Source
from socmon.sigma import Correlation
from socmon.sigma.amounts import Percentile, Sum
from socmon.sigma.correlator import Correlator
from socmon.sigma.explaining import counted
from socmon.sigma.joining import Limits
from socmon.sigma.keeper import Keeper
from socmon.sigma.measures import Different, Distinct, Measure, Total
from socmon.sigma.rule import CorrelationType

A, B, C = "rule-a", "rule-b", "rule-c"


def correlator_of(
    kind: CorrelationType,
    *comparisons: tuple[Any, Any],
    rules: Sequence[str] = (A, B, C),
    percentile: Any = None,
    limits: Limits | None = None,
) -> Correlator:
    correlation = Correlation(
        type=kind,
        rules=tuple(rules),
        group_by=("ip",),
        timespan_us=60 * SECOND_US,
        op=comparisons[0][0],
        value=comparisons[0][1],
        also=comparisons[1:],
        fields=() if kind == "temporal" else ("n",),
        percentile=percentile,
    )
    bases = [rule(base, alerts=False) for base in rules]
    return Correlator([*bases, rule("top", correlation=correlation)], INCARNATION, limits)


def feed(correlator: Correlator, seq: int, at_s: int, value: Any = None, *, rules: Any = (A,), repeat: int = 1) -> None:
    time_us = START_US + at_s * SECOND_US
    fields = {"ip": "x"} | ({} if value is None else {"n": value})
    record = Record(b"x", Source("logs", "peer"), time_us, seq=seq)
    event = Event(record, time_us, "stated", "web", LogSource(), fields, repeat=repeat)
    correlator.process([Match(event, list(rules), time_us)], {("logs", "peer", "web"): time_us})


def alerted(correlator: Correlator) -> list[list[int]]:
    """Sequences of the events of each alert that changed."""
    return [seqs for _, seqs in correlator.take_alerts()]


def test_temporal_asks_for_different_rules_in_any_order() -> None:
    correlator = correlator_of("temporal", ("gte", 3))

    for seq, base in enumerate((C, A, A, A), 1):
        feed(correlator, seq, seq, rules=(base,))
    assert alerted(correlator) == []

    feed(correlator, 5, 60, rules=(B,))
    assert alerted(correlator) == [[1, 2, 3, 4, 5]]


def test_temporal_forgets_a_rule_whose_events_have_left_the_window() -> None:
    correlator = correlator_of("temporal", ("gte", 2), rules=(A, B))

    feed(correlator, 1, 0, rules=(A,))
    feed(correlator, 2, 61, rules=(B,))
    assert alerted(correlator) == []

    feed(correlator, 3, 30, rules=(A,))  # late: between the two
    assert alerted(correlator) == [[2, 3]]


def test_an_event_stands_for_each_of_the_rules_that_it_matches() -> None:
    correlator = correlator_of("temporal", ("gte", 3))

    feed(correlator, 1, 0, rules=(A, C))
    feed(correlator, 2, 1, rules=(B,))

    assert alerted(correlator) == [[1, 2]]


def test_temporal_compares_the_number_of_rules() -> None:
    correlator = correlator_of("temporal", ("gt", 1), ("lt", 3))

    feed(correlator, 1, 0, rules=(A,))
    assert alerted(correlator) == []
    feed(correlator, 2, 1, rules=(B,))
    assert alerted(correlator) == [[1, 2]]
    feed(correlator, 3, 2, rules=(C,))
    assert alerted(correlator) == []


def test_temporal_over_thousands_of_rules_costs_what_an_event_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"rule-{number}" for number in range(3000)]
    correlator = correlator_of("temporal", ("gte", 3), rules=names)
    looked_at: list[int] = []
    fact_of, enter = Keeper.fact, Different.enter

    def counting_facts(keeper: Keeper, values: Any, matched: Any, weight: int) -> Any:
        looked_at.append(len(matched))
        return fact_of(keeper, values, matched, weight)

    def counting_steps(measure: Different, fact: Any, time_us: int) -> None:
        looked_at.append(len(fact))
        enter(measure, fact, time_us)

    monkeypatch.setattr(Keeper, "fact", counting_facts)
    monkeypatch.setattr(Different, "enter", counting_steps)
    feed(correlator, 1, 0, rules=(names[7],))
    feed(correlator, 2, 1, rules=(names[2999],))
    feed(correlator, 3, 2, rules=(names[7], names[1500]))

    assert looked_at == [1, 1, 1, 1, 2, 2]
    assert alerted(correlator) == [[1, 2, 3]]
    state = correlator.take_snapshot().values()
    assert sum(len(value or b"") for value in state) < 1000  # nor does the state grow with the list


def test_sums_are_exact_and_weigh_repeats() -> None:
    correlator = correlator_of("value_sum", ("eq", Decimal("0.6")))

    feed(correlator, 1, 0, "0.1", repeat=3)  # in binary, 0.1 + 0.2 is not 0.3
    feed(correlator, 2, 1, 0.1)
    assert alerted(correlator) == []

    feed(correlator, 3, 2, "2e-1")
    assert alerted(correlator) == [[1, 2, 3]]


def test_a_sum_slides_and_a_late_event_is_in_every_window_that_holds_it() -> None:
    correlator = correlator_of("value_sum", ("gte", 10))

    feed(correlator, 1, 0, 9)
    feed(correlator, 2, 61, 2)
    feed(correlator, 3, 100, 3)
    assert alerted(correlator) == []

    feed(correlator, 4, 50, 5)  # 9 + 5, then 5 + 2 + 3
    assert alerted(correlator) == [[1, 2, 3, 4]]


@pytest.mark.parametrize("kind", ["value_sum", "value_avg", "value_percentile"])
def test_a_repeated_event_leaves_the_window_with_all_its_weight(kind: CorrelationType) -> None:
    correlator = correlator_of(kind, ("eq", 2), percentile=50 if kind == "value_percentile" else None)

    feed(correlator, 1, 0, 5, repeat=4)
    feed(correlator, 2, 61, 2)

    assert alerted(correlator) == [[2]]


def test_a_sum_of_nothing_but_what_is_less_is_a_sum_all_the_same() -> None:
    correlator = correlator_of("value_sum", ("lt", 0))

    feed(correlator, 1, 0, 5)
    feed(correlator, 2, 1, -5)
    assert alerted(correlator) == []

    feed(correlator, 3, 2, "-0.5")
    assert alerted(correlator) == [[1, 2, 3]]


@pytest.mark.parametrize("value", ["abc", "", "1,5", "NaN", "inf", "0x1", True, [5], "1e20", 10**20, "1e-31", "9" * 65])
def test_what_is_no_number_in_range_is_no_event_and_is_counted(value: Any) -> None:
    correlator = correlator_of("value_sum", ("gte", 1))

    feed(correlator, 1, 0, value)
    feed(correlator, 2, 1)

    assert alerted(correlator) == []
    assert (correlator.tally.not_numeric, correlator.tally.missing_field) == (1, 1)
    assert correlator.size == (0, 0)


def test_an_average_that_no_decimal_number_says_is_compared_exactly() -> None:
    correlator = correlator_of("value_avg", ("gt", Decimal("0.33333333333333333333")), ("lt", Decimal("0.3333333334")))

    feed(correlator, 1, 0, 1)
    feed(correlator, 2, 1, 0, repeat=2)

    assert alerted(correlator) == [[1, 2]]


@pytest.mark.parametrize(
    ("percentile", "values", "number"),
    [
        (50, [15, 20, 35, 40, 50], 35),
        (30, [50, 40, 35, 20, 15], 20),
        (100, [15, 20, 35, 40, 50], 50),
        (Decimal("0.1"), [15, 20, 35], 15),
        (40, [15, 20, 35, 40, 50], 20),
        (95, [7], 7),
    ],
)
def test_a_percentile_is_the_value_at_the_nearest_rank(percentile: Any, values: list[int], number: int) -> None:
    correlator = correlator_of("value_percentile", ("eq", number), percentile=percentile)

    for seq, value in enumerate(values, 1):
        feed(correlator, seq, seq, value)

    ((alert, _),) = correlator.take_alerts()
    assert alert.opened_seq <= len(values)
    keeper = correlator._keepers["top"]
    (group,) = keeper.groups.values()
    assert group.held[-1] == 1


@pytest.mark.parametrize(
    "make", [Distinct, lambda: Percentile(1, 4), Sum, Total], ids=["distinct", "percentile", "sum", "total"]
)
def test_several_events_at_once_come_to_what_they_do_one_by_one(make: Callable[[], Measure]) -> None:
    one_by_one, at_once = make(), make()
    values = [3, -1, 2, -1, 5, 0, -7]
    facts = [one_by_one.fact([value], (), 1 + place % 2) for place, value in enumerate(values)]

    for fact in facts:
        one_by_one.enter(fact, 1)
    at_once.enter_all([*facts[:3], None, *facts[3:]], [1] * (len(facts) + 1))

    assert at_once == one_by_one
    assert at_once.number(0) == one_by_one.number(0)


def test_a_percentile_follows_its_window_as_one_made_anew() -> None:
    """The place of the rank is moved from event to event; sorting each window says what it must be."""
    correlator = correlator_of("value_percentile", ("gte", 50), percentile=Decimal("62.5"))
    values = [(n * 7919) % 101 for n in range(200)]
    repeats = [1 + n % 3 for n in range(200)]
    held = []
    for n, value in enumerate(values):
        feed(correlator, n + 1, n * 3, value, repeat=repeats[n])
        window = sorted(v for m in range(max(0, n - 20), n + 1) for v in [values[m]] * repeats[m])
        held.append(window[-(-len(window) * 625 // 1000) - 1] >= 50)

    (group,) = correlator._keepers["top"].groups.values()
    kept = len(group)
    assert list(map(bool, group.held)) == held[-kept:]
    assert kept > 20
    assert {True, False} <= set(held[-kept:])


def test_without_a_percentile_the_share_of_the_own_value_is_compared() -> None:
    correlator = correlator_of("value_percentile", ("lte", 1))

    for seq in range(1, 100):
        feed(correlator, seq, 1, "cmd.exe")
    assert alerted(correlator) == []

    feed(correlator, 100, 2, "rare.exe")  # one of 100
    assert len(alerted(correlator)) == 1
    feed(correlator, 101, 3, "cmd.exe")
    assert alerted(correlator) == []


def test_repeats_weigh_in_a_share() -> None:
    correlator = correlator_of("value_percentile", ("gte", 75))

    feed(correlator, 1, 1, "a")  # 100 %
    assert len(alerted(correlator)) == 1
    feed(correlator, 2, 2, "b")
    assert alerted(correlator) == []
    feed(correlator, 3, 3, "b", repeat=2)  # 3 of 4
    assert len(alerted(correlator)) == 1


@pytest.mark.parametrize(
    ("kind", "comparison", "percentile"),
    [
        ("temporal", ("gte", 2), None),
        ("value_sum", ("gt", Decimal("60.3")), None),
        ("value_avg", ("gt", Decimal("5.05")), None),
        ("value_percentile", ("gte", 7), Decimal("66.6")),
        ("value_percentile", ("lt", 12), None),
    ],
)
def test_a_restored_snapshot_goes_on_exactly(kind: Any, comparison: tuple[Any, Any], percentile: Any) -> None:
    def fed(cut: int) -> tuple[list[Any], dict[bytes, bytes]]:
        rows: dict[bytes, bytes | None] = {}
        taken: list[Any] = []
        correlator = correlator_of(kind, comparison, percentile=percentile)
        for n in range(40):
            if n == cut:
                rows |= correlator.take_snapshot()
                correlator = correlator_of(kind, comparison, percentile=percentile)
                correlator.restore((row, value) for row, value in rows.items() if value is not None)
            at_s = n * 5 - (9 if n % 7 == 0 else 0)  # some come late
            feed(correlator, n + 1, at_s, f"{n * 13 % 11}.{n % 3}", rules=((A, B, C)[n % 3],), repeat=1 + n % 2)
            taken += correlator.take_alerts()
        rows |= correlator.take_snapshot()
        return taken, {row: value for row, value in rows.items() if value is not None}

    uncut = fed(-1)

    assert uncut[0]
    for cut in (1, 7, 20, 33):
        assert fed(cut) == uncut


@pytest.mark.parametrize("kind", ["value_sum", "value_percentile"])
def test_a_full_group_drops_its_oldest_event_and_says_so(kind: CorrelationType) -> None:
    correlator = correlator_of(kind, ("gte", 0), limits=Limits(max_members=1000))

    for n in range(1, 31):
        feed(correlator, n, 1, n)

    ((alert, _),) = correlator.take_alerts()
    assert alert.approximate
    assert correlator.size == (1, 10)


def test_a_sum_over_results_adds_the_field_of_each_once() -> None:
    burst = Correlation("event_count", (A,), ("ip", "n"), 10 * SECOND_US, "gte", 2)
    total = Correlation("value_sum", ("burst",), ("ip",), 60 * SECOND_US, "gte", 12, fields=("n",))
    rules = [rule(A, alerts=False), rule("burst", correlation=burst, alerts=False), rule("top", correlation=total)]
    correlator = Correlator(rules, INCARNATION)

    for seq, value in enumerate(("5", "5", "7", "x", "x"), 1):
        feed(correlator, seq, seq, value, repeat=3 if seq == 2 else 1)
    assert alerted(correlator) == []
    assert correlator.tally.not_numeric == 1  # two of x are a result, with a value that is no number

    feed(correlator, 6, 6, "7")
    assert alerted(correlator) == [[1, 2, 3, 6]]


def test_explaining_tells_the_number_and_what_is_none() -> None:
    text = together(ONE, correlation("mean", "[one]", "value_avg", "{gt: 1.2, field: n}"))
    rules = loaded(text.replace("[ip, user]", "[ip]"))
    correlator = Correlator(rules.rules, INCARNATION)

    told = []
    for seq, value in enumerate((1, 2, "two"), 1):
        record = Record(b"x", Source("logs", "peer"), START_US, seq=seq)
        fields = {"F": "x", "ip": "y", "n": value}
        event = Event(record, START_US, "stated", "web", LogSource(), fields)
        correlator.process([Match(event, [ONE_ID], START_US)], {})
        told += counted(rules, correlator, event, [ONE_ID])

    assert [(each.number, each.holds, each.not_numeric) for each in told] == [
        (1, False, ()),
        (1.5, True, ()),
        (0, False, ("n",)),
    ]
