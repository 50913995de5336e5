"""Times as people read them."""

import subprocess
import sys
from zoneinfo import ZoneInfo

import pytest

from socmon.cli.shown import clock

LATE_US = 1_795_435_200_999_999


@pytest.mark.parametrize(
    ("fine", "shown"), [(False, "2026-11-23 19:00:00 +07:00"), (True, "2026-11-23 19:00:00.999 +07:00")]
)
def test_a_time_is_of_the_zone_asked_for_and_never_rounded_up(*, fine: bool, shown: str) -> None:
    assert clock(LATE_US, ZoneInfo("Asia/Ho_Chi_Minh"), fine=fine) == shown


def test_looking_at_alerts_loads_no_parser_and_no_rule() -> None:
    """They double the time to start."""
    script = "import sys, socmon.cli.alerts, socmon.cli.feed; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert [name for name in loaded if name.startswith(("socmon.parsers", "sigma", "socmon.sigma"))] == []
