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


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
def test_no_form_of_parse_steers_a_terminal(form: str) -> None:
    line = "Nov 23 10:00:00 web1 sshd[7]: Invalid user \u202e\x1b[31m\x9b from 203.0.113.7 port 40001\n"
    command = [sys.executable, "-m", "socmon", "parse", "--year", "2026", "-o", form, "-"]

    done = subprocess.run(command, input=line.encode(), capture_output=True, timeout=60, check=True)

    assert not {"\u202e", "\x1b", "\x9b"} & set(done.stdout.decode())
    assert b"203.0.113.7" in done.stdout
