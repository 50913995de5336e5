"""Times as people read them."""

from zoneinfo import ZoneInfo

import pytest

from socmon.cli.shown import clock

LATE_US = 1_795_435_200_999_999


@pytest.mark.parametrize(
    ("fine", "shown"), [(False, "2026-11-23 19:00:00 +07:00"), (True, "2026-11-23 19:00:00.999 +07:00")]
)
def test_a_time_is_of_the_zone_asked_for_and_never_rounded_up(*, fine: bool, shown: str) -> None:
    assert clock(LATE_US, ZoneInfo("Asia/Ho_Chi_Minh"), fine=fine) == shown
