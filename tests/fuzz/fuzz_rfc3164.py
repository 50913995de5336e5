"""Hostile bytes to `socmon.parsers`: only ParseError may come out, and what does parse must be fit to store."""

import msgspec

from socmon.errors import ParseError
from socmon.event import Event, Record, Source, rfc3339
from socmon.parsers import detect, parse

_SOURCE = Source(collector="fuzz", peer="fuzz", format="rfc3164", zone="Asia/Ho_Chi_Minh")
_NOW_US = 1_795_435_200_000_000
_HEADERS = (b"", b"Nov 23 10:00:02 h sshd[8]: ", b"<13>Nov 23 10:00:02 h sudo: ", b"2026-11-23T10:00:00Z h x: ")


def one_input(data: bytes) -> None:
    """Read `data` as a whole record, and as the message of programs that have a reader."""
    detect([data])
    for header in _HEADERS:
        record = Record(header + data, _SOURCE, _NOW_US)
        try:
            event = parse(record)
        except ParseError:
            continue
        _check(event)


def _check(event: Event) -> None:
    msgspec.json.encode([event.fields, event.entities, event.host])
    assert event.time_us is not None
    rfc3339(event.time_us)
    assert 1 <= event.repeat <= 1_000_000
    assert event.fields.get("outcome") in {None, "success", "failure"}
