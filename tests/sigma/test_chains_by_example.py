"""Chains where they are easily wrong: late events, events that only stand behind results, joining, bounds."""

from itertools import count

import pytest
from chain_kit import Seen, Spec
from chain_rules import SINGLE, A, B, event_of, feed, id_of, rules_of
from correlation_kit import INCARNATION, START_US

from socmon.event import SECOND_US, Match, clock_of
from socmon.sigma.correlator import Correlator
from socmon.sigma.joining import Limits
from socmon.sigma.measures import Distinct

PAIR = Spec("pair", "event_count", (A,), ("ip",), 10, (("gte", 2),))


def seen(seq: int, at: int, rule: str = A) -> Seen:
    return Seen(at, seq, frozenset({rule}), (("ip", "x"), ("user", f"u{seq}")))


def made(*specs: Spec, limits: Limits | None = None) -> Correlator:
    rules = rules_of((*SINGLE, *specs))
    assert not rules.errors
    return Correlator(rules.rules, INCARNATION, limits)


def run(specs: list[Spec], events: list[Seen], limits: Limits) -> Correlator:
    correlator = made(*specs, limits=limits)
    for one in events:
        feed(correlator, [one])
    return correlator


def seqs_of(correlator: Correlator) -> list[list[int]]:
    return [sorted(seqs) for _, seqs in correlator.take_alerts()]


def test_a_late_event_joins_a_window_that_begins_after_it_and_has_a_result_before_which_it_stands() -> None:
    top = Spec("top", "temporal_ordered", ("pair", B), ("ip",), 2)
    events = [seen(1, 1), seen(2, 3), seen(3, 10), seen(4, 11, B), seen(5, 2)]

    assert seqs_of(run([PAIR, top], events, Limits(keep_events=None))) == [[1, 2, 3, 4, 5]]


def test_the_condition_is_not_evaluated_at_events_that_only_stand_behind_results() -> None:
    burst = Spec("burst", "event_count", (A,), ("ip",), 2, (("gte", 3),))
    top = Spec("top", "temporal_ordered", ("burst", B), ("ip",), 3)
    events = [seen(1, 3), seen(2, 4), seen(3, 5), seen(4, 6, B), seen(5, 7), seen(6, 8), seen(7, 9)]

    assert seqs_of(run([burst, top], events, Limits(keep_events=None))) == [[1, 2, 3, 4]]


def test_a_chain_that_stays_true_is_one_alert_however_long_its_timespan() -> None:
    top = Spec("top", "event_count", ("burst",), ("ip",), 3600, (("gte", 2),))
    burst = Spec("burst", "event_count", (A,), ("ip",), 10, (("gte", 3),))
    numbers = count(1)
    events = [seen(next(numbers), start + n) for start in (0, 600, 1200, 1800) for n in range(3)]

    correlator = run([burst, top], events, Limits(keep_events=None))

    ((alert, seqs),) = correlator.take_alerts()
    assert (alert.count, alert.opened_seq, sorted(seqs)) == (12, 6, list(range(1, 13)))


def test_events_behind_a_result_are_remembered_for_the_timespans_of_base_and_chain_together() -> None:
    burst = Spec("burst", "event_count", (A,), ("ip",), 600, (("gte", 3),))
    top = Spec("top", "temporal_ordered", ("burst", B), ("ip",), 2)
    events = [seen(1, 1), seen(2, 2), seen(3, 500), seen(4, 600), seen(5, 601, B)]

    correlator = run([burst, top], events, Limits(lateness_us=0, suppress_us=0, keep_events=None))

    assert seqs_of(correlator) == [[1, 2, 3, 4, 5]]


def test_events_behind_a_result_join_a_chain_that_was_restored() -> None:
    burst = Spec("burst", "event_count", (A,), ("ip",), 600, (("gte", 3),))
    top = Spec("top", "temporal_ordered", ("burst", B), ("ip",), 2)
    before = made(burst, top)
    feed(before, [seen(1, 1), seen(2, 2), seen(3, 600)])
    after = made(burst, top)
    after.restore((row, value) for row, value in before.take_snapshot().items() if value is not None)

    feed(after, [seen(4, 601, B)])

    assert seqs_of(after) == [[1, 2, 3, 4]]


def test_a_full_group_costs_an_event_in_order_no_recount(monkeypatch: pytest.MonkeyPatch) -> None:
    recounted = [0]
    enter_all = Distinct.enter_all

    def counting(measure: Distinct, facts: list[str | None], times_us: list[int]) -> None:
        recounted[0] += 1
        enter_all(measure, facts, times_us)

    monkeypatch.setattr(Distinct, "enter_all", counting)
    spread = Spec("spread", "value_count", (A,), ("ip",), 3600, (("gte", 3),), ("user",))

    correlator = run([spread], [seen(n, n) for n in range(1, 61)], Limits(max_members=1000))

    assert recounted[0] == 0
    assert correlator.size == (1, 10)
    ((alert, _),) = correlator.take_alerts()
    assert (alert.count, alert.approximate) == (60, True)


def test_a_chain_groups_by_the_events_host_and_a_field_of_that_name_wins() -> None:
    burst = Spec("burst", "event_count", (A,), ("host",), 10, (("gte", 2),))
    top = Spec("top", "temporal_ordered", ("burst", B), ("host",), 10)
    correlator = made(burst, top)
    rows = [("h1", A), ("h2", A), ("h1", A), ("h2", B), ("h1", B)]
    named = [(A, 11), (A, 12), (B, 13)]
    said = [(host, rule, "") for host, rule in rows] + [(f"h{n}", rule, "field") for rule, n in named]

    for n, (host, rule, field) in enumerate(said, 1):
        event = event_of(Seen(n, n, frozenset({rule}), ()))
        event.host = host
        event.fields |= {"host": field} if field else {}
        assert event.time_us is not None
        correlator.process([Match(event, [id_of(rule)], event.time_us)], {clock_of(event): event.time_us})

    assert [(alert.group, alert.count) for alert, _ in correlator.take_alerts()] == [
        ({"host": "h1"}, 3),
        ({"host": "field"}, 3),
    ]


def test_an_event_without_host_and_without_such_a_field_is_counted_and_left_out() -> None:
    correlator = made(Spec("one", "event_count", (A,), ("host",), 10, (("gte", 1),)))
    event = event_of(seen(1, 1))
    event.host = ""

    correlator.process([Match(event, [id_of(A)], START_US + SECOND_US)], {})

    assert correlator.take_alerts() == []
    assert correlator.tally.missing_field == 1


def test_entities_list_no_value_of_more_than_a_thousand_characters() -> None:
    correlator = made(Spec("one", "event_count", (A,), ("ip",), 10, (("gte", 1),)))

    for n, size in enumerate((1000, 1001), 1):
        feed(correlator, [Seen(n, n, frozenset({A}), (("ip", "x"), ("user", "u" * size)))])

    ((alert, _),) = correlator.take_alerts()
    assert alert.entities["user"] == ["u" * 1000]
