"""Time modifiers: the part of a date and time that a rule asks for, read from a field's text as it is written there.

The specification's modifiers convert no time zones, so the hour of `2026-03-01T23:30:00+02:00` is 23.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Literal, get_args

TimeUnit = Literal["minute", "hour", "day", "week", "month", "year"]
UNITS: tuple[TimeUnit, ...] = get_args(TimeUnit)
# The week is that of ISO 8601, so a year may have a 53rd.
RANGES: Mapping[TimeUnit, tuple[int, int]] = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day": (1, 31),
    "week": (1, 53),
    "month": (1, 12),
    "year": (1, 9999),
}

# ISO 8601's calendar dates, extended or basic, and the space that many logs write for its T. A basic date without a
# time is left out: eight digits are more often a number. Lower case, because conditions are examined on folded text.
_STAMP = re.compile(
    r"([0-9]{4})(-?)([0-9]{2})\2([0-9]{2})"
    r"(?:[Tt ]([01][0-9]|2[0-3])(?::?([0-5][0-9])(?::?(?:[0-5][0-9]|60)(?:[.,][0-9]{1,9})?)?)?"
    r"(?: ?(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?))?)?",
    re.ASCII,
)


def part_of(text: str, unit: TimeUnit) -> int | None:
    """The number that `unit` has in the date or time `text`; None if it is none, or does not tell."""
    found = _STAMP.fullmatch(text)
    if found is None:
        return None
    year, dash, month, day, hour, minute = found.groups()
    if not dash and hour is None:
        return None
    try:
        on = date(int(year), int(month), int(day))
    except ValueError:
        return None
    if unit == "week":
        return on.isocalendar().week
    stated = {"minute": minute, "hour": hour, "day": day, "month": month, "year": year}[unit]
    return None if stated is None else int(stated)
