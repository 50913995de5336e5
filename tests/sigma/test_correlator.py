"""Correlation against a brute-force reference (docs/semantics.md, "Correlation"), and which alerts it makes of it."""

import pytest
from correlation_kit import BURST, START_US, brute_force, burst_rules, event, feed, made, rule
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from socmon.event import NOBODY, SECOND_US, Alert, Event, Match, Owner
from socmon.sigma.correlator import Correlator
from socmon.sigma.joining import Limits
from socmon.sigma.rule import CountOp
from socmon.sigma.windows import EventCountWindow

HOUR_S = 3600


def alerts_of(correlator: Correlator) -> list[Alert]:
    return [alert for alert, _ in correlator.take_alerts()]


def test_a_window_is_inclusive_at_both_ends() -> None:
    correlator = made(burst_rules())

    feed(correlator, [event(n + 1, at_s) for n, at_s in enumerate((0, 15, 30, 45, 60))])

    (alert,) = alerts_of(correlator)
    assert (alert.count, alert.first_us, alert.last_us) == (5, START_US, START_US + 60 * SECOND_US)
    assert alert.rule_id == BURST
    assert alert.group == {"src_ip": "10.0.0.1"}


def test_one_second_more_than_the_timespan_does_not_fire() -> None:
    correlator = made(burst_rules())

    feed(correlator, [event(n + 1, at_s) for n, at_s in enumerate((0, 15, 30, 45, 61))])

    assert alerts_of(correlator) == []


def test_a_repeated_message_counts_as_often_as_it_says() -> None:
    correlator = made(burst_rules())

    feed(correlator, [event(1, 0), event(2, 1, repeat=4)])

    (alert,) = alerts_of(correlator)
    assert alert.count == 5
    assert alert.revision == 1


def test_further_events_join_while_the_condition_holds() -> None:
    correlator = made(burst_rules())

    feed(correlator, [event(n, n) for n in range(1, 9)])

    (alert,) = alerts_of(correlator)
    assert (alert.count, alert.revision, alert.opened_seq) == (8, 4, 5)


def test_a_condition_that_stays_true_keeps_one_alert_however_long_the_timespan() -> None:
    correlator = made(burst_rules(value=3, timespan_s=HOUR_S))

    feed(correlator, [event(n, n * 1200) for n in range(1, 20)])

    assert [alert.count for alert in alerts_of(correlator)] == [19]


def test_a_second_burst_joins_within_suppress_and_opens_anew_after_it() -> None:
    correlator = made(burst_rules())
    bursts = [(base_s + n, base_s) for base_s in (0, 200, 1000) for n in range(5)]

    feed(correlator, [event(seq, at_s) for seq, (at_s, _) in enumerate(bursts, start=1)])

    assert [(alert.count, alert.opened_seq) for alert in alerts_of(correlator)] == [(10, 5), (5, 15)]


def test_an_alert_lasts_at_most_its_limit() -> None:
    correlator = made(burst_rules(value=1), Limits(max_alert_us=HOUR_S * SECOND_US))

    feed(correlator, [event(n, n * 100) for n in range(1, 41)])

    spans_us = [alert.last_us - alert.first_us for alert in alerts_of(correlator)]
    assert len(spans_us) == 2
    assert max(spans_us) <= HOUR_S * SECOND_US


def test_an_alert_that_is_full_is_followed_by_one_of_new_events_only() -> None:
    correlator = made(burst_rules(value=3, timespan_s=24 * HOUR_S), Limits(keep_events=None))

    feed(correlator, [event(n, n * 600) for n in range(1, 3 * 144)])

    alerts = correlator.take_alerts()
    seqs = [seq for _, taken in alerts for seq in taken]
    assert len(alerts) == 3
    assert seqs == list(range(1, 3 * 144))
    assert len({alert.id for alert, _ in alerts}) == 3


def test_an_event_that_two_rules_of_a_correlation_match_is_one_event() -> None:
    other = "33333333-3333-4333-8333-333333333333"
    base, burst = burst_rules(value=3)
    assert burst.correlation is not None
    both = replace(burst, correlation=replace(burst.correlation, rules=(base.id, other)))
    correlator = made([base, rule(other, alerts=False), both])

    for n in (1, 2):
        item = event(n, n)
        correlator.process([Match(item, [base.id, other], item.time_us or 0)], {})

    assert alerts_of(correlator) == []


