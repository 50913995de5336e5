"""Times as people read them: local, with the offset from UTC."""

from datetime import datetime

from socmon.event import SECOND_US


def local_time(time_us: int) -> str:
    """`2026-11-26 18:22:36.632+0700`; milliseconds are cut, not rounded."""
    moment = datetime.fromtimestamp(time_us // SECOND_US).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S}.{time_us % SECOND_US // 1000:03}{moment:%z}"
