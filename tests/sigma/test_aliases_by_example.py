"""Field aliases and deep chains, loaded from text and fed with events of our own; the specification's example too."""

from collections.abc import Sequence
from typing import Any

import pytest
from correlation_kit import INCARNATION, START_US
from sigma_kit import loaded

from socmon.event import SECOND_US, Alert, Event, LogSource, Match, Record, Source, clock_of
from socmon.sigma import RuleSet
from socmon.sigma.correlator import Correlator
from socmon.sigma.explaining import counted
from socmon.sigma.joining import Limits


def rule(name: str, match: str = "") -> str:
    return (
        f"title: {name}\nname: {name}\nlogsource: {{product: test}}\n"
        f"detection: {{sel: {{{match or f'{name}: 1'}}}, condition: sel}}\n"
    )


def over(name: str, kind: str, rules: str, group_by: str, span: str, more: str) -> str:
    return (
        f"title: {name}\nname: {name}\ncorrelation:\n  type: {kind}\n  rules: {rules}\n  group-by: {group_by}\n"
        f"  timespan: {span}\n  {more}\n"
    )


class Run:
    """A correlator over rules in text; events match what they match."""

    def __init__(self, *documents: str, limits: Limits | None = None) -> None:
        self.rules: RuleSet = loaded("---\n".join(documents))
        self.limits = limits or Limits(keep_events=None)
        self.correlator = Correlator(self.rules.rules, INCARNATION, self.limits)
        self.seq = 0

    def event(self, at_s: int, fields: dict[str, Any]) -> Event:
        self.seq += 1
        time_us = START_US + at_s * SECOND_US
        record = Record(b"x", Source("logs", "peer"), time_us, seq=self.seq)
        return Event(record, time_us, "stated", "web", LogSource(product="test"), fields)

    def feed(self, at_s: int, **fields: object) -> list[tuple[str, dict[str, str] | None, Any]]:
        """Correlate one event; what it counts for."""
        event = self.event(at_s, {name.replace("__", "."): value for name, value in fields.items()})
        matched = self.rules.match(event.fields, event.logsource)
        assert event.time_us is not None
        if matched:
            self.correlator.process([Match(event, matched, event.time_us)], {clock_of(event): event.time_us})
        return [
            (each.rule.title, each.group, each.lacking or each.number)
            for each in counted(self.rules, self.correlator, event, matched)
        ]

    def alerts(self) -> list[tuple[str, dict[str, str], list[int]]]:
        return [(alert.title, alert.group, sorted(seqs)) for alert, seqs in self.correlator.take_alerts()]


PAIR = "condition: {gte: 2}\n  aliases: {ip: {a: src, b: dst}}"
EITHER = over("either", "event_count", "[a, b]", "[ip]", "10s", PAIR)


def test_the_example_of_the_specification_joins_what_has_the_same_two_addresses() -> None:
    """Sigma correlation rules specification 2.1, "Field Name Aliases Example"."""
    aliases = (
        "aliases:\n    internal_ip: {internal_error: destination.ip, new_network_connection: source.ip}\n"
        "    remote_ip: {internal_error: source.ip, new_network_connection: destination.ip}"
    )
    run = Run(
        rule("internal_error", "http.response.status_code: 500"),
        rule("new_network_connection", "event.category: network, event.type: connection, event.outcome: success"),
        over(
            "back",
            "temporal",
            "[internal_error, new_network_connection]",
            "[internal_ip, remote_ip]",
            "10s",
            aliases,
        ),
    )
    error: dict[str, object] = {
        "http__response__status_code": 500,
        "source__ip": "6.6.6.6",
        "destination__ip": "10.0.0.1",
    }
    network: dict[str, object] = {
        "event__category": "network",
        "event__type": "connection",
        "event__outcome": "success",
    }

    run.feed(0, **error)
    run.feed(1, **network, source__ip="10.0.0.1", destination__ip="9.9.9.9")  # to somebody else
    run.feed(2, **network, source__ip="6.6.6.6", destination__ip="10.0.0.1")  # the other way round
    assert run.alerts() == []
    run.feed(10, **network, source__ip="10.0.0.1", destination__ip="6.6.6.6")

    assert run.alerts() == [("back", {"internal_ip": "10.0.0.1", "remote_ip": "6.6.6.6"}, [1, 4])]


def test_the_chain_of_the_specification_finds_the_login_that_follows_ten_failures_of_its_user() -> None:
    """Sigma correlation rules specification 2.1, "Failed Logins Followed by Successful Login"."""
    run = Run(
        over("breach", "temporal_ordered", "[multiple_failed_login, successful_login]", "[User]", "10m", ""),
        over("multiple_failed_login", "event_count", "[failed_login]", "[User]", "10m", "condition: {gte: 10}"),
        rule("failed_login", "EventID: [529, 4625]"),
        rule("successful_login", "EventID: [528, 4624]"),
    )

    for at in range(10):
        run.feed(at, EventID=4625, User="an")
        run.feed(at, EventID=529, User="bao" if at else "chi")
    for user in ("bao", "chi", "an"):
        run.feed(60, EventID=4624, User=user)

    assert run.alerts() == [("breach", {"User": "an"}, [*range(1, 20, 2), 23])]


