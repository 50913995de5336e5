"""Syslog as RFC 5424 writes it: header, structured data, message.

    <165>1 2003-10-11T22:14:15.003Z host app 123 ID47 [id@32473 iut="3"] message

Structured data become fields `SD-ID.PARAM`, escapes undone (section 6.3.3); a parameter that is repeated is a list.
"""

import re
from typing import Any

from socmon.errors import ParseError
from socmon.event import Event, Record, TimeKnown
from socmon.parsers import programs, stamps
from socmon.parsers.dating import into_minute_us
from socmon.parsers.rfc3164 import facility_and_severity

_TIME = (
    r"(?:-|([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9]))"
)
_BEGINNING = re.compile(rf"<([0-9]{{1,3}})>[1-9][0-9]{{0,2}} {_TIME} ")
_HEADER = re.compile(
    rf"{_BEGINNING.pattern}([!-~]{{1,255}}) ([!-~]{{1,48}}) ([!-~]{{1,128}}) ([!-~]{{1,32}}) (?=-(?: |\Z)|\[)"
)
_NAME = r"[!#-<>-\\^-~]{1,32}"  # printable ASCII without " = ]
_ELEMENT = re.compile(rf"\[({_NAME})((?: {_NAME}=\"(?:[^\"\\\]]|\\.)*+\")*+)\]", re.DOTALL)
_PARAM = re.compile(rf" ({_NAME})=\"((?:[^\"\\\]]|\\.)*+)\"", re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\\]])')
_BOM = "\ufeff"
MOST_PARAMS = 64
LONGEST_VALUE = 1024  # characters


def fits(data: bytes) -> bool:
    """Whether `data` begins with this format's priority, version and time."""
    return _BEGINNING.match(data[:128].decode("utf-8", "backslashreplace")) is not None


def parse(record: Record, *, year: int | None, undated: bool) -> Event:  # noqa: ARG001 - every stamp has its year
    """The event of one message; of more than 64 parameters the first count, of long values the first 1024 characters.

    Raises:
        ParseError: no header of this format, structured data that break its grammar, or a time or priority that does
            not exist.
    """
    text = record.data.decode("utf-8", "backslashreplace")
    header = _HEADER.match(text)
    if header is None:
        raise ParseError(f"no header of RFC 5424 at the start of {text[:80]!r}")
    priority, *stated, host, tag, process, message_id = header.groups()
    data, rest = _structured_data(text, header.end())
    message = rest.removeprefix(" ").removeprefix(_BOM).strip(" \t\r\n\0")
    time_us, known = _time(stated, record, undated=undated)
    logsource, fields, repeat = programs.read("" if tag == "-" else tag, message)
    fields = data | fields
    fields["message"] = message
    fields["facility"], fields["severity"] = facility_and_severity(priority)
    if tag != "-":
        fields["program"] = tag
    if process != "-":
        fields |= {"pid": int(process)} if process.isdecimal() and len(process) <= 10 else {"procid": process}
    if message_id != "-":
        fields["msgid"] = message_id
    return Event(record, time_us, known, "" if host == "-" else host, logsource, fields, repeat)


def _time(stated: list[Any], record: Record, *, undated: bool) -> tuple[int | None, TimeKnown]:
    minute, second, fraction, offset = stated
    if minute is None:
        return (None, "unknown") if undated else (record.dated_by_us, "received")
    start_us = stamps.stated_minute_us(minute, offset)
    if start_us is None or second > "60":  # RFC 5424 forbids 60, yet clocks have it
        raise ParseError(f"there is no such time as {minute}:{second}{offset}")
    return start_us + into_minute_us(second, fraction), "stated"


def _structured_data(text: str, start: int) -> tuple[dict[str, Any], str]:
    """Fields of the structured data that begin at `start`, and the text behind them."""
    if text[start] == "-":
        return {}, text[start + 1 :]
    fields: dict[str, Any] = {}
    seen: set[str] = set()
    taken = 0
    while element := _ELEMENT.match(text, start):
        if element[1] in seen:
            raise ParseError(f"structured data {element[1]!r} stand twice (RFC 5424, section 6.3.2)")
        seen.add(element[1])
        for param in _PARAM.finditer(element[2]):
            if (taken := taken + 1) > MOST_PARAMS:
                break
            _add(fields, f"{element[1]}.{param[1]}", _ESCAPE.sub(r"\1", param[2])[:LONGEST_VALUE])
        start = element.end()
    if not seen or text[start : start + 1] not in {"", " "}:
        raise ParseError(f"structured data break RFC 5424, section 6.3, at {text[start : start + 80]!r}")
    return fields, text[start:]


def _add(fields: dict[str, Any], name: str, value: str) -> None:
    if name not in fields:
        fields[name] = value
    elif isinstance(fields[name], list):
        fields[name].append(value)
    else:
        fields[name] = [fields[name], value]
