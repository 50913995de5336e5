"""Dating stamps that state no year or zone: the turn of the year, 29 February, changes of the clocks."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parsers.records import record

from socmon.errors import ParseError
from socmon.event import rfc3339, to_us
from socmon.parsers import parse


def dated(stamp: str, anchor: datetime, zone: str = "UTC") -> str:
    found = parse(record(f"{stamp} h t: x", anchor=anchor, zone=zone))
    assert found.time_us is not None
    return rfc3339(found.time_us)


def test_december_read_in_january_is_of_the_year_before() -> None:
    assert dated("Dec 31 23:59:59", datetime(2027, 1, 1, 0, 0, 5, tzinfo=UTC)) == "2026-12-31T23:59:59Z"


def test_january_read_on_the_last_day_of_december_is_of_the_next_year() -> None:
    assert dated("Jan  1 00:00:03", datetime(2026, 12, 31, 23, 59, 58, tzinfo=UTC)) == "2027-01-01T00:00:03Z"


def test_a_day_after_the_anchor_is_the_last_that_counts_as_this_year() -> None:
    anchor = datetime(2026, 11, 23, 12, tzinfo=UTC)

    assert dated("Nov 24 12:00:00", anchor) == "2026-11-24T12:00:00Z"
    assert dated("Nov 24 12:00:01", anchor) == "2025-11-24T12:00:01Z"
    assert dated("Nov 24 12:00:00.000001", anchor) == "2025-11-24T12:00:00.000001Z"


def test_new_year_in_the_zone_of_the_source_comes_before_new_year_in_utc() -> None:
    anchor = datetime(2026, 12, 31, 17, 30, tzinfo=UTC)

    assert dated("Jan  1 00:29:00", anchor, "Asia/Ho_Chi_Minh") == "2026-12-31T17:29:00Z"


@pytest.mark.parametrize(("year", "leap"), [(2024, 2024), (2026, 2024), (2028, 2028), (2103, 2096)])
def test_29_february_is_of_the_latest_leap_year(year: int, leap: int) -> None:
    assert dated("Feb 29 10:00:00", datetime(year, 6, 1, tzinfo=UTC)) == f"{leap}-02-29T10:00:00Z"


def test_time_that_clocks_skip_is_read_with_the_offset_before() -> None:
    anchor = datetime(2026, 6, 1, tzinfo=UTC)

    assert dated("Mar 29 02:30:00", anchor, "Europe/Berlin") == "2026-03-29T01:30:00Z"


def test_time_that_comes_twice_is_the_first() -> None:
    anchor = datetime(2026, 12, 1, tzinfo=UTC)

    assert dated("Oct 25 02:30:00", anchor, "Europe/Berlin") == "2026-10-25T00:30:00Z"


def test_given_year_dates_every_stamp_without_one() -> None:
    found = parse(record("Dec 10 06:55:46 h t: x"), year=2015)

    assert (found.time_us, found.time_known) == (to_us(datetime(2015, 12, 10, 6, 55, 46, tzinfo=UTC)), "stated")


def test_given_year_without_29_february_is_an_error() -> None:
    with pytest.raises(ParseError, match="no such time"):
        parse(record("Feb 29 06:55:46 h t: x"), year=2026)


def test_undated_stamp_has_no_time_and_a_stated_one_keeps_it() -> None:
    unknown = parse(record("Feb 29 06:55:46 h t: x"), undated=True)
    stated = parse(record("2026-11-23T10:00:00.123456+07:00 h t: x"), undated=True)

    assert (unknown.time_us, unknown.time_known) == (None, "unknown")
    assert (stated.time_us, stated.time_known) == (1_795_402_800_123_456, "stated")


def test_year_in_the_stamp_counts_before_the_given_one() -> None:
    found = parse(record("Nov 23 2020 10:00:00 h t: x"), year=2015)

    assert (found.time_us, found.time_known) == (to_us(datetime(2020, 11, 23, 10, tzinfo=UTC)), "stated")


def test_unknown_zone_is_a_parse_error() -> None:
    with pytest.raises(ParseError, match="no time zone"):
        parse(record("Nov 23 10:00:00 h t: x", zone="Mars/Olympus"))


@settings(max_examples=200, deadline=None)
@given(
    moment=st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  hypothesis adds the zone
    late=st.timedeltas(timedelta(hours=-24), timedelta(days=363)),
)
def test_year_is_right_up_to_a_day_early_and_nearly_a_year_late(moment: datetime, late: timedelta) -> None:
    moment = moment.replace(microsecond=0)

    found = parse(record(f"{moment:%b %d %H:%M:%S} h t: x", anchor=moment + late))

    assert found.time_us == to_us(moment)
    assert found.time_known == "year_inferred"


@given(anchor_us=st.integers(-(2**62), 2**62))
@settings(max_examples=100, deadline=None)
def test_absurd_anchor_never_breaks_dating(anchor_us: int) -> None:
    odd = record("Nov 23 10:00:00 h t: x")
    odd = type(odd)(odd.data, odd.source, anchor_us)

    try:
        found = parse(odd)
    except ParseError:
        return
    assert found.time_us is not None
    assert found.time_us <= anchor_us + 86_400_000_000
