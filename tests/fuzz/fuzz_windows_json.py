"""Hostile events of Windows: as shippers might write them, and as anybody might."""

import msgspec

from socmon.errors import ParseError
from socmon.event import LogSource, Record, Source
from socmon.parsers import detect, parse, windows_json, windows_layouts
from socmon.parsers.json import MOST_FIELDS, MOST_KEY
from socmon.sigma.logsources import shipped_log_sources

_HEAD = b'{"EventID":1,"Channel":"Microsoft-Windows-Sysmon/Operational","Computer":"pc1",'
_SOURCES = shipped_log_sources()
_EVENTS = windows_layouts.Events()
_OTHER_NAMES = 3  # under which a field may stand a second time


def one_input(data: bytes) -> None:
    """Read `data` as a whole event, as further members of one, as what was logged, and inside of syslog."""
    _read(data, "windows_json")
    _read(_HEAD + data, "windows_json")
    _read_by_layout(_HEAD + data)
    _read(_HEAD + b'"EventData":{' + data + b"}}", "windows_json")
    _read(b"Nov 23 10:00:02 pc1 x: " + data, "rfc3164")


def _read(whole: bytes, chosen: str) -> None:
    detect([whole])
    try:
        event = parse(Record(whole, Source("fuzz", "fuzz", chosen), 1))
    except ParseError:
        return
    msgspec.json.encode([event.fields, event.entities, event.host])
    assert isinstance(event.fields["message"], str)
    assert chosen != "windows_json" or event.logsource in {LogSource("windows"), LogSource("linux", None, "sysmon")}
    assert chosen != "windows_json" or len(event.fields) <= MOST_FIELDS + _OTHER_NAMES + 1
    assert max(map(len, event.fields)) <= MOST_KEY
    told = _SOURCES.told(event.logsource, event.fields)
    assert len(told.services) <= 2
    assert all(isinstance(text, str) for text in (*told.services, *told.categories))


def _read_by_layout(whole: bytes) -> None:
    """What is read by its layout is what the parser reads, but for what the layout says that it lacks."""
    found = _EVENTS.read(whole)
    if found is None:
        return
    layout, values = found
    fields = dict(zip(layout.names, values, strict=True))
    if layout.logsource(fields) is None:
        return
    record = Record(whole, Source("fuzz", "fuzz", "windows_json"), 1)
    event = parse(record)
    read = windows_json.event(record, fields, undated=False)
    assert (read.time_us, read.time_known, read.host) == (event.time_us, event.time_known, event.host)
    assert (read.logsource, event.verbatim) == (event.logsource, True)
    assert fields.keys() - layout.besides == event.fields.keys() - layout.besides
    names = fields.keys() - layout.besides
    assert repr([*map(fields.get, names)]) == repr([*map(event.fields.get, names)])
