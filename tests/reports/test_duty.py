"""Deadlines: when the clocks start, what counts as told, and in time or not."""

from typing import Any

import pytest
from store_kit import START_US, S, alert

from socmon.event import ReportDuty
from socmon.reports.duty import Duty, Facts, duty, next_report
from socmon.sections import ReportSettings, SeriousSettings
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


# ── what is serious ──────────────────────────────────────────────────────────────────────────────────────────────────

BLOCKS = ReportSettings(
    also=[
        SeriousSettings(levels=["high"], system_levels=[4, 5]),
        SeriousSettings(rsit=["intrusion-attempts/brute-force"], tags=["house.portal"]),
        SeriousSettings(rsit=["availability"]),
        SeriousSettings(tags=["socmon.national-security"], at_once=True),
    ]
)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"level": "critical"}, "level critical"),
        ({"level": "high", "system_level": 4}, "level high, system level 4"),
        ({"level": "high", "system_level": 3}, ""),
        ({"level": "medium", "system_level": 5}, ""),
        (
            {"level": "low", "tags": ["attack.t1110", "house.portal"]},
            "tag house.portal, rsit intrusion-attempts/brute-force",
        ),
        ({"level": "low", "tags": ["attack.t1110"]}, ""),
        ({"level": "low", "tags": ["attack.t1498.001"]}, "rsit availability"),
        ({"level": "low", "tags": ["socmon.national-security"]}, "tag socmon.national-security, at once"),
    ],
)
def test_what_is_serious_is_a_level_or_all_that_a_block_names(changes: dict[str, Any], reason: str) -> None:
    found = next_report(alert(1, **changes), BLOCKS)

    assert (found.kind, found.reason) == (("first", reason) if reason else ("none", "level"))


def test_a_block_that_names_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="names nothing"):
        SeriousSettings(at_once=True)


def test_what_must_be_told_at_once_is_due_within_minutes_of_t0() -> None:
    found = of(after_h=0.51, tags=["socmon.national-security"], level="low")

    assert [(each.kind, each.hours, each.state) for each in found.deadlines] == [
        ("first", 0, "missed"), ("detailed", 72, "open"),
    ]  # fmt: skip
    assert found.deadlines[0].due_us == START_US + HOUR_US // 2


@pytest.mark.parametrize(
    ("changes", "kind", "hours"),
    [
        ({}, "first", 24),
        ({"status": "acknowledged"}, "detailed", 72),
        ({"status": "closed", "reason": "tp"}, "final", 1000),
    ],
)
def test_a_message_says_what_is_due_next_and_moves_with_no_revision(
    changes: dict[str, Any], kind: str, hours: int
) -> None:
    settings = ReportSettings(final_h=1000)
    for late in ({}, {"revision": 9, "first_us": 1, "last_us": START_US * 2, "count": 99}):
        found = next_report(alert(1, level="critical", t0_us=START_US, **changes, **late), settings)
        assert (found.kind, found.due_us) == (kind, START_US + hours * HOUR_US)


def test_nothing_is_due_of_an_alarm_of_a_deadline_however_critical() -> None:
    found = next_report(alert(1, level="critical", tags=["socmon.report"]), ReportSettings())

    assert found == ReportDuty("none", "own")


def test_the_final_report_tells_what_the_ones_before_it_do() -> None:
    assert states(of(comment(3, "báo cáo kết thúc: cổng báo cáo"), after_h=30)) == ["met", "met"]
