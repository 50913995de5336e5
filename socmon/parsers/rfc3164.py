"""Syslog as hosts write it to files and senders put it on the wire (RFC 3164, section 4).

    <34>Oct 11 22:14:15 host tag[123]: message      the priority may be absent, as it is in files
    Oct 11 2026 22:14:15 host tag: message          with the year, as network equipment can be told to
    2026-10-11T22:14:15.003+07:00 host tag: …       the same line with RFC 3339 time, rsyslog's file template

Host or tag may be absent, not both; a tag ends in a colon or has a process id.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from socmon.errors import ParseError
from socmon.event import SECOND_US, Event, LogSource, Record, TimeKnown
from socmon.parsers import sshd, stamps, sudo

_HEADER = re.compile(
    r"""
    (?: <([0-9]{1,3})> )?
    (?: ( [A-Z][a-z]{2}[ ]{1,2}[0-9]{1,2}[ ](?:((?:19|20|21)[0-9]{2})[ ])?[0-9]{2}:[0-9]{2} )
      | ( (?:19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2} ) )
    :([0-9]{2}) (?: \.([0-9]{1,9}) )?
    (?(4) (Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9]) )                             # zone, after RFC 3339 time only
    [ ]+
    (?: ( [^\s<\[\]]{0,254}[^\s<\[\]:] ) [ ]+ )?                                # host
    (?: ( [^\s:\[\]]{1,128}(?:[ ][0-9]{1,4}\.[0-9.]{1,16})? )                   # tag; `syslogd 1.4.1` has its version
        (?: \[(?: ([0-9]{1,10}) | [^\s\[\]]{0,32} )\]:? | \]?:(?=[ ]|$) ) )?    # process id
    (?: [ ]\[ID[ ][0-9]{1,10}[ ][a-z0-9]{1,16}\.[a-z]{1,16}\] )?                # Solaris adds a message id
    (.*)
    """,
    re.VERBOSE | re.DOTALL,
)
_REPEATED = re.compile(r"message repeated ([0-9]{1,7}) times: \[ ?(.*)\]", re.DOTALL)  # rsyslog
_MOST_REPEATS = 1_000_000
_GREATEST_PRIORITY = 191  # facility 23, severity 7

# Tags that differ from the name of the service. OpenSSH 9.8 split its daemon into parts.
_SERVICES = {"sshd-session": "sshd", "sshd-auth": "sshd", "crond": "cron"}

Reader = Callable[[str], dict[str, Any]]
_READERS: dict[str, Reader] = {"sshd": sshd.read, "sudo": sudo.read}


def fits(data: bytes) -> bool:
    """Whether `data` begins with this format's header."""
    return _HEADER.match(data[:512].decode("utf-8", "backslashreplace")) is not None


def parse(record: Record, *, year: int | None, undated: bool) -> Event:
    """The event of one line; `message` is the text after the tag, bytes that are not UTF-8 shown as escapes.

    Raises:
        ParseError: no header, a time or priority that does not exist, or nothing after the header.
    """
    text = record.data.decode("utf-8", "backslashreplace")
    header = _HEADER.match(text)
    if header is None:
        raise ParseError(f"no syslog time stamp at the start of {text[:80]!r}")
    priority, *stated, host, tag, pid, rest = header.groups()
    message = rest.strip(" \t\r\n\0")
    if tag is None and not (host and message):
        raise ParseError(f"neither a tag nor a host with a message in {text[:80]!r}")
    time_us, known = _time(stated, record, year, undated=undated)
    logsource, reader = _program(tag or "")
    repeat, told = _repeated(message) if message.startswith("message repeated ") else (1, message)
    fields = reader(told) if reader else {}
    fields["message"] = message
    if tag:
        fields["program"] = tag
    if pid:
        fields["pid"] = int(pid)
    if priority:
        fields["facility"], fields["severity"] = _facility_and_severity(priority)
    return Event(record, time_us, known, host or "", logsource, fields, repeat)


def _time(stated: list[Any], record: Record, year: int | None, *, undated: bool) -> tuple[int | None, TimeKnown]:
    """Event time and how it is known; None and "unknown" where nothing can date it."""
    stamp, stated_year, minute, second, fraction, offset = stated
    zone = record.source.zone
    known: TimeKnown = "stated"
    into_us = int(second) * SECOND_US + (int(fraction[:6].ljust(6, "0")) if fraction else 0)
    if minute:
        start_us = stamps.stated_minute_us(minute, offset)
    elif stated_year:
        start_us = stamps.minute_us(stamp.replace(f" {stated_year} ", " "), int(stated_year), zone)
    elif year is not None:
        start_us = stamps.minute_us(stamp, year, zone)
    elif undated:
        start_us = stamps.minute_us(stamp, stamps.A_LEAP_YEAR, zone)
        known = "unknown"
    else:
        start_us = stamps.latest_minute_us(stamp, zone, into_us=into_us, anchor_us=record.dated_by_us)
        known = "year_inferred"
    if start_us is None or second > "60":  # 60 is a leap second: the next minute's first
        raise ParseError(f"there is no such time as {stamp or minute}:{second} (zone {offset or zone})")
    return (None if known == "unknown" else start_us + into_us), known


@lru_cache(maxsize=1024)
def _program(tag: str) -> tuple[LogSource, Reader | None]:
    """Log source of a tag, and who reads its messages: `sshd(pam_unix)`, `/usr/sbin/CRON`, `syslogd 1.4.1`."""
    if tag.startswith("%"):  # `%LINK-3-UPDOWN`: network equipment, not Linux
        return LogSource(), None
    name = tag.rpartition("/")[2] if tag.startswith("/") else tag
    name = re.split(r"[( ]", name.lower())[0] or name
    service = _SERVICES.get(name, name) or None
    return LogSource(product="linux", service=service), _READERS.get(service or "")


def _facility_and_severity(priority: str) -> tuple[int, int]:
    number = int(priority)
    if number > _GREATEST_PRIORITY:
        raise ParseError(f"no such syslog priority: {priority}; the greatest is {_GREATEST_PRIORITY}")
    return divmod(number, 8)


def _repeated(message: str) -> tuple[int, str]:
    """How often the inner message of `message repeated N times: [ … ]` came, and it; (1, message) beyond the bound."""
    found = _REPEATED.fullmatch(message)
    if found is None or not 1 <= int(found[1]) <= _MOST_REPEATS:
        return 1, message
    return int(found[1]), found[2]
