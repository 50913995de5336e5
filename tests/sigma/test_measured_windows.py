"""value_count, temporal_ordered and chains by example; their bounds, and rows of another version."""

import msgspec
import pytest
from chain_kit import Seen, Spec
from chain_rules import SINGLE, A, B, feed, id_of, rules_of
from correlation_kit import INCARNATION

from socmon.sigma.correlator import Correlator
from socmon.sigma.joining import Limits
from socmon.sigma.measured import MeasuredWindow
from socmon.sigma.measures import Steps

SPREAD = Spec("spread", "value_count", (A,), ("ip",), 60, (("gte", 3),), ("user",))
ORDER = Spec("order", "temporal_ordered", (A, B), ("ip",), 60)
BURST = Spec("burst", "event_count", (A,), ("ip",), 10, (("gte", 3),))
THEN = Spec("then", "temporal_ordered", ("burst", B), ("ip",), 60)


def seen(seq: int, at: int, rule: str = A, user: str | None = "u", ip: str = "x") -> Seen:
    fields = {"ip": ip} | ({"user": user} if user is not None else {})
    return Seen(at, seq, frozenset({rule}), tuple(fields.items()))


def correlator_of(*specs: Spec, limits: Limits | None = None) -> Correlator:
    rules = rules_of((*SINGLE, *specs))
    assert not rules.errors
    return Correlator(rules.rules, INCARNATION, limits)


def test_values_that_repeat_add_nothing_and_an_event_without_the_field_is_counted_apart() -> None:
    correlator = correlator_of(SPREAD)

    feed(correlator, [seen(n, n, user=user) for n, user in enumerate(("u", "u", "v", "v", "u", None), 1)])
    assert correlator.take_alerts() == []
    assert correlator.tally.missing_field == 1

    feed(correlator, [seen(7, 9, user="w")])
    ((alert, _),) = correlator.take_alerts()
    assert alert.count == 6


@pytest.mark.parametrize(("rules", "opened"), [((A, B), [2]), ((B, A), []), ((B, A, B), [3])])
def test_order_decides_also_at_one_moment(rules: tuple[str, ...], opened: list[int]) -> None:
    correlator = correlator_of(ORDER)

    feed(correlator, [seen(n, 5, rule) for n, rule in enumerate(rules, 1)])

    assert [alert.opened_seq for alert, _ in correlator.take_alerts()] == opened


def test_one_event_stands_for_one_position_only() -> None:
    twice = Spec("twice", "temporal_ordered", (A, A), ("ip",), 60)
    correlator = correlator_of(twice)

    feed(correlator, [seen(1, 1)])
    assert correlator.take_alerts() == []

    feed(correlator, [seen(2, 2)])
    assert len(correlator.take_alerts()) == 1


def test_a_chain_shows_the_raw_events_behind_its_results_once_each() -> None:
    correlator = correlator_of(BURST, THEN)

    feed(correlator, [*(seen(n, n) for n in range(1, 7)), seen(7, 50, B)])

    ((alert, seqs),) = correlator.take_alerts()
    assert (alert.rule_id, alert.count, alert.opened_seq, seqs) == (id_of("then"), 7, 7, [1, 2, 3, 4, 5, 6, 7])


def test_events_behind_a_result_join_though_they_are_before_the_window() -> None:
    short = Spec("then", "temporal_ordered", ("burst", B), ("ip",), 2)
    correlator = correlator_of(BURST, short)

    feed(correlator, [seen(1, 1), seen(2, 5), seen(3, 9), seen(4, 11, B)])

    ((alert, seqs),) = correlator.take_alerts()
    assert (seqs, alert.count) == ([1, 2, 3, 4], 4)


def test_a_late_event_completes_the_burst_below_a_chain() -> None:
    correlator = correlator_of(BURST, THEN)

    feed(correlator, [seen(1, 1), seen(2, 5), seen(3, 30, B)])
    assert correlator.take_alerts() == []

    feed(correlator, [seen(4, 3)])
    ((alert, seqs),) = correlator.take_alerts()
    assert (alert.opened_seq, seqs) == (3, [1, 2, 3, 4])


def test_hostile_values_are_bounded_in_number_and_in_length() -> None:
    spread = Spec("spread", "value_count", (A,), ("ip",), 3600, (("gte", 3),), ("query",))
    correlator = correlator_of(spread, limits=Limits(max_members=10_000))

    for n in range(1, 301):
        fields = (("ip", "x"), ("query", f"{n}" + "x" * 50_000))
        feed(correlator, [Seen(n // 10, n, frozenset({A}), fields)])

    ((alert, _),) = correlator.take_alerts()
    assert alert.approximate
    assert correlator.size == (1, 100)
    assert sum(len(value or b"") for value in correlator.take_snapshot().values()) < 100 * 300


def test_a_long_value_is_not_taken_for_another_one() -> None:
    correlator = correlator_of(SPREAD)

    feed(correlator, [seen(n, n, user="x" * 10_000 + f"{n}") for n in (1, 2, 3)])

    assert len(correlator.take_alerts()) == 1


def test_a_chain_over_a_base_that_lost_events_says_approximate() -> None:
    correlator = correlator_of(
        Spec("burst", "event_count", (A,), ("ip",), 60, (("gte", 3),)), THEN,
        limits=Limits(max_members=500),
    )  # fmt: skip

    feed(correlator, [*(seen(n, n) for n in range(1, 9)), seen(9, 9, B)])

    ((alert, _),) = correlator.take_alerts()
    assert alert.approximate


def test_an_event_in_order_costs_the_same_however_many_are_in_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    entered = [0]
    enter = Steps.enter

    def counting(measure: Steps, fact: int | None, time_us: int) -> None:
        entered[0] += 1
        enter(measure, fact, time_us)

    monkeypatch.setattr(Steps, "enter", counting)
    monkeypatch.setattr(MeasuredWindow, "_again", None)  # only for what comes late
    correlator = correlator_of(Spec("order", "temporal_ordered", (A, B), ("ip",), 3600))

    feed(correlator, [seen(n, n // 4, A) for n in range(1, 3001)])

    assert entered[0] == 3000


@pytest.mark.parametrize("garbage", [b"\xc1", b"\x90", msgspec.msgpack.encode({"times": []}), b"shorten"])
def test_a_row_of_another_form_is_dropped_and_its_group_starts_empty(garbage: bytes) -> None:
    before = correlator_of(SPREAD)
    feed(before, [seen(n, n, user=f"{n}") for n in (1, 2)])
    rows = {row: value for row, value in before.take_snapshot().items() if value is not None}
    (group,) = [row for row in rows if b"group" in row]
    fields = msgspec.msgpack.decode(rows[group])
    fields[2] = [1, 2]  # times: three events, where the other columns have two
    fields[2].append(3)
    rows[group] = msgspec.msgpack.encode(fields) if garbage == b"shorten" else garbage

    after = correlator_of(SPREAD)
    after.restore(rows.items())
    feed(after, [seen(3, 3, user="3")])

    assert after.take_alerts() == []
    assert after.size == (1, 1)
    assert after.take_snapshot()[group] is not None