def test_a_range_holds_between_its_ends_only() -> None:
    base, burst = burst_rules(value=1, op="gt", timespan_s=10)
    assert burst.correlation is not None
    between = replace(burst, correlation=replace(burst.correlation, also=(("lte", 3),)))
    correlator = made([base, between], Limits(suppress_us=0))

    fired = []
    for n in range(1, 6):
        feed(correlator, [event(n, n)])
        fired.append(bool(correlator.take_alerts()))

    assert fired == [False, True, True, False, False]


def test_a_mark_made_while_our_clock_ran_ahead_makes_nothing_late() -> None:
    correlator = made(burst_rules())
    feed(correlator, [event(1, 7 * HOUR_S)])

    feed(correlator, [event(n, n) for n in range(2, 7)])

    assert [alert.count for alert in alerts_of(correlator)] == [5]
    assert correlator.tally.late == 0


def test_evidence_is_the_lowest_and_highest_sequences_in_whatever_order_they_joined() -> None:
    correlator = made(burst_rules(value=4, timespan_s=10), Limits(keep_events=2))
    feed(correlator, [event(n, at_s) for n, at_s in ((1, 0), (2, 100), (3, 101), (4, 102), (5, 103))])
    feed(correlator, [event(n, at_s) for n, at_s in ((6, 1), (7, 2), (8, 3))])

    ((alert, seqs),) = correlator.take_alerts()

    assert (alert.count, seqs) == (8, [1, 2, 7, 8])


def test_late_events_cost_no_more_steps_than_the_windows_that_can_change(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = [0]
    holds = EventCountWindow.holds

    def counting(window: EventCountWindow, total: int) -> bool:
        looked_at[0] += 1
        return holds(window, total)

    monkeypatch.setattr(EventCountWindow, "holds", counting)
    correlator = made(burst_rules())
    feed(correlator, [event(n, n / 40) for n in range(1, 4001)])
    looked_at[0] = 0

    feed(correlator, [event(4000 + n, n / 20) for n in range(1, 1001)])

    assert looked_at[0] <= 1010
    assert sum(alert.count for alert in alerts_of(correlator)) == 5000


def test_a_late_event_within_its_limit_is_put_in_its_place_and_fires() -> None:
    correlator = made(burst_rules())

    feed(correlator, [event(n, at_s) for n, at_s in enumerate((0, 10, 20, 50, 200), start=1)])
    feed(correlator, [event(6, 30)])

    (alert,) = alerts_of(correlator)
    assert (alert.count, alert.last_us) == (5, START_US + 50 * SECOND_US)


def test_a_match_too_far_behind_its_own_source_is_counted_and_left_out() -> None:
    correlator = made(burst_rules(value=1))

    feed(correlator, [event(1, 1000), event(2, 699)])

    assert [alert.count for alert in alerts_of(correlator)] == [1]
    assert correlator.tally.late == 1


def test_a_source_is_late_against_itself_only() -> None:
    correlator = made(burst_rules())

    feed(correlator, [event(1, 7200, peer="ahead")])
    feed(correlator, [event(n, n, peer="behind") for n in range(2, 7)])

    assert [alert.count for alert in alerts_of(correlator)] == [5]
    assert correlator.tally.late == 0


def test_two_hosts_behind_one_relay_have_clocks_of_their_own() -> None:
    correlator = made(burst_rules())

    feed(correlator, [event(1, 7200, host="fast"), *(event(n, n, host="slow") for n in range(2, 7))])

    assert [alert.count for alert in alerts_of(correlator)] == [5]


def test_events_of_a_source_days_behind_are_correlated_among_themselves() -> None:
    correlator = made(burst_rules())

    feed(correlator, [event(1, 9 * 24 * HOUR_S, peer="today")])
    for n in range(2, 7):
        feed(correlator, [event(n, n, peer="last week")])

    assert [alert.count for alert in alerts_of(correlator)] == [5]


def test_a_match_without_the_group_field_is_counted_and_left_out() -> None:
    correlator = made(burst_rules(value=1))

    feed(correlator, [event(1, 0, ip=None)])

    assert alerts_of(correlator) == []
    assert correlator.tally.missing_field == 1


def test_a_rule_without_correlation_alerts_per_host() -> None:
    rules = [rule("11111111-1111-4111-8111-111111111111")]
    correlator = made(rules)

    feed(correlator, [event(1, 0, host="a"), event(2, 1, host="b"), event(3, 2, host="a", repeat=3)])

    assert [(alert.group, alert.count) for alert in alerts_of(correlator)] == [({"host": "a"}, 4), ({"host": "b"}, 1)]


def test_an_alert_is_its_opening_events_owners_and_lists_the_others() -> None:
    correlator = made(burst_rules(value=3))
    events = [event(n, n, host=f"h{n}") for n in range(1, 6)]
    for item, agency in zip(events, ["", "a", "b", "c", "b"], strict=True):
        item.owner = Owner(agency, "dvc", 4) if agency else NOBODY

    feed(correlator, events)

    ((alert, _),) = correlator.take_alerts()
    assert (alert.agency, alert.system, alert.system_level) == ("b", "dvc", 4)
    assert alert.entities["agency"] == ["b", "c"]


def test_first_and_last_events_are_kept_and_each_is_handed_out_once() -> None:
    correlator = made(burst_rules(value=1), Limits(keep_events=3))

    feed(correlator, [event(n, n) for n in range(1, 11)])
    ((_, first_handed),) = correlator.take_alerts()
    feed(correlator, [event(11, 11)])
    ((_, then_handed),) = correlator.take_alerts()

    assert first_handed == [1, 2, 3, 8, 9, 10]
    assert then_handed == [11]


def test_a_full_group_drops_its_oldest_event_and_the_alert_says_so() -> None:
    correlator = made(burst_rules(value=5), Limits(max_members=600))  # 6 events a group

    feed(correlator, [event(n, n) for n in range(1, 10)])

    (alert,) = alerts_of(correlator)
    assert alert.approximate


def test_the_number_of_groups_is_bounded_and_the_coldest_goes() -> None:
    correlator = made(burst_rules(value=2), Limits(max_groups=10))

    feed(correlator, [event(n, n / 10, ip=f"10.0.0.{n}") for n in range(1, 31)])
    feed(correlator, [event(31, 4, ip="10.0.0.30")])

    assert correlator.size[0] == 10
    assert correlator.tally.evicted == 20
    assert [alert.group["src_ip"] for alert in alerts_of(correlator)] == ["10.0.0.30"]


def test_state_is_forgotten_once_no_event_in_time_can_reach_it() -> None:
    correlator = made(burst_rules(value=3))

    feed(correlator, [event(1, 0), event(2, 1)])
    feed(correlator, [event(3, 2 * HOUR_S, ip="10.9.9.9")])
    feed(correlator, [])

    assert correlator.size == (1, 1)


@pytest.mark.parametrize(
    ("op", "holds"),
    [
        ("lt", [True, False, False, False]),
        ("lte", [True, True, False, False]),
        ("eq", [False, True, False, False]),
        ("neq", [True, False, True, True]),
        ("gt", [False, False, True, True]),
        ("gte", [False, True, True, True]),
    ],
)
def test_each_operator_is_evaluated_at_each_event_and_never_over_nothing(op: CountOp, holds: list[bool]) -> None:
    correlator = made(burst_rules(value=2, op=op, timespan_s=10), Limits(suppress_us=0))

    fired = []
    for n in range(1, 5):
        feed(correlator, [event(n, n)])
        fired.append(bool(correlator.take_alerts()))

    assert fired == holds


failures = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(["10.0.0.1", "10.0.0.2"]), st.sampled_from([1, 1, 1, 3])), max_size=40
)


