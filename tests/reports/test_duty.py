"""Deadlines: when the clocks start, what counts as told, and in time or not."""

from typing import Any

import pytest
from store_kit import START_US, S, alert

from socmon.reports.duty import Duty, Facts, duty
from socmon.sections import ReportSettings
from socmon.store.triage import Entry

HOUR_US = 3600 * S


def comment(hours: float, text: str) -> Entry:
    return Entry(START_US + round(hours * HOUR_US), "an", "comment", "open", "open", "", text, 0)


def of(*entries: Entry, after_h: float, accepted: dict[str, float] | None = None, **changes: Any) -> Duty:
    """The duty of a critical alert detected at START_US, `after_h` later; hours of acceptance by destination."""
    accepted_us = {name: START_US + round(hours * HOUR_US) for name, hours in (accepted or {}).items()}
    return duty(
        alert(1, **({"level": "critical"} | changes)),
        Facts(START_US, "detected", accepted_us),
        entries,
        ReportSettings(),
        centres=["ncsc"],
        now_us=START_US + round(after_h * HOUR_US),
    )


def states(found: Duty) -> list[str]:
    return [each.state for each in found.deadlines]


def test_clocks_run_from_detection_and_each_ends_for_itself() -> None:
    assert states(of(after_h=24)) == ["open", "open"]
    assert states(of(after_h=24.01)) == ["missed", "open"]
    assert states(of(after_h=72.01)) == ["missed", "missed"]
    assert [each.due_us for each in of(after_h=1).deadlines] == [START_US + 24 * HOUR_US, START_US + 72 * HOUR_US]


@pytest.mark.parametrize(("hours", "state"), [(24, "met"), (24.01, "late")])
def test_the_centre_that_accepts_it_has_got_the_first_notice_and_no_detailed_report(hours: float, state: str) -> None:
    found = of(after_h=80, accepted={"ncsc": hours, "archive": 0})

    assert states(found) == [state, "missed"]
    told = found.deadlines[0].told
    assert told is not None
    assert (told.way, told.who) == ("feed", "ncsc")


def test_a_comment_says_that_it_was_handed_over_and_the_earliest_telling_counts() -> None:
    found = of(
        comment(20, "first notice: by fax, no. 12"), comment(71, "báo cáo sự cố: nộp trực tiếp"),
        after_h=100, accepted={"ncsc": 40},
    )  # fmt: skip

    assert states(found) == ["met", "met"]
    assert [(each.told.who, each.told.text) for each in found.deadlines if each.told] == [
        ("an", "by fax, no. 12"),
        ("an", "nộp trực tiếp"),
    ]


def test_a_detailed_report_is_a_notice_too() -> None:
    assert states(of(comment(3, "detailed report: portal"), after_h=30)) == ["met", "met"]


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"level": "high"}, "level"),
        ({"tags": ["socmon.test"]}, "test"),
        ({"status": "closed", "reason": "fp"}, "not_an_incident"),
    ],
)
def test_nothing_is_due_of_what_is_no_serious_incident(changes: dict[str, Any], because: str) -> None:
    found = of(after_h=100, **changes)

    assert (found.applies, found.because, states(found)) == (False, because, ["none", "none"])


def test_an_incident_that_was_dealt_with_must_be_told_all_the_same() -> None:
    assert of(after_h=1, status="closed", reason="tp").applies
