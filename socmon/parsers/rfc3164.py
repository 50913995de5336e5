"""Syslog as hosts write it to files and senders put it on the wire (RFC 3164, section 4).

    <34>Oct 11 22:14:15 host tag[123]: message      the priority may be absent, as it is in files
    Oct 11 2026 22:14:15 host tag: message          with the year, as network equipment can be told to
    2026-10-11T22:14:15.003+07:00 host tag: …       the same line with RFC 3339 time, rsyslog's file template
    2026-10-11 22:14:15.003+0700  host tag[123]: …  or nearly that, as macOS has it
    @400000004c91b044077a9e94 tag: message          behind multilog
    Oct 11 22:14:15 [tag] message                   metalog: no host

Host or tag may be absent, not both; a tag ends in a colon or has a process id. Many programs begin the lines of logs of
their own with a date and a time, so without a zone these are taken for syslog only where a process id follows.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from socmon.errors import ParseError
from socmon.event import Event, LogSource, Record
from socmon.parsers import dating, programs

_HEADER = re.compile(
    rf"""
    (?: <([0-9]{{1,3}})> )?
    {dating.STAMP}
    [ ]+
    (?: \[([a-zA-Z][\w./-]{{0,63}})\]:?(?=[ ])                                  # metalog's tag
      | (?: ( [^\s<\[\]]{{0,254}}[^\s<\[\]:] ) [ ]+ )?                          # host
        (?: ( [^\s:\[\]]{{1,128}}(?:[ ][0-9]{{1,4}}\.[0-9.]{{1,16}})? )         # tag; `syslogd 1.4.1` has its version
            (?: \[(?: ([0-9]{{1,10}}) | [^\s\[\]]{{0,32}} )\]:? | \]?:(?=[ ]|$) ) )? )  # process id
    (?: [ ]\[ID[ ][0-9]{{1,10}}[ ][a-z0-9]{{1,16}}\.[a-z]{{1,16}}\] )?           # Solaris adds a message id
    (.*)
    """,
    re.VERBOSE | re.DOTALL,
)
# What most lines begin with, `Oct 11 22:14:15 host tag[123]: `, read at a third of the cost; what it finds is what
# _HEADER finds (tests/parsers/test_rfc3164_header.py), which reads all else.
_PLAIN = re.compile(
    r"(?:<([0-9]{1,3})>)?([A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}):([0-9]{2}) "
    r"([^\s<\[\]]{0,254}[^\s<\[\]:] [^\s:\[\]]{1,128})\[([0-9]{1,10})\]: (?!\[ID )"
)
_GREATEST_PRIORITY = 191  # facility 23, severity 7


def fits(data: bytes) -> bool:
    """Whether `data` begins with this format's header."""
    header = _HEADER.match(data[:512].decode("utf-8", "backslashreplace"))
    return header is not None and (header["minute"] is None or bool(header[8] or header[12]))


class _Place(NamedTuple):
    """What `host tag` says: whose message it is, and who reads it."""

    host: str
    tag: str
    logsource: LogSource
    program: programs.Program | None


@lru_cache(maxsize=4096)
def _place(host_and_tag: str) -> _Place:
    host, _, tag = host_and_tag.partition(" ")
    return _Place(host, tag, *programs.of(tag))


def parse(record: Record, *, year: int | None, undated: bool) -> Event:
    """The event of one line; `message` is the text after the tag, bytes that are not UTF-8 shown as escapes.

    Raises:
        ParseError: no header, a time or priority that does not exist, or nothing after the header.
    """
    text = record.data.decode("utf-8", "backslashreplace")
    plain = _PLAIN.match(text)
    if plain is None:
        return _parse_any(text, record, year, undated=undated)
    priority, minute, second, host_and_tag, pid = plain.groups()
    time_us, known = dating.time_in_minute(minute, second, record, year, undated=undated)
    host, tag, logsource, program = _place(host_and_tag)
    message = text[plain.end() :].strip(" \t\r\n\0")
    logsource, fields, repeat = programs.read_by(program, logsource, message)
    fields["message"] = message
    fields["program"] = tag
    fields["pid"] = int(pid)
    if priority:
        fields["facility"], fields["severity"] = facility_and_severity(priority)
    return Event(record, time_us, known, host, logsource, fields, repeat)


def _parse_any(text: str, record: Record, year: int | None, *, undated: bool) -> Event:
    header = _HEADER.match(text)
    if header is None:
        raise ParseError(f"no syslog time stamp at the start of {text[:80]!r}")
    priority, label, stamp, stated_year, minute, second, fraction, zone, metalog, host, tag, pid, rest = header.groups()
    if minute and not (zone or pid):
        raise ParseError(f"neither a zone nor a process id, so not surely syslog: {text[:80]!r}")
    message = rest.strip(" \t\r\n\0")
    tag = tag or metalog
    if tag is None and not (host and message):
        raise ParseError(f"neither a tag nor a host with a message in {text[:80]!r}")
    stated = (label, stamp, stated_year, minute, second, fraction, zone)
    time_us, known = dating.time_of(stated, record, year, undated=undated)
    logsource, fields, repeat = programs.read(tag or "", message)
    fields["message"] = message
    if tag:
        fields["program"] = tag
    if pid:
        fields["pid"] = int(pid)
    if priority:
        fields["facility"], fields["severity"] = facility_and_severity(priority)
    return Event(record, time_us, known, host or "", logsource, fields, repeat)


def facility_and_severity(priority: str) -> tuple[int, int]:
    """The two that `priority`, digits only, is made of (RFC 5424, section 6.2.1).

    Raises:
        ParseError: no such priority.
    """
    number = int(priority)
    if number > _GREATEST_PRIORITY:
        raise ParseError(f"no such syslog priority: {priority}; the greatest is {_GREATEST_PRIORITY}")
    return divmod(number, 8)
