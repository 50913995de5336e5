"""Entries of systemd's journal, as `journalctl --output=json` prints them, one object a line.

    {"__CURSOR":"s=…;i=1a;…","__REALTIME_TIMESTAMP":"1764174645000000","_HOSTNAME":"web1","_PID":"7","MESSAGE":"…", …}

A value is text, a list of numbers where it is no UTF-8, null where it is too long, or a list of such where the field
stands several times (JOURNAL_EXPORT_FORMATS, "Journal JSON Format"). Fields keep their names and their text; what
journald itself vouches for begins with an underscore (systemd.journal-fields(7)).
"""

import re
from typing import Any

from socmon.errors import ParseError
from socmon.event import Event, Record, TimeKnown
from socmon.parsers import programs
from socmon.parsers.json import decoded

_MARKS = (b'"__CURSOR":"s=', b'"__REALTIME_TIMESTAMP":"')
_NAME = re.compile(r"_?[A-Z][A-Z0-9_]{0,62}")  # so not those with two underscores: they are the file's, not the entry's
_NUMBER = re.compile(r"[0-9]{1,10}")
_MICROSECONDS = re.compile(r"[0-9]{1,17}")
_TIMES = ("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP")  # when it was sent; when journald had it
_MAX_TIME_US = 253_402_300_799_999_999  # the end of year 9999
_MOST_FIELDS = 256
_GREATEST_FACILITY, _GREATEST_SEVERITY = 23, 7


def fits(data: bytes) -> bool:
    """Whether `data` is an object with what each entry has."""
    return data.startswith(b"{") and all(mark in data for mark in _MARKS)


def parse(record: Record, *, year: int | None, undated: bool) -> Event:  # noqa: ARG001  each entry has its time
    """The event of one entry; `message`, `program` and `pid` are those of syslog, and so is what programs say.

    Raises:
        ParseError: no JSON object, or none of an entry.
    """
    entry = decoded(record.data)
    if not isinstance(entry.get("__CURSOR"), str):
        raise ParseError(f"no entry of a journal, it has no cursor: {record.data[:80]!r}")
    fields: dict[str, Any] = {
        name: _plain(value) for name, value in list(entry.items())[:_MOST_FIELDS] if _NAME.fullmatch(name)
    }
    message = _one(fields.pop("MESSAGE", ""))
    tag = _one(fields.get("SYSLOG_IDENTIFIER")) or _one(fields.get("_COMM"))
    logsource, said, repeat = programs.read(tag, message)
    fields |= said
    fields["message"] = message
    if tag:
        fields["program"] = tag
    pid = _one(fields.get("SYSLOG_PID")) or _one(fields.get("_PID"))
    if _NUMBER.fullmatch(pid):
        fields["pid"] = int(pid)
    for name, key, greatest in (
        ("facility", "SYSLOG_FACILITY", _GREATEST_FACILITY),
        ("severity", "PRIORITY", _GREATEST_SEVERITY),
    ):
        number = _one(fields.get(key))
        if _NUMBER.fullmatch(number) and int(number) <= greatest:
            fields[name] = int(number)
    time_us, known = _time(entry, record, undated=undated)
    return Event(record, time_us, known, _one(fields.get("_HOSTNAME"))[:255], logsource, fields, repeat)


def _time(entry: dict[str, Any], record: Record, *, undated: bool) -> tuple[int | None, TimeKnown]:
    for name in _TIMES:
        stated = entry.get(name)
        if isinstance(stated, str) and _MICROSECONDS.fullmatch(stated) and 0 < int(stated) <= _MAX_TIME_US:
            return int(stated), "stated"
    return (None, "unknown") if undated else (record.dated_by_us, "received")


def _plain(value: Any) -> str | list[str]:
    """The text of a value, or of each where the field stands several times."""
    if isinstance(value, list) and value and not all(_is_byte(each) for each in value):
        return [_text(each) for each in value]
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(_is_byte(each) for each in value):
        return bytes(value).decode("utf-8", "backslashreplace")
    return str(value) if isinstance(value, (int, float)) else ""  # journalctl prints neither numbers nor objects


def _is_byte(value: Any) -> bool:
    return type(value) is int and 0 <= value < 256


def _one(value: Any) -> str:
    """The text, the first one of several."""
    if isinstance(value, list):
        return str(value[0])
    return value if isinstance(value, str) else ""
