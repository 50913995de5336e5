"""Hostile bytes to the parsers of web logs, JSON and Zeek's logs: only ParseError comes out, fields can be stored."""

import msgspec

from socmon.errors import ParseError
from socmon.event import Record, Source, rfc3339
from socmon.parsers import FORMATS, apache_error, nginx_error, web_access

_NOW_US = 1_795_435_200_000_000
_STARTS = {
    "web_access": (b"", b"192.0.2.7 - ", b'192.0.2.7 - - [23/Nov/2026:10:00:03 +0700] "'),
    "nginx_error": (b"", b'2026/11/23 10:00:02 [error] 2#2: *6 user "'),
    "apache_error": (b"", b"[Mon Nov 23 10:00:02 2026] [error] [client 192.0.2.7] "),
    "json": (b"", b'{"time":', b'{"event":"login","status":'),
    "zeek": (b"", b'{"_path":"dns","ts":', b'{"_path":"conn","ts":1.5,"id.orig_h":', b'{"ts":1,"uid":"C1","id":{'),
}


def one_input(data: bytes) -> None:
    """Read `data` as a record of each format, alone and behind its usual start, and as messages of syslog."""
    for name, starts in _STARTS.items():
        for start in starts:
            _read(name, start + data)
    text = data.decode("utf-8", "backslashreplace")
    for read in (web_access.read, nginx_error.read, apache_error.read):
        msgspec.json.encode(read(text))


def _read(name: str, data: bytes) -> None:
    FORMATS[name].fits(data)
    source = Source("fuzz", "fuzz", name, zone="Asia/Ho_Chi_Minh")
    try:
        event = FORMATS[name].parse(Record(data, source, _NOW_US), year=None, undated=False)
    except ParseError:
        return
    msgspec.json.encode([event.fields, event.entities, event.host])
    assert isinstance(event.fields["message"], str)
    assert event.time_us is not None
    rfc3339(event.time_us)
    if name not in {"json", "zeek"}:
        assert event.fields.get("outcome") in {None, "success", "failure"}
