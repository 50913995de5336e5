"""The feed's throughput in small: a real daemon and forwarders at a real centre; and that too little is noticed."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.feed_throughput import report
from bench.feed_throughput.crowd import Crowded, crowded
from bench.feed_throughput.drain import Drained, drained

GOOD = report.Found(
    Drained(findings=100_000, took_s=80.0, urgent_s=[0.1] * 400, sender_cpu_s=48.0, centre_cpu_s=30.0),
    Crowded(senders=34, findings=102_000, took_s=50.0, again=90, senders_cpu_s=9.0, centre_cpu_s=48.0),
)


@pytest.mark.timeout(240)
def test_a_small_backlog_drains_and_urgent_ones_are_timed(tmp_path: Path) -> None:
    found = drained(tmp_path, 600)

    assert found.findings == 600
    assert found.rate > 0
    assert min(found.sender_cpu_s, found.centre_cpu_s) > 0


@pytest.mark.timeout(240)
def test_each_of_some_senders_gets_all_of_its_own_stored(tmp_path: Path) -> None:
    found = crowded(tmp_path, 3, 60)

    assert (found.senders, found.findings) == (3, 180)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (replace(GOOD.drained, took_s=125.0), "800 findings a second, 1,000 are demanded"),
        (replace(GOOD.drained, urgent_s=[]), "no urgent finding came during the drain"),
        (replace(GOOD.drained, urgent_s=[2.5] * 9), "urgent p99 2.50 s, less than 2 s is demanded"),
    ],
)
def test_what_is_not_as_required_is_named(changed: Drained, problem: str) -> None:
    assert GOOD.problems == []
    assert replace(GOOD, drained=changed).problems == [problem]


def test_what_bounds_the_rate_is_told() -> None:
    assert report.bound(10, 5, 9).startswith("the centre's processor")
    assert report.bound(10, 9, 5).startswith("the senders' processor")
    assert report.bound(10, 5, 4).startswith("processor time, one side after the other")
    assert report.bound(10, 1, 2).startswith("waiting")
    assert "34 senders: 102,000 findings in 50.0 s: 2,040 a second" in report.as_text(GOOD)
