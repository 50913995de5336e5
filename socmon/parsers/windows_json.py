"""Windows events as JSON, one object a line, as log shippers and tools write them.

    {"EventID":4625,"Channel":"Security","Provider_Name":"Microsoft-Windows-Security-Auditing","Computer":"dc1",…}

Flat, with what `EventData` holds beside the system's fields (NXLog, WEF, flattened .evtx); Winlogbeat's `winlog` with
`event_data`; or the event's XML as JSON (`Event` with `System` and `EventData`, as evtx_dump writes it). Fields get the
names that Sigma's rules have: those of the event, an XML attribute joined by `_` (`Provider_Name`), without spaces.
Which event log and category it is, rules/logsources.yml tells by `Channel` and `EventID`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from socmon.errors import ParseError
from socmon.event import WINDOWS, Event, LogSource, Record, TimeKnown
from socmon.parsers import json, json_time

MARKS = (b'"EventID"', b'"event_id"')
_NUMBER = re.compile(r"[0-9]{1,10}")
_MOST_NUMBER = 1 << 32
_MOST_DEPTH = 8
TIMES = ("TimeCreated", "TimeCreated_SystemTime", "UtcTime", "@timestamp", "TimeGenerated", "EventTime")
UTC = "UtcTime"  # Sysmon's, without an offset, whatever the zone of the others is

# Objects whose members are fields of the event itself; of the first kind what Windows vouches for, of the second what
# the program that logged it says.
_SYSTEM = frozenset({"Event", "System", "#attributes", "winlog"})
_DATA = frozenset({"EventData", "UserData", "event_data", "user_data"})
_OPENED = frozenset({"UserData", "user_data"})
# Elements of `System` whose attributes are fields.
_ELEMENTS = frozenset({"Provider", "EventID", "TimeCreated", "Execution", "Security", "Correlation"})
_TEXT = "#text"
# What shippers call the system's fields otherwise.
_BEATS = {
    "channel": "Channel",
    "event_id": "EventID",
    "computer_name": "Computer",
    "provider_name": "Provider_Name",
    "provider_guid": "Provider_Guid",
    "record_id": "EventRecordID",
}
OTHERWISE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Computer": ("Hostname", "host.name"),
        "Provider_Name": ("ProviderName", "SourceName"),
        "TimeCreated": ("TimeCreated_SystemTime",),
    }
)
# What only the system says of an event, never the program that logged it.
_VOUCHED = frozenset({"EventID", "Channel", *OTHERWISE, *TIMES}) - {UTC}
_SHOWN = (str, type(None))  # what `message` shows as it stands
_LINUX_SYSMON = "linux-sysmon"
_OF_WINDOWS = LogSource(product=WINDOWS)
_OF_LINUX = LogSource(product="linux", service="sysmon")


def fits(data: bytes) -> bool:
    """Whether `data` is an object with what only events of Windows have together."""
    return data.lstrip().startswith(b"{") and bool(_surely(data))


def wrapped(message: str) -> dict[str, Any]:
    """The fields of an event that a shipper wrapped in syslog; {} if it is another message."""
    return _surely(message.encode("utf-8", "backslashreplace")) if message.startswith("{") else {}


def _surely(data: bytes) -> dict[str, Any]:
    if not any(mark in data for mark in MARKS):
        return {}
    try:
        fields = fields_of(data)
    except ParseError:
        return {}
    told = sum(isinstance(fields.get(name), str) for name in ("Channel", "Provider_Name", "Computer"))
    return fields if told > 1 else {}


def parse(record: Record, *, year: int | None, undated: bool) -> Event:  # noqa: ARG001  the time is whole or absent
    """The event of one line; `message` is the text that was rendered for people, or channel and number.

    Raises:
        ParseError: no JSON object, one nested deeper than 32 levels, or none of an event of Windows.
    """
    found = json.as_decoded(record.data)
    verbatim = found is not None and type(found.get("Channel")) in _SHOWN
    fields = fields_of(record.data) if found is None else completed(found, {}, record.data)
    made = event(record, fields, undated=undated)
    made.verbatim = verbatim
    return made


def event(record: Record, fields: dict[str, Any], *, undated: bool) -> Event:
    """The event with these fields: its time, host and log source."""
    time_us = _time_us(fields, record.source.zone)
    time_known: TimeKnown = "stated"
    if time_us is None:
        time_us, time_known = (None, "unknown") if undated else (record.dated_by_us, "received")
    computer = fields.get("Computer")
    host = computer[:255] if type(computer) is str and computer != "-" else ""
    return Event(record, time_us, time_known, host, logsource(fields), fields)


def logsource(fields: Mapping[str, Any]) -> LogSource:
    """Windows'; of Sysmon for Linux, which writes events of the same form, that of Linux."""
    return logsource_of(fields.get("Provider_Name"))


