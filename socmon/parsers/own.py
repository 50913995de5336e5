"""Records of socmon's own: one JSON object each, made by socmon/own.py and read back here as any other record is.

No configuration can ask for this format, and it is read from the collector `socmon` alone, whose name no configuration
may use: so no log line that comes from outside can pass for one.
"""

import msgspec
from msgspec import Struct

from socmon.errors import ParseError
from socmon.event import OWN, Event, LogSource, Record


class OwnLine(Struct, frozen=True, forbid_unknown_fields=True):
    """What one record says.

    Attributes:
        service: what it is about, the service of the log source: `test`.
        time_us: when it happened.
        message: a sentence.
        fields: what rules read of it.
    """

    service: str
    time_us: int
    message: str
    fields: dict[str, str]


_decoder = msgspec.json.Decoder(OwnLine)
_MAX_TIME_US = 253_402_300_799_999_999  # the end of year 9999


def fits(data: bytes) -> bool:  # noqa: ARG001  the contract's signature
    """Never: what a record is, is not guessed from its bytes."""
    return False


def parse(record: Record, *, year: int | None, undated: bool) -> Event:  # noqa: ARG001  its time is always stated
    """The event, with log source product `socmon`.

    Raises:
        ParseError: the record is of another collector, or damaged.
    """
    if record.source.collector != OWN:
        raise ParseError(f"only socmon itself writes the format {OWN!r}, not {record.source.collector[:40]!r}")
    try:
        line = _decoder.decode(record.data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ParseError(f"no record of socmon's own: {str(error)[:200]}") from error
    if not 0 <= line.time_us <= _MAX_TIME_US:
        raise ParseError(f"there is no such time as {line.time_us} µs")
    fields = {**line.fields, "message": line.message}
    # What a record says of a host happened to that: so an alert of it names the agency.
    host = line.fields.get("host", "")
    return Event(record, line.time_us, "stated", host, LogSource(product=OWN, service=line.service), fields)