def steps(rows: list[tuple[int, str, int]], *, in_order: bool) -> list[Event]:
    """Events a few seconds apart; out of order within the lateness limit unless `in_order`."""
    at_s = 0
    events = []
    for seq, (delta_s, ip, repeat) in enumerate(rows, start=1):
        at_s = at_s + delta_s if in_order else seq * 12 + delta_s * 6
        events.append(event(seq, at_s, ip=ip, repeat=repeat))
    return events


@settings(max_examples=200, deadline=None)
@given(failures, st.booleans(), st.integers(1, 7))
def test_alerts_hold_exactly_the_events_that_brute_force_finds(
    rows: list[tuple[int, str, int]], in_order: bool, value: int
) -> None:
    events = steps(rows, in_order=in_order)
    correlator = made(burst_rules(value=value), Limits(keep_events=None))

    for item in events:
        feed(correlator, [item])

    found: dict[str, set[int]] = {}
    for alert, seqs in correlator.take_alerts():
        found.setdefault(alert.group["src_ip"], set()).update(seqs)
        in_alert = [item for item in events if item.record.seq in seqs]
        assert alert.count == sum(item.repeat for item in in_alert)
        assert alert.first_us == min(item.time_us or 0 for item in in_alert)
        assert alert.last_us == max(item.time_us or 0 for item in in_alert)
    assert correlator.tally.late == 0
    assert found == brute_force(events, value=value, timespan_s=60)
