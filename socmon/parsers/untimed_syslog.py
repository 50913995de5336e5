"""Syslog without a time stamp, as relays and the journal's readers hand it on (RFC 3164, section 4.3.3).

    <34>host tag[123]: message
    host tag[123]: message

It is dated by its receipt. Only a process id tells such a line from others, so there must be one.
"""

import re

from socmon.errors import ParseError
from socmon.event import Event, Record
from socmon.parsers import programs
from socmon.parsers.rfc3164 import facility_and_severity

_HEADER = re.compile(
    r"(?:<([0-9]{1,3})>)?(?:([^\s<>\[\]{}\"':]{1,255}) )?([A-Za-z/][^\s:\[\]\"{}]{0,127})\[([0-9]{1,10})\]: (.*)",
    re.DOTALL,
)


def fits(data: bytes) -> bool:
    """Whether `data` begins with a tag and a process id, perhaps behind a host."""
    return _HEADER.match(data[:512].decode("utf-8", "backslashreplace")) is not None


def parse(record: Record, *, year: int | None, undated: bool) -> Event:  # noqa: ARG001  there is no stamp to date
    """The event of one line, with no time of its own.

    Raises:
        ParseError: no such line, or no such priority.
    """
    text = record.data.decode("utf-8", "backslashreplace")
    header = _HEADER.match(text)
    if header is None:
        raise ParseError(f"no tag with a process id at the start of {text[:80]!r}")
    priority, host, tag, pid, rest = header.groups()
    message = rest.strip(" \t\r\n\0")
    logsource, fields, repeat = programs.read(tag, message)
    fields |= {"message": message, "program": tag, "pid": int(pid)}
    if priority:
        fields["facility"], fields["severity"] = facility_and_severity(priority)
    time_us = None if undated else record.dated_by_us
    return Event(record, time_us, "unknown" if undated else "received", host or "", logsource, fields, repeat)
