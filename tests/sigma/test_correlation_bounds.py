"""Groups that are full, evicted or written by an attacker: what is left is bounded, goes on, and says so."""

from collections.abc import Sequence

import pytest
from chain_kit import Seen, Spec
from chain_rules import SINGLE, A, B, feed, rules_of
from correlation_kit import INCARNATION

from socmon.sigma.correlator import Correlator
from socmon.sigma.joining import Limits
from socmon.sigma.keeper import Keeper

ATLEAST = (("gte", 1),)
OF_EACH_TYPE = [
    Spec("top", "event_count", (A,), ("ip",), 60, ATLEAST),
    Spec("top", "value_count", (A,), ("ip",), 60, ATLEAST, ("user",)),
    Spec("top", "temporal", (A, B), ("ip",), 60, ATLEAST),
    Spec("top", "temporal_ordered", (A, B), ("ip",), 60),
    Spec("top", "value_sum", (A,), ("ip",), 60, ATLEAST, ("user",)),
    Spec("top", "value_avg", (A,), ("ip",), 60, ATLEAST, ("user",)),
    Spec("top", "value_percentile", (A,), ("ip",), 60, ATLEAST, ("user",), "50"),
    Spec("top", "value_percentile", (A,), ("ip",), 60, ATLEAST, ("user",)),
]
each_type = pytest.mark.parametrize("spec", OF_EACH_TYPE, ids=lambda spec: f"{spec.type}{spec.percentile or ''}")


def made(*specs: Spec, limits: Limits) -> Correlator:
    rules = rules_of((*SINGLE, *specs))
    assert not rules.errors
    return Correlator(rules.rules, INCARNATION, limits)


def seen(seq: int, at: int, rule: str = A, ip: str = "x", source: str = "a") -> Seen:
    return Seen(at, seq, frozenset({rule}), (("ip", ip), ("user", str(seq))), source=source)


@each_type
def test_an_event_older_than_all_of_a_full_group_is_dropped(spec: Spec) -> None:
    correlator = made(spec, limits=Limits(max_members=300))

    feed(correlator, [seen(seq, at) for seq, at in enumerate((5, 6, 7, 4, 3, 8), 1)])

    assert correlator.size == (1, 3)


@each_type
def test_a_group_has_room_for_an_event_however_small_the_bound(spec: Spec) -> None:
    correlator = made(spec, limits=Limits(max_members=20))

    feed(correlator, [seen(n, n) for n in range(1, 6)])

    assert correlator.size[0] == 1
    assert 1 <= correlator.size[1] <= 3


def test_ordered_rules_have_room_to_complete_however_small_the_bound() -> None:
    correlator = made(OF_EACH_TYPE[3], limits=Limits(max_members=20))

    feed(correlator, [seen(1, 1), seen(2, 2, B)])

    assert [alert.count for alert, _ in correlator.take_alerts()] == [2]


def test_an_alert_that_might_have_been_another_ones_is_approximate_with_rules_too() -> None:
    correlator = made(limits=Limits(max_groups=1))

    feed(correlator, [seen(1, 1), seen(2, 2, source="b"), seen(3, 3)])

    assert [(alert.host, alert.opened_seq, alert.approximate) for alert, _ in correlator.take_alerts()] == [
        ("a", 1, False),
        ("b", 2, True),  # of whom the evicted group was is not known any more
        ("a", 3, True),
    ]


def test_a_group_that_was_there_before_an_eviction_stays_exact() -> None:
    correlator = made(limits=Limits(max_groups=2))

    for event in (seen(1, 1, source="a"), seen(2, 2, source="b"), seen(3, 3, source="a"), seen(4, 4, source="c")):
        feed(correlator, [event])
    feed(correlator, [seen(5, 5, source="a")])

    told = {alert.host: (alert.count, alert.approximate) for alert, _ in correlator.take_alerts()}
    assert told == {"a": (3, False), "b": (1, False), "c": (1, True)}


def test_what_follows_a_full_approximate_alert_is_approximate() -> None:
    limits = Limits(max_groups=1, max_alert_us=10_000_000, suppress_us=20_000_000)
    correlator = made(limits=limits)

    feed(correlator, [seen(1, 1), seen(2, 2, source="b"), seen(3, 20), seen(4, 29), seen(5, 45)])

    told = [(alert.opened_seq, alert.approximate) for alert, _ in correlator.take_alerts()]
    assert told == [(1, False), (2, True), (3, True), (5, True)]


