"""When a line happened: the stamps that syslog and its relatives begin with, as a pattern, and their time.

    Oct 11 22:14:15                      without a year (RFC 3164, section 4.1.2), or with one after the day
    2026-10-11T22:14:15.003+07:00        RFC 3339; with a space for the T, `+0700`, or no zone, as some programs write
    @400000004c91b044077a9e94            TAI64N, as multilog and s6-log write

See docs/semantics.md, "Dating".
"""

from socmon.errors import ParseError
from socmon.event import SECOND_US, Record, TimeKnown
from socmon.parsers import stamps

# Verbose, seven groups: label, stamp, its year, minute, second, fraction, zone; `minute` is named for the condition.
STAMP = r"""
    (?: @([0-9a-f]{24})
      | (?: ( [A-Z][a-z]{2}[ ]{1,2}[0-9]{1,2}[ ](?:((?:19|20|21)[0-9]{2})[ ])?[0-9]{2}:[0-9]{2} )
          | (?P<minute> (?:19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2} ) )
        :([0-9]{2}) (?: \.([0-9]{1,9}) )?
        (?(minute) (Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])? )
    )
"""
# 60 is a leap second: the next minute's first.
_INTO_US = {f"{second:02}": second * SECOND_US for second in range(61)}
_Stated = tuple[str | None, str | None, str | None, str | None, str, str | None, str | None]


def time_of(stated: _Stated, record: Record, year: int | None, *, undated: bool) -> tuple[int | None, TimeKnown]:
    """Event time of the groups of STAMP, and how it is known; None and "unknown" where nothing can date it.

    Raises:
        ParseError: there is no such time.
    """
    label, stamp, stated_year, minute, second, fraction, offset = stated
    zone = record.source.zone
    if label:
        time_us = stamps.tai64n_us(label)
        if time_us is None:
            raise ParseError(f"there is no such time as @{label}")
        return time_us, "stated"
    if stamp and not stated_year:
        return time_in_minute(stamp, second, record, year, undated=undated, fraction=fraction)
    if minute:
        start_us = stamps.stated_minute_us(minute, offset) if offset else stamps.local_minute_us(minute, zone)
    else:
        start_us = stamps.minute_us((stamp or "").replace(f" {stated_year} ", " "), int(stated_year or 0), zone)
    if start_us is None or second not in _INTO_US:
        raise ParseError(f"there is no such time as {stamp or minute}:{second} (zone {offset or zone})")
    return start_us + into_minute_us(second, fraction), "stated"


def time_in_minute(
    stamp: str, second: str, record: Record, year: int | None, *, undated: bool, fraction: str | None = None
) -> tuple[int | None, TimeKnown]:
    """As `time_of`, of the commonest stamp: `stamp` is `Oct 11 22:14`, without a year and a zone."""
    into_us, zone = _INTO_US.get(second), record.source.zone
    if into_us is not None and fraction:
        into_us = into_minute_us(second, fraction)
    if into_us is None:
        pass
    elif year is None and not undated:
        limit_us = (record.received_us if record.anchor_us is None else record.anchor_us) + stamps.DAY_US
        for latest_us in stamps.latest_minutes_us(stamp, zone, limit_us // stamps.DAY_US):
            if latest_us + into_us <= limit_us:
                return latest_us + into_us, "year_inferred"
    else:
        start_us = stamps.minute_us(stamp, stamps.A_LEAP_YEAR if year is None else year, zone)
        if start_us is not None:
            return (None, "unknown") if year is None else (start_us + into_us, "stated")
    raise ParseError(f"there is no such time as {stamp}:{second} (zone {zone})")


def into_minute_us(second: str, fraction: str | None) -> int:
    """Microseconds since the start of the minute; digits of the fraction beyond six are cut."""
    return int(second) * SECOND_US + (int(fraction[:6].ljust(6, "0")) if fraction else 0)
