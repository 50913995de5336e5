"""When an object of JSON happened: the forms that loggers write times in."""

import re
from collections.abc import Mapping
from typing import Any

from socmon.event import SECOND_US
from socmon.parsers import stamps

_KEYS = (
    *("@timestamp", "timestamp", "time", "eventtime", "datetime", "ts", "date", "timeiso8601", "starttime", "startutc"),
    *("createdat", "logtime", "asctime", "timelocal", "timestampns", "msec", "thoigian"),
)
_ISO = re.compile(
    r"((?:19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r" ?([Zz]|[+-][0-9]{2}:?[0-9]{2})?"
)
_CLF = re.compile(
    r"\[?([0-3][0-9]/[A-Z][a-z]{2}/(?:19|20|21)[0-9]{2}:[0-9]{2}:[0-9]{2}):([0-9]{2})(?: ([+-][0-9]{4}))?\]?"
)
_DAY = re.compile(r"(?:19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2}")
_MOST_LETTERS = 64
_CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?")
_NUMBER = re.compile(r"[0-9]{9,19}(?:\.[0-9]{1,9})?")

# What `2026-11-23T10:00:02` came to with a Z behind it: events come many in a second.
_SECONDS_US: dict[str, int] = {}
_MOST_SECONDS = 4096
_MOST_DIGITS = 9
_TO_SECONDS = len("2026-11-23T10:00:02Z")

# A number is an epoch in the unit that puts it between 1973 and 5138; smaller ones are durations.
_LEAST_S = 1e8
_UNITS = ((1e11, SECOND_US, 1), (1e14, 1000, 1), (1e17, 1, 1), (9.3e18, 1, 1000))  # below, times, divided by


def time_us(known: Mapping[str, Any], zone: str) -> int | None:
    """The time that the first key with a readable one states, a stamp without offset in `zone`; None without any."""
    for key in _KEYS:
        value = known.get(key)
        if value is not None and (found := moment_us(value, zone)) is not None:
            return found
    day, clock = known.get("date"), known.get("time")
    if isinstance(day, str) and isinstance(clock, str) and _DAY.fullmatch(day) and _CLOCK.fullmatch(clock):
        return moment_us(f"{day} {clock}", zone)
    return None


def moment_us(value: Any, zone: str) -> int | None:
    """The time that one value states, a stamp without offset in `zone`; None if it is none."""
    if not isinstance(value, str):
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return _epoch_us(value) if is_number else None
    if value[-1:] == "Z" and (start_us := _SECONDS_US.get(value[:19])) is not None:
        if len(value) == _TO_SECONDS:
            return start_us
        digits = value[20:-1]
        if value[19] in ".," and digits.isdigit() and digits.isascii() and len(digits) <= _MOST_DIGITS:
            return start_us + int(digits[:6].ljust(6, "0"))
    if len(value) > _MOST_LETTERS:
        return None
    if _NUMBER.fullmatch(value):
        return _epoch_us(float(value) if "." in value else int(value))
    return _stamp_us(value, zone)


def _stamp_us(text: str, zone: str) -> int | None:
    if iso := _ISO.fullmatch(text):
        day, clock, second, fraction, offset = iso.groups()
        minute = f"{day}T{clock}"
        start_us = stamps.stated_minute_us(minute, offset.upper()) if offset else stamps.local_minute_us(minute, zone)
    elif clf := _CLF.fullmatch(text):
        second, fraction = clf[2], None
        start_us = stamps.clf_minute_us(clf[1], clf[3], zone)
    else:
        return None
    if start_us is None or (second or "00") > "60":
        return None
    start_us += int(second or 0) * SECOND_US
    if iso and second and text[-1] == "Z":
        if len(_SECONDS_US) >= _MOST_SECONDS:
            _SECONDS_US.clear()
        _SECONDS_US[text[:19]] = start_us
    return start_us + (int(fraction[:6].ljust(6, "0")) if fraction else 0)


def _epoch_us(number: float) -> int | None:
    if number < _LEAST_S:
        return None
    for below, times, divided in _UNITS:
        if number < below:
            return number * times // divided if isinstance(number, int) else round(number * times / divided)
    return None