def test_an_alert_that_a_full_group_may_have_opened_earlier_is_approximate() -> None:
    spread = Spec("spread", "value_count", (A,), ("ip",), 10, (("gte", 3),), ("user",))
    correlator = made(spread, limits=Limits(max_members=100))
    rows = [
        (1, "u1"),
        (2, "u2"),
        (3, "u2"),
        (4, "u2"),
        (5, "u2"),
        (6, "u3"),
    ]  # three users, if the first is still there
    rows += [(18, "u4"), (19, "u5"), (20, "u6")]

    for n, (at, user) in enumerate(rows, 1):
        feed(correlator, [Seen(at, n, frozenset({A}), (("ip", "x"), ("user", user)))])

    assert [(alert.opened_seq, alert.approximate) for alert, _ in correlator.take_alerts()] == [(9, True)]


def test_what_one_event_brings_to_a_chain_is_bounded_too() -> None:
    burst = Spec("burst", "event_count", (A,), ("ip",), 60, (("gte", 4),))
    top = Spec("top", "event_count", ("burst",), ("ip",), 60, (("gte", 5),))
    correlator = made(burst, top, limits=Limits(max_members=10))

    feed(correlator, [seen(n, n, ip=ip) for n, ip in enumerate("abcdefxxxx", 1)])

    assert 0 < correlator.size[1] <= 10


def test_a_chain_that_may_lack_a_result_of_an_evicted_base_is_approximate() -> None:
    burst = Spec("burst", "event_count", (A,), ("ip", "user"), 60, (("gte", 2),))
    lonely = Spec("lonely", "event_count", ("burst", B), ("ip",), 60, (("lte", 1),))
    correlator = made(burst, lonely, limits=Limits(max_groups=2))
    rows = [("x", "1"), ("y", "2"), ("z", "3"), ("x", "1")]

    for n, (ip, user) in enumerate(rows, 1):
        feed(correlator, [Seen(n, n, frozenset({A}), (("ip", ip), ("user", user)))])
    feed(correlator, [Seen(5, 5, frozenset({B}), (("ip", "x"),))])

    assert [(alert.count, alert.approximate) for alert, _ in correlator.take_alerts()] == [(1, True)]


def test_a_group_of_a_long_value_keeps_its_beginning_and_is_told_apart() -> None:
    spec = Spec("top", "event_count", (A,), ("ip",), 60, (("gte", 2),))
    correlator = made(spec, limits=Limits())
    names = ["x" * 50_000 + end for end in "abab"]

    feed(correlator, [seen(n, n, ip=name) for n, name in enumerate(names, 1)])

    groups = [alert.group["ip"] for alert, _ in correlator.take_alerts()]
    assert len(set(groups)) == 2
    assert all(len(group) == 256 and group.startswith("x" * 191 + "…") for group in groups)
    assert all(len(row) < 1000 for row in correlator.take_snapshot())


def test_a_long_value_is_one_value_in_an_event_and_in_a_result() -> None:
    burst = Spec("burst", "event_count", (A,), ("ip", "user"), 60, (("gte", 2),))
    spread = Spec("spread", "value_count", ("burst", B), ("ip",), 60, (("gte", 2),), ("user",))
    correlator = made(burst, spread, limits=Limits())
    long = (("ip", "x"), ("user", "u" * 300))

    feed(correlator, [Seen(n, n, frozenset({rule}), long) for n, rule in enumerate((A, A, B), 1)])

    assert correlator.take_alerts() == []


def test_a_group_keeps_a_bounded_number_of_alerts_and_what_follows_says_so() -> None:
    correlator = made(limits=Limits(suppress_us=0, lateness_us=86_400_000_000))

    feed(correlator, [seen(n, 10 * n) for n in range(1, 400)])
    rows = correlator.take_snapshot()
    feed(correlator, [seen(400, 10), seen(401, 3990)])

    assert max(len(row) for row in rows.values() if row) < 300 * 120
    told = {alert.opened_seq: (alert.count, alert.approximate) for alert, _ in correlator.take_alerts()}
    assert told[1] == (1, False)
    assert told[400] == (1, True)  # it might have joined the first
    assert told[399] == (2, False)


def test_an_event_of_many_rules_with_aliases_is_read_once_for_each_field(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    fact_of = Keeper.fact

    def counting(keeper: Keeper, values: Sequence[str], matched: Sequence[str], weight: int) -> object:
        asked.append(len(matched))
        return fact_of(keeper, values, matched, weight)

    monkeypatch.setattr(Keeper, "fact", counting)
    rules = [f"rule_{number}" for number in range(50)]
    aliases = (("who", tuple((rule, "user" if number % 2 else "target") for number, rule in enumerate(rules))),)
    top = Spec("top", "temporal", tuple(rules), ("who",), 60, (("gte", 25),), aliases=aliases)
    singles = [Spec(name, "rule", (name,), ("host",)) for name in rules]
    correlator = Correlator(rules_of((*singles, top)).rules, INCARNATION)

    feed(correlator, [Seen(1, 1, frozenset(rules), (("user", "u"), ("target", "t")))])

    assert asked == [25, 25]
    assert [alert.group["who"] for alert, _ in correlator.take_alerts()] == ["t", "u"]