def logsource_of(provider: Any) -> LogSource:
    """As `logsource`, by the event's provider."""
    if type(provider) is str and len(provider) == len(_LINUX_SYSMON) and provider.lower() == _LINUX_SYSMON:
        return _OF_LINUX
    return _OF_WINDOWS


def fields_of(data: bytes) -> dict[str, Any]:
    """The fields of an event, with `message`.

    Raises:
        ParseError: as `parse`.
    """
    fields = json.as_decoded(data)
    return completed(*flattened(data), data) if fields is None else completed(fields, {}, data)


def flattened(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that the members of any object come to, and apart from them what programs logged; key by key.

    Raises:
        ParseError: no JSON object, or one nested deeper than 32 levels.
    """
    fields: dict[str, Any] = {}
    said: dict[str, Any] = {}
    _flatten(json.decoded(data), "", _MOST_DEPTH, fields, said)
    return fields, said


def completed(fields: dict[str, Any], said: dict[str, Any], data: bytes) -> dict[str, Any]:
    """`fields` with the names that rules have for them, what was `said`, and `message`."""
    get = fields.get
    take_other_names(fields, OTHERWISE)
    if said:
        for name, value in said.items():
            if name not in _VOUCHED and len(fields) < json.MOST_FIELDS:
                fields.setdefault(name, value)
    channel, number = get("Channel"), get("EventID")
    if not is_number(number) or not (type(channel) is str or type(get("Provider_Name")) is str):
        raise ParseError(f"no event of Windows: it has no EventID with Channel or Provider_Name: {data[:80]!r}")
    message = get("message")
    if type(message) is not str or not message:
        told = get("Message")
        if type(told) is not str or not told:
            told = f"{number}" if channel is None else f"{str(channel)[:255]} {number}"
        fields["message"] = told
    return fields


def take_other_names(fields: dict[str, Any], otherwise: Mapping[str, Sequence[str]]) -> None:
    """Give fields that are no text the first text that stands under one of their other names."""
    get = fields.get
    for name, others in otherwise.items():
        if type(get(name)) is not str and (stated := [get(other) for other in others if type(get(other)) is str]):
            fields[name] = stated[0]


def is_number(value: Any) -> bool:
    """Whether an `EventID` is one: a number, or its text."""
    if type(value) is int:
        return 0 <= value < _MOST_NUMBER
    return type(value) is str and _NUMBER.fullmatch(value) is not None


def _flatten(found: dict[str, Any], prefix: str, depth: int, fields: dict[str, Any], said: dict[str, Any]) -> None:
    """Add the members of an object to `fields`, and what programs logged to `said`; of equal names the first counts."""
    for key, value in found.items():
        if type(value) is dict and depth and key in _SYSTEM:
            _flatten(dict(_beats(value)) if key == "winlog" else value, prefix, depth - 1, fields, said)
        elif type(value) is dict and depth and key in _DATA:
            _flatten(_opened(value) if key in _OPENED else value, "", depth - 1, said, said)
        elif type(value) is dict and depth and value:
            joint = "_" if key in _ELEMENTS or prefix.endswith("_") else "."
            _flatten(value, f"{prefix}{key}{joint}", depth - 1, fields, said)
        elif len(fields) < json.MOST_FIELDS:
            name = prefix.rstrip("_.") if key == _TEXT and prefix else f"{prefix}{key}"
            fields.setdefault(
                name.replace(" ", "")[: json.MOST_KEY], value if type(value) is str else json.plain(value)
            )


def _beats(winlog: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Winlogbeat's members under the names of the event."""
    for key, value in winlog.items():
        yield (_BEATS.get(key) or (key if key in _DATA else f"winlog.{key}")), value


def _opened(data: dict[str, Any]) -> dict[str, Any]:
    """What `UserData` holds stands in an element with a name of its own."""
    inner = [value for key, value in data.items() if key != "#attributes"]
    return inner[0] if len(inner) == 1 and type(inner[0]) is dict else data


def _time_us(fields: Mapping[str, Any], zone: str) -> int | None:
    """The time of the first field that states one."""
    for name in TIMES:
        value = fields.get(name)
        if value is not None and (found := json_time.moment_us(value, "UTC" if name == UTC else zone)) is not None:
            return found
    return None
