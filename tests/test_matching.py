"""Matching: a pure function of a batch; every record is counted once, and no record stops the others."""

from typing import Any

import pytest

from socmon import parsers
from socmon.enrich import Assets, Inventory
from socmon.event import NOBODY, SECOND_US, Event, Owner, Record, Source
from socmon.journal import Batch, Drop
from socmon.ledger import Ledger
from socmon.matching import FUTURE_US, Matcher
from socmon.resources import shipped
from socmon.sigma import load_rules
from socmon.sigma.ruleset import parse_rules

NOW_US = 1_795_000_000 * SECOND_US  # 2026-11-18T11:06:40Z
RULES = load_rules([shipped("rules")])


def batch(*lines: str, collector: str = "logs", received_us: int = NOW_US) -> Batch:
    source = Source(collector, "/f", "rfc3164")
    rows = [Record(line.encode(), source, received_us, seq=n) for n, line in enumerate(lines, start=1)]
    return Batch(1, 1, received_us, rows, [Drop("udp", "buffer_full", 2)], tick=False)


def failure(stamp: str = "Nov 18 09:00:00") -> str:
    return f"{stamp} web sshd[7]: Failed password for root from 10.0.0.1 port 4 ssh2"


def test_every_record_is_evaluated_or_unparsed() -> None:
    matched = Matcher(RULES).match(
        batch(failure(), "\x00nothing of the kind", "Nov 18 09:00:01 web cron[1]: (root) CMD x")
    )

    assert (matched.journalled, matched.evaluated, matched.unparsed) == ({"logs": 3}, {"logs": 2}, {"logs": 1})
    assert [match.event.fields["src_ip"] for match in matched.matches] == ["10.0.0.1"]


def test_a_time_too_far_ahead_of_its_receipt_is_replaced_and_marked() -> None:
    matcher = Matcher(RULES)

    (near,) = matcher.match(batch(failure("Nov 18 11:16:40"))).matches
    (far,) = matcher.match(batch(failure("Nov 18 11:16:41"))).matches

    assert near.event.time_us == NOW_US + FUTURE_US
    assert (far.event.time_us, far.event.time_known) == (NOW_US, "future_replaced")


def test_replay_believes_a_stamp_ahead_of_the_files_date() -> None:
    (match,) = Matcher(RULES, live=False, year=2027).match(batch(failure())).matches

    assert match.event.time_us is not None
    assert match.event.time_us > NOW_US + FUTURE_US


def test_the_high_mark_of_a_match_is_its_own_sources_greatest_time_so_far() -> None:
    lines = [failure("Nov 18 09:00:05"), failure("Nov 18 09:00:01"), failure("Nov 18 09:00:09")]

    matched = Matcher(RULES).match(batch(*lines))

    times = [match.event.time_us or 0 for match in matched.matches]
    assert [match.high_us for match in matched.matches] == [times[0], times[0], times[2]]
    assert matched.highs == {("logs", "/f", "web"): times[2]}


def test_a_clock_shows_how_much_it_sent_and_the_least_delay_of_what_states_its_time() -> None:
    lines = [failure("Nov 18 11:06:30"), failure("Nov 18 11:06:38"), failure("Nov 18 11:06:35"), "\x00"]

    matched = Matcher(RULES).match(batch(*lines))

    web, unread = matched.sights["logs", "/f", "web"], matched.sights["logs", "/f", ""]
    assert (web.records, web.received_us, web.delay_us) == (3, NOW_US, 2 * SECOND_US)
    assert (unread.records, unread.high_us, unread.delay_us) == (1, None, None)


def test_the_skew_of_a_time_that_its_receipt_replaced_is_not_lost() -> None:
    matched = Matcher(RULES).match(batch(failure("Nov 18 14:06:40"), failure("Nov 18 11:06:39")))

    assert matched.sights["logs", "/f", "web"].delay_us == -3 * 3600 * SECOND_US
    assert matched.highs == {("logs", "/f", "web"): NOW_US}


def test_what_a_file_held_when_it_was_opened_says_nothing_of_the_clock() -> None:
    source = Source("logs", "/f", "rfc3164")
    old = Record(failure().encode(), source, NOW_US, anchor_us=NOW_US - SECOND_US, seq=1)

    matched = Matcher(RULES).match(Batch(1, 1, NOW_US, [old], [], tick=False))

    assert matched.sights["logs", "/f", "web"].delay_us is None


def test_a_record_without_a_time_says_nothing_of_the_clock() -> None:
    record = Record(b'{"message":"no time"}', Source("logs", "/f", "json"), NOW_US, seq=1)

    (sight,) = Matcher(RULES).match(Batch(1, 1, NOW_US, [record], [], tick=False)).sights.values()

    assert (sight.records, sight.delay_us, sight.high_us) == (1, None, NOW_US)


