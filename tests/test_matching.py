"""Matching: a pure function of a batch; every record is counted once, and no record stops the others."""

from socmon.event import SECOND_US, Record, Source
from socmon.journal import Batch, Drop
from socmon.ledger import Ledger
from socmon.matching import FUTURE_US, Matcher
from socmon.resources import shipped
from socmon.sigma import load_rules

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
