"""Time modifiers: parts of a date as it is written (Sigma's modifiers appendix 2.1, time modifiers)."""

from typing import Any

import pytest
from sigma_kit import FIRST_LINE, fires, loaded, refused, rule_text

from socmon.event import LogSource
from socmon.sigma.explaining import Explainer


def one(modifiers: str, value: Any) -> str:
    return rule_text(f"sel:\n  F|{modifiers}: {value}\ncondition: sel")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("2026-07-09T23:45:59Z", (45, 23, 9, 28, 7, 2026)),
        ("2026-07-09T23:45:59.1234567+02:00", (45, 23, 9, 28, 7, 2026)),
        ("2026-07-09T23:45:59,5-0930", (45, 23, 9, 28, 7, 2026)),
        ("2026-07-09 23:45:59.123", (45, 23, 9, 28, 7, 2026)),
        ("2026-07-09 23:45:59", (45, 23, 9, 28, 7, 2026)),
        ("2026-07-09 23:45:59 +0200", (45, 23, 9, 28, 7, 2026)),
        ("20260709T234559Z", (45, 23, 9, 28, 7, 2026)),
        ("2026-07-09T23:45+02", (45, 23, 9, 28, 7, 2026)),
        ("2026-07-09T23", (None, 23, 9, 28, 7, 2026)),
        ("2026-07-09", (None, None, 9, 28, 7, 2026)),
        ("2016-12-31T23:59:60Z", (59, 23, 31, 52, 12, 2016)),
        ("2021-01-03", (None, None, 3, 53, 1, 2021)),
        ("2024-12-30", (None, None, 30, 1, 12, 2024)),
        ("2024-02-29", (None, None, 29, 9, 2, 2024)),
    ],
)
def test_each_part_is_the_number_as_it_is_written(text: str, parts: tuple[int | None, ...]) -> None:
    for unit, number in zip(("minute", "hour", "day", "week", "month", "year"), parts, strict=True):
        least = 1 if unit in ("day", "week", "month", "year") else 0
        rules = loaded(one(f"{unit}|gte", least))
        assert fires(rules, {"F": text}) is (number is not None), unit
        if number is not None:
            assert fires(loaded(one(unit, number)), {"F": text}), unit
            other = number - 1 if number > least else number + 1
            assert not fires(loaded(one(unit, other)), {"F": text}), unit


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30T10:00:00",
        "2026-13-01T10:00:00",
        "0000-01-01T10:00:00",
        "2026-01-01T24:00:00",
        "2026-01-01T10:60:00",
        "2026-01-01T10:00:61",
        "2026-0101T10:00:00",
        "2026-01-01T10:00:00 CET",
        "at 2026-01-01T10:00:00",
        "2026-01-01T10:00:00\n",
        "\u0662026-01-01T10:00:00",
        "10:00:00",
        "20260101",
        20260101,
        1767261600,
        "",
        None,
        True,
        [],
    ],
)
def test_what_is_no_date_has_no_part(text: Any) -> None:
    assert not fires(loaded(one("year|gte", 1)), {"F": text})
    assert not fires(loaded(one("hour|lte", 23)), {"F": text})


def test_a_date_may_stand_in_a_list() -> None:
    assert fires(loaded(one("hour", 10)), {"F": ["x", "2026-01-01T10:00:00"]})


@pytest.mark.parametrize(
    ("modifiers", "value", "hits", "misses"),
    [
        ("hour|gte", 22, ("22", "23"), ("21",)),
        ("hour|gt", 22, ("23",), ("22",)),
        ("hour|lt", 6, ("05",), ("06",)),
        ("hour|lte", 6, ("06",), ("07",)),
        ("hour|neq", 6, ("07",), ("06",)),
        ("hour|lt|neq", 6, ("06",), ("05",)),
        ("hour", "[1, 2]", ("01", "02"), ("03",)),
        ("hour|neq", "[1, 2]", ("03",), ("01", "02")),
    ],
)
def test_a_part_is_compared(modifiers: str, value: Any, hits: tuple[str, ...], misses: tuple[str, ...]) -> None:
    rules = loaded(one(modifiers, value))

    assert [hour for hour in hits if not fires(rules, {"F": f"2026-01-01T{hour}:30:00Z"})] == []
    assert [hour for hour in misses if fires(rules, {"F": f"2026-01-01T{hour}:30:00Z"})] == []
    assert fires(rules, {}) is ("neq" in modifiers)


@pytest.mark.parametrize(
    ("modifiers", "value", "reason"),
    [
        ("minute", 60, "no date has minute 60; write a number from 0 to 59"),
        ("hour", 24, "no date has hour 24; write a number from 0 to 23"),
        ("hour|gte", 24, "no date has hour 24; write a number from 0 to 23"),
        ("hour", -1, "no date has hour -1; write a number from 0 to 23"),
        ("day", 0, "no date has day 0; write a number from 1 to 31"),
        ("week", 54, "no date has week 54; write a number from 1 to 53"),
        ("month", 13, "no date has month 13; write a number from 1 to 12"),
        ("year", 10_000, "no date has year 10000; write a number from 1 to 9999"),
        ("year", 10**200, "no date has year 1e+200; write a number from 1 to 9999"),
        ("hour", 5.5, "5.5 is no part of a date; write a whole number"),
        ("hour|gte", "[5, 5.5]", "5.5 is no part of a date; write a whole number"),
        ("hour", "'5'", "the modifier hour does not take 5; it takes a number, without quotes"),
        ("hour|day", 5, "hour and day are different parts of a date; write two lines, or one of them"),
        ("gte|hour", 5, "the modifier hour does not take"),
    ],
)
def test_a_value_that_no_date_has_is_refused_at_its_line(modifiers: str, value: Any, reason: str) -> None:
    (error,) = refused(one(modifiers, value))

    assert error.startswith(f"{FIRST_LINE + 1}: {reason}")


def test_a_part_or_not_the_date_that_has_it_is_true_for_every_event() -> None:
    detection = "a: {F|hour: 10}\nb: {F: '2026-01-01T10:00:00Z'}\ncondition: a or not b"

    (error,) = refused(rule_text(detection))

    assert "true for every event" in error


def test_a_part_or_its_absence_can_be_false() -> None:
    rules = loaded(rule_text("a: {F|hour: 10}\nb: {F: null}\ncondition: a or b"))

    assert not fires(rules, {"F": "x"})


def test_an_explanation_shows_the_line_and_the_value() -> None:
    rules = loaded(one("hour|gte", 22))

    told = Explainer(rules).explain(rules.rules[0], {"F": "2026-01-01T21:00:00Z"}, LogSource(product="test"))

    (obstacle,) = told.obstacles
    assert (obstacle.item.key, obstacle.item.values) == ("F|hour|gte", ("22",))
    assert (obstacle.item.found, told.matched) == ("2026-01-01T21:00:00Z", False)
