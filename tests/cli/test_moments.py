"""Times as people read them."""

import time

import pytest

from socmon.cli.moments import local_time


def test_a_time_is_local_with_its_offset_and_never_rounded_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Ho_Chi_Minh")
    time.tzset()
    try:
        assert local_time(1_795_435_200_999_999) == "2026-11-23 19:00:00.999+0700"
    finally:
        monkeypatch.undo()
        time.tzset()