def test_an_event_that_two_rules_match_under_different_fields_belongs_to_both_groups() -> None:
    run = Run(rule("a"), rule("b"), EITHER)

    told = run.feed(0, a=1, b=1, src="x", dst="y")
    run.feed(1, a=1, src="y")
    run.feed(2, b=1, dst="x")

    assert told == [("either", {"ip": "x"}, 1), ("either", {"ip": "y"}, 1)]
    assert run.alerts() == [("either", {"ip": "y"}, [1, 2]), ("either", {"ip": "x"}, [1, 3])]


def test_an_event_that_two_rules_lead_to_one_group_is_one_event_of_it() -> None:
    run = Run(rule("a"), rule("b"), EITHER)

    run.feed(0, a=1, b=1, src="x", dst="x")

    assert run.alerts() == []


def test_in_each_group_an_event_stands_for_the_rules_that_lead_there_only() -> None:
    run = Run(
        rule("a"), rule("b"),
        over("runs", "temporal_ordered", "[a, b]", "[ip]", "10s", "aliases: {ip: {a: src, b: dst}}"),
    )  # fmt: skip

    run.feed(0, a=1, b=1, src="x", dst="y")
    run.feed(1, a=1, b=1, src="z", dst="y")
    assert run.alerts() == []
    run.feed(2, a=1, b=1, src="y", dst="x")

    assert run.alerts() == [("runs", {"ip": "x"}, [1, 3])]


def test_a_rule_that_an_alias_leaves_out_has_the_field_of_its_name() -> None:
    run = Run(rule("a"), rule("b"), EITHER.replace(", b: dst", ""))

    run.feed(0, a=1, src="x", ip="z")
    run.feed(1, b=1, src="z", ip="x")

    assert run.alerts() == [("either", {"ip": "x"}, [1, 2])]


def test_an_event_that_lacks_the_field_under_all_its_rules_is_counted_once_and_says_what_it_lacks() -> None:
    run = Run(rule("a"), rule("b"), EITHER)

    assert run.feed(0, a=1, b=1, ip="x") == [("either", None, ("src", "dst"))]
    assert run.correlator.tally.missing_field == 1
    assert run.feed(1, a=1, b=1, dst="x") == [("either", {"ip": "x"}, 1)]
    assert run.correlator.tally.missing_field == 1


def test_values_are_counted_by_their_alias() -> None:
    more = "condition: {gte: 3, field: who}\n  aliases: {who: {a: user, b: target}}"
    run = Run(rule("a"), rule("b"), over("many", "value_count", "[a, b]", "[ip]", "10s", more))

    run.feed(0, a=1, ip="x", user="u")
    run.feed(1, b=1, ip="x", user="v", target="u")
    run.feed(2, a=1, ip="x", user="w", target="v")
    run.feed(3, b=1, ip="x", target="v")

    assert run.alerts() == [("many", {"ip": "x"}, [1, 2, 3, 4])]


def test_of_two_values_in_one_group_the_greater_counts() -> None:
    more = "condition: {eq: 1, field: who}\n  aliases: {who: {a: user, b: target}}"
    run = Run(rule("a"), rule("b"), over("one", "value_count", "[b, a]", "[ip]", "10s", more))

    assert run.feed(0, a=1, b=1, ip="x", user="v", target="u") == [("one", {"ip": "x"}, 1)]
    assert run.feed(1, a=1, ip="x", user="v") == [("one", {"ip": "x"}, 1)]


BURST = over("burst", "event_count", "[a]", "[ip]", "10s", "condition: {gte: 2}\n  aliases: {ip: {a: src}}")
WAVES = over("waves", "event_count", "[burst]", "[peer]", "60s", "condition: {gte: 2}\n  aliases: {peer: {burst: ip}}")
BREACH = over("breach", "temporal_ordered", "[waves, b]", "[addr]", "60s", "aliases: {addr: {waves: peer, b: dst}}")


def deep(run: Run) -> None:
    for at in (0, 1, 30, 31):
        run.feed(at, a=1, src="x")
    run.feed(32, b=1, dst="x", src="y")


