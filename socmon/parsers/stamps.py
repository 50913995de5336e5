"""Time stamps to microseconds UTC: without year or zone (RFC 3164, section 4.1.2), RFC 3339, and TAI64N labels."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from socmon.errors import ParseError
from socmon.event import SECOND_US, to_us

DAY_US = 86_400 * SECOND_US
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FURTHEST_EAST = timedelta(hours=14)
_LEAP_GAP = 8  # years between two 29 February, at most (1896 and 1904, 2096 and 2104)
_LAST_DAY = 2_900_000  # 9909: beyond any honest clock, inside what datetime can hold
A_LEAP_YEAR = 2000
_TAI_EPOCH_S = 2**62 + 10  # multilog and svlogd count from here: no leap seconds, but the ten of 1970


@lru_cache(maxsize=8192)
def minute_us(stamp: str, year: int, zone: str) -> int | None:
    """The start of the minute `Dec 10 06:55` of `year` in `zone`; None where there is no such day or time.

    Where clocks change: a time that is skipped is read with the offset before the change, of a time that comes twice
    the first is meant.

    Raises:
        ParseError: there is no such zone.
    """
    month, day, clock = stamp.split()
    try:
        number = _MONTHS.index(month) + 1
        local = datetime(year, number, int(day), int(clock[:2]), int(clock[3:]), tzinfo=_zone(zone))
    except ValueError:
        return None
    return to_us(local)


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ParseError(f"no time zone is called {name[:80]!r}") from error


@lru_cache(maxsize=8192)
def latest_minutes_us(stamp: str, zone: str, day: int) -> tuple[int, ...]:
    """The minute `stamp` of each year that may be the latest for a limit in `day` (0 is 1970-01-01), latest first."""
    end = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=min(max(day, 0), _LAST_DAY) + 1) + _FURTHEST_EAST
    minutes_us: list[int] = []
    for year in range(end.year, end.year - _LEAP_GAP - 2, -1):
        found = minute_us(stamp, year, zone)
        if found is None:
            continue
        minutes_us.append(found)
        if found + 61 * SECOND_US <= day * DAY_US:
            break
    return tuple(minutes_us)


@lru_cache(maxsize=8192)
def stated_minute_us(minute: str, offset: str) -> int | None:
    """The start of `2026-11-23T10:00` at `+07:00` or `Z`; None where there is no such time."""
    try:
        return to_us(datetime.fromisoformat(f"{minute}:00{offset}"))
    except ValueError:
        return None


@lru_cache(maxsize=8192)
def local_minute_us(minute: str, zone: str) -> int | None:
    """The start of `2026-11-23T10:00` in `zone`, as `minute_us`; None where there is no such time.

    Raises:
        ParseError: there is no such zone.
    """
    try:
        return to_us(datetime.fromisoformat(f"{minute}:00").replace(tzinfo=_zone(zone)))
    except ValueError:
        return None


def tai64n_us(label: str) -> int | None:
    """Microseconds UTC of the 24 hexadecimal digits of a TAI64N label; None outside the years 1970 to 9909."""
    second, nanosecond = int(label[:16], 16) - _TAI_EPOCH_S, int(label[16:], 16)
    if not (0 <= second < _LAST_DAY * 86_400 and nanosecond < 1_000_000_000):
        return None
    return second * SECOND_US + nanosecond // 1000


@lru_cache(maxsize=8192)
def clf_minute_us(minute: str, offset: str | None, zone: str) -> int | None:
    """The start of `17/May/2015:10:05` at `+0700`, or in `zone`; None where there is no such time."""
    day, month, year, clock = minute[:2], minute[3:6], minute[7:11], minute[12:]
    if month not in _MONTHS:
        return None
    iso = f"{year}-{_MONTHS.index(month) + 1:02}-{day}T{clock}"
    return stated_minute_us(iso, offset) if offset else local_minute_us(iso, zone)
