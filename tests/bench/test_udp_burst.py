"""The UDP burst in small: a real daemon, and an account that adds up; and that a wrong one would be noticed."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.udp_burst import report
from bench.udp_burst.burst import Burst, burst

GOOD = Burst(
    sent=100, took_s=1.0, cpu_s=0.5, settled_s=2.0, message_bytes=110, receive_buffer_bytes=8 * 1024 * 1024,
    journalled=96, repeated=0, evaluated=96, matched=96, in_flight=0, dropped={"kernel": 4},
)  # fmt: skip


@pytest.mark.timeout(180)
def test_a_small_burst_is_accounted_for_to_the_last_message(tmp_path: Path) -> None:
    found = burst(3000, 0.2, tmp_path / "work")

    assert (found.sent, found.unaccounted, found.repeated, found.in_flight) == (3000, 0, 0, 0)
    assert found.journalled + sum(found.dropped.values()) == 3000
    assert found.journalled == found.evaluated == found.matched > 0


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (replace(GOOD, journalled=95, evaluated=95, matched=95), "1 unaccounted"),
        (replace(GOOD, repeated=1), "1 repeated or out of order"),
        (replace(GOOD, in_flight=1), "1 in flight"),
        (replace(GOOD, evaluated=95, matched=95), "1 journalled and not evaluated"),
        (replace(GOOD, matched=95), "1 evaluated and not matched"),
        (
            replace(GOOD, journalled=94, evaluated=94, matched=94, dropped={"kernel": 6}),
            "only 94.0% evaluated",
        ),
    ],
)
def test_what_is_not_as_required_is_named(changed: Burst, problem: str) -> None:
    assert GOOD.problems == []
    assert changed.problems == [problem]


def test_with_a_smaller_receive_buffer_only_the_account_is_required() -> None:
    small = replace(GOOD, journalled=30, evaluated=30, matched=30, dropped={"kernel": 70}, receive_buffer_bytes=212_992)

    assert small.problems == []


def test_the_page_shows_each_round() -> None:
    page = report.as_markdown([GOOD, replace(GOOD, took_s=1.5)])

    assert "| 1.00 s | 0.50 s | 96 | 96 | 4 | 0 | 0 | 96.0% | 2.0 s |" in page
    assert "| 1.50 s |" in page