def test_a_chain_of_three_levels_takes_in_all_that_is_below_it_under_the_names_of_each_level() -> None:
    run = Run(BREACH, WAVES, BURST, rule("a"), rule("b"))

    deep(run)

    ((alert, seqs),) = run.correlator.take_alerts()
    assert (alert.title, alert.group, sorted(seqs), alert.count) == ("breach", {"addr": "x"}, [1, 2, 3, 4, 5], 5)
    assert ((alert.first_us - START_US) // SECOND_US, (alert.last_us - START_US) // SECOND_US) == (0, 32)


def test_a_result_counts_at_all_levels_at_once_and_is_explained_there() -> None:
    run = Run(BREACH, WAVES, BURST, rule("a"), rule("b"))
    run.feed(0, a=1, src="x")

    assert run.feed(1, a=1, src="x") == [
        ("burst", {"ip": "x"}, 2),
        ("waves", {"peer": "x"}, 1),
        ("breach", {"addr": "x"}, 0),
    ]
    assert run.feed(2, a=1, src="x") == [
        ("burst", {"ip": "x"}, 3),
        ("waves", {"peer": "x"}, 2),
        ("breach", {"addr": "x"}, 1),
    ]
    assert run.feed(3, a=1) == [("burst", None, ("src",)), ("waves", None, ("src",)), ("breach", None, ("src",))]


def test_a_correlation_over_two_levels_sees_an_event_of_both_once() -> None:
    both = over(
        "both", "event_count", "[burst, waves]", "[ip]", "60s", "condition: {gte: 2}\n  aliases: {ip: {waves: peer}}"
    )
    run = Run(both, WAVES, BURST, rule("a"))

    run.feed(0, a=1, src="x")
    run.feed(1, a=1, src="x")
    assert run.alerts() == []
    run.feed(2, a=1, src="x")

    assert run.alerts() == [("both", {"ip": "x"}, [1, 2, 3])]


def test_a_chain_counts_values_of_results_by_an_alias_of_their_group_fields() -> None:
    more = "condition: {gte: 2, field: who}\n  aliases: {who: {burst: ip}}"
    run = Run(over("many", "value_count", "[burst]", "[]", "60s", more), BURST, rule("a"))

    for at, address in enumerate("xxxyy"):
        run.feed(at, a=1, src=address)

    assert run.alerts() == [("many", {}, [1, 2, 3, 4, 5])]


def test_with_generate_each_level_below_alerts_with_its_own_names() -> None:
    breach, waves = (each.replace("  timespan", "  generate: true\n  timespan") for each in (BREACH, WAVES))
    run = Run(breach, waves, BURST, rule("a"), rule("b"))

    deep(run)

    assert {title: (group, seqs) for title, group, seqs in run.alerts()} == {
        "burst": ({"ip": "x"}, [1, 2, 3, 4]),
        "waves": ({"peer": "x"}, [1, 2, 3, 4]),
        "b": ({"host": "web"}, [5]),
        "breach": ({"addr": "x"}, [1, 2, 3, 4, 5]),
    }


def test_a_late_event_at_the_bottom_settles_all_levels() -> None:
    run = Run(BREACH, WAVES, BURST, rule("a"), rule("b"))

    for at in (0, 1, 30):
        run.feed(at, a=1, src="x")
    run.feed(32, b=1, dst="x")
    assert run.alerts() == []
    run.feed(29, a=1, src="x")

    assert run.alerts() == [("breach", {"addr": "x"}, [1, 2, 3, 4, 5])]


def test_what_is_behind_results_is_remembered_for_the_timespans_of_all_levels_together() -> None:
    long = BURST.replace("10s", "600s")
    waves = WAVES.replace("60s", "600s")
    run = Run(BREACH, waves, long, rule("a"), rule("b"), limits=Limits(lateness_us=0, suppress_us=0, keep_events=None))

    for at in (0, 590, 1180):
        run.feed(at, a=1, src="x")
    run.feed(1200, b=1, dst="x")

    assert run.alerts() == [("breach", {"addr": "x"}, [1, 2, 3, 4])]


@pytest.mark.parametrize(("events", "approximate"), [(3, False), (4, True)])
def test_what_a_group_at_the_bottom_had_to_drop_makes_the_alert_at_the_top_approximate(
    events: int, *, approximate: bool
) -> None:
    few = Limits(keep_events=None, max_members=100)
    wide = WAVES.replace("{gte: 2}", "{gte: 1, lt: 50}")  # a group holds at least one event more than the value
    top = wide.replace("waves", "top").replace("[burst]", "[waves]").replace("{burst: ip}", "{waves: peer}")
    run = Run(top, wide, BURST, rule("a"), limits=few)

    for at in range(events):
        run.feed(at, a=1, src="x")

    ((alert, seqs),) = run.correlator.take_alerts()
    assert (alert.title, len(seqs), alert.approximate) == ("top", events, approximate)


@pytest.mark.parametrize("cut", range(6))
def test_a_deep_chain_with_aliases_that_is_cut_and_restored_continues_identically(cut: int) -> None:
    rows: Sequence[dict[str, object]] = [{"a": 1, "b": 1, "src": "x", "dst": "y"}] * 5
    found: list[list[Alert]] = []
    for at in (None, cut):
        run = Run(BREACH, WAVES, BURST, EITHER, rule("a"), rule("b"), limits=Limits(suppress_us=0))
        alerts: dict[str, Alert] = {}
        for number, fields in enumerate(rows):
            if number == at:
                snapshot = run.correlator.take_snapshot()
                run.correlator = Correlator(run.rules.rules, INCARNATION, run.limits)
                run.correlator.restore((row, value) for row, value in snapshot.items() if value is not None)
            run.feed(number * 4, **fields)
            run.feed(number * 4 + 1, b=1, dst="x")
            alerts |= {alert.id: alert for alert, _ in run.correlator.take_alerts()}
        found.append([alerts[key] for key in sorted(alerts)])

    assert found[0] == found[1]
    assert {alert.title for alert in found[0]} == {"breach", "either"}
