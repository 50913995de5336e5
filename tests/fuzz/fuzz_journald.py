"""Hostile entries of systemd's journal: as journalctl might print them, and as anybody might."""

import msgspec

from socmon.errors import ParseError
from socmon.event import Record, Source
from socmon.parsers import detect, parse

_HEAD = b'{"__CURSOR":"s=a;i=1","__REALTIME_TIMESTAMP":"1764174645000000","SYSLOG_IDENTIFIER":"sshd",'


def one_input(data: bytes) -> None:
    """Read `data` as a whole entry, as a further member of one, and as a message."""
    for whole in (data, _HEAD + data, _HEAD + b'"MESSAGE":' + data + b"}"):
        detect([whole])
        try:
            event = parse(Record(whole, Source("fuzz", "fuzz", "journald"), 1))
        except ParseError:
            continue
        msgspec.json.encode([event.fields, event.entities, event.host])
        assert event.time_us is not None
        assert isinstance(event.fields["message"], str)
        assert isinstance(event.fields.get("pid", 0), int)