def test_the_ledger_balances() -> None:
    matched = Matcher(RULES).match(batch(failure(), "\x00", failure()))
    ledger = Ledger()

    ledger.add_journalled(matched.journalled)
    ledger.add_matched(matched.evaluated, matched.unparsed)
    for drop in matched.drops:
        ledger.add_dropped(drop.collector, drop.reason, drop.count)

    logs, udp = ledger.accounts["logs"], ledger.accounts["udp"]
    assert (logs.received, logs.evaluated, logs.unparsed, logs.in_flight) == (3, 2, 1, 0)
    assert (udp.received, udp.dropped) == (2, {"buffer_full": 2})


def test_records_that_matching_forgets_show_as_in_flight() -> None:
    ledger = Ledger()

    ledger.add_journalled({"logs": 3})
    ledger.add_matched({"logs": 2}, {})

    assert ledger.accounts["logs"].in_flight == 1


PORTAL = Owner("000.00.11.H07", "dvc", 4)
ASSETS = Assets(Inventory(patterns={"web": PORTAL, "xa-*": Owner("000.00.52.H07")}))


def test_a_match_says_whose_it_is() -> None:
    lines = [failure(), failure().replace(" web ", " xa-01 "), failure().replace(" web ", " stray ")]

    matched = Matcher(RULES, assets=ASSETS).match(batch(*lines))

    assert [match.event.owner for match in matched.matches] == [PORTAL, Owner("000.00.52.H07"), NOBODY]
    assert [match.event.entities.get("agency") for match in matched.matches] == [
        ["000.00.11.H07"],
        ["000.00.52.H07"],
        None,
    ]
    assert "stray" in ASSETS.unknown


def reading(condition: str) -> bytes:
    return f"""\
title: Asks whose it is
id: 9f2c1c52-4d0e-4b8e-9d1e-0c7c7c7b1a02
logsource: {{product: linux, service: sshd}}
detection:
  selection: {condition}
  condition: selection
level: low
""".encode()


def test_rules_can_ask_for_agency_system_and_level() -> None:
    rules = parse_rules(
        "r.yml", reading("{socmon.agency|endswith: .H07, socmon.system: dvc, socmon.system_level|gte: 4}")
    )
    lines = [failure(), failure().replace(" web ", " xa-01 ")]

    assert not rules.errors
    (match,) = Matcher(rules, assets=ASSETS).match(batch(*lines)).matches
    assert (match.event.host, match.event.owner) == ("web", PORTAL)
    assert Matcher(rules).match(batch(*lines)).matches == []


def test_a_keyword_does_not_look_at_what_the_inventory_says() -> None:
    asking = reading("{socmon.agency: nobody}").replace(b"selection:", b"keywords: [dvc]\n  selection:")
    rules = parse_rules("r.yml", asking.replace(b"condition: selection", b"condition: keywords or selection"))

    assert not rules.errors
    assert Matcher(rules, assets=ASSETS).match(batch(failure())).matches == []


def test_a_message_cannot_state_whose_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = parse_rules("r.yml", reading("{socmon.agency: '*'}"))
    real = parsers.parse

    def forged(record: Record, **options: Any) -> Event:  # as a format with free field names would give it
        event = real(record, **options)
        event.fields |= {"socmon.agency": "forged", "socmon.system": "forged"}
        return event

    monkeypatch.setattr(parsers, "parse", forged)

    assert Matcher(rules, assets=ASSETS).match(batch(failure().replace(" web ", " stray "))).matches == []
    (match,) = Matcher(rules, assets=ASSETS).match(batch(failure().replace(" web ", " xa-01 "))).matches
    assert match.event.fields["socmon.agency"] == "000.00.52.H07"
    assert "socmon.system" not in match.event.fields


def test_rules_can_ask_who_sent_a_record_and_a_message_cannot_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = parse_rules("r.yml", reading("{socmon.peer: forged}"))
    line = failure()
    real = parsers.parse

    def forged(record: Record, **options: Any) -> Event:
        event = real(record, **options)
        event.fields["socmon.peer"] = "forged"
        return event

    monkeypatch.setattr(parsers, "parse", forged)
    assert Matcher(rules).match(batch(line)).matches == []

    source = batch(line).records[0].source
    asking = parse_rules("r.yml", reading(f"{{socmon.peer: '{source.peer}', socmon.collector: '{source.collector}'}}"))
    (match,) = Matcher(asking).match(batch(line)).matches
    assert match.event.fields["socmon.peer"] == source.peer
