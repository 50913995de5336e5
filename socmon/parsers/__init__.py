"""From bytes to events: one file a format, pure functions, no state but bounded memos."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from socmon.errors import ParseError
from socmon.event import OWN, Event, LogSource, Record
from socmon.parsers import (
    apache_error,
    dovecot_log,
    journald,
    json,
    nginx_error,
    own,
    rfc3164,
    rfc5424,
    untimed_syslog,
    web_access,
    windows_json,
    zeek,
)


class Parser(Protocol):
    """What the module of a format holds."""

    def fits(self, data: bytes) -> bool:
        """Whether `data` begins as records of this format do."""

    def parse(self, record: Record, *, year: int | None, undated: bool) -> Event:
        """See `socmon.parsers.parse`."""


# In the order in which they are tried: a line of Dovecot's log may look like one of syslog, with a process for its tag.
# A line of nginx's error log may have a tag too. Logs of Zeek and events of Windows are JSON with certain keys. No line
# begins as two of the others do (tests/parsers/test_detect.py).
FORMATS: Mapping[str, Parser] = MappingProxyType(
    {
        "dovecot": dovecot_log,
        "rfc5424": rfc5424,
        "rfc3164": rfc3164,
        "zeek": zeek,
        "journald": journald,
        "windows_json": windows_json,
        "json": json,
        "web_access": web_access,
        "nginx_error": nginx_error,
        "apache_error": apache_error,
        "untimed_syslog": untimed_syslog,
    }
)
# Not among them, so that it can be neither configured nor detected.
_ALL: Mapping[str, Parser] = MappingProxyType({**FORMATS, OWN: own})


def parse(record: Record, *, year: int | None = None, undated: bool = False) -> Event:
    """The event that `record` tells of, read as its source's format; "auto" is settled for this record alone.

    A format that was detected, not set, was that of the source's first records. One that it cannot read is read as
    another that fits: a relay mixes formats, and over UDP the first record may have been anybody's.

    Args:
        record: `record.dated_by_us` infers a year that is not stated.
        year: dates every stamp without a year, instead of inference.
        undated: nothing can date a stamp without a year: `time_us` is then None (unless `year` is given).

    Raises:
        ParseError: the record is not in its format, or no format fits.
    """
    name = record.source.format
    if name == "auto":
        name = detect([record.data]) or ""
        if not name:
            raise ParseError(f"no known format fits {record.data[:80]!r}; known: {', '.join(FORMATS)}")
    parser = _ALL.get(name)
    if parser is None:
        raise ParseError(f"no parser is called {name[:80]!r}; known: {', '.join(FORMATS)}")
    try:
        event = parser.parse(record, year=year, undated=undated)
    except ParseError:
        other = _other(parser, record.data) if record.source.chosen == "detected" else None
        if other is None:
            raise
        event = other.parse(record, year=year, undated=undated)
    if parser is not own and (event.logsource.product or "").lower() == OWN:
        # Some formats let the sender name its log source, and this one's rules speak for socmon itself.
        event.logsource = LogSource()
    return event


def _other(tried: Parser, data: bytes) -> Parser | None:
    """A format besides `tried` that `data` begins as; not the last one, which nearly any text with a colon does."""
    fitting = (parser for parser in FORMATS.values() if parser not in {tried, untimed_syslog} and parser.fits(data))
    return next(fitting, None)


def detect(samples: Sequence[bytes]) -> str | None:
    """The format that more than half of the non-empty samples fit; None while there is none."""
    told = [sample for sample in samples if sample.strip()]
    for name, parser in FORMATS.items():
        if sum(parser.fits(sample) for sample in told) * 2 > len(told):
            return name
    return None
