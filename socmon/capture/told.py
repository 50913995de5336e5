"""What socmon-capture and the daemon say to each other over their socket, in lines.

socmon-capture begins with a `Told`, waits for an answer, and then sends its events, a line each, with another `Told`
every second. Events are numbered from 0 in each run; a line has no number of its own: `Told.next` is that of the next.
The daemon answers with the number of the next event that it wants: all before it are in its journal.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from socmon.errors import ParseError

SOCKET = Path("/run/socmon/capture.sock")
MAX_LINE_BYTES = 256 * 1024
_PREFIX = b'{"_path":"socmon_capture",'
_MAX_ANSWER_DIGITS = 16

Count = Annotated[int, Meta(ge=0, le=2**53)]
_Run = Annotated[str, Meta(pattern=r"^[0-9a-z]{0,32}$")]
_Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:-]{0,63}$")]


class Told(Struct, frozen=True, kw_only=True, tag_field="_path", tag="socmon_capture"):
    """How one run of socmon-capture is; all counts are since it began.

    Attributes:
        sensor: its name, the peer of its records.
        run: tells one run from another.
        next: number of the event on the next line.
        packets: read from the interface or the file.
        kernel_packets: those that the kernel saw pass the filter: read, dropped, or still on their way.
        kernel_dropped: packets that the kernel had no room for.
        bad: packets that could not be decoded.
        events, events_dropped: made; and of these, thrown away because the daemon was away or slow for too long.
        evicted: flows that were closed early, because there were too many.
        trouble: why a file could not be read to its end; "" if it could.
    """

    sensor: _Name
    run: _Run = ""
    next: Count = 0
    packets: Count = 0
    kernel_packets: Count = 0
    kernel_dropped: Count = 0
    bad: Count = 0
    events: Count = 0
    events_dropped: Count = 0
    evicted: Count = 0
    trouble: str = ""

    def line(self) -> bytes:
        """With its end."""
        return msgspec.json.encode(self) + b"\n"


_decoder = msgspec.json.Decoder(Told)


def is_told(line: bytes) -> bool:
    """Whether a line is a `Told`; an event otherwise."""
    return line.startswith(_PREFIX)


def read_told(line: bytes) -> Told:
    """Raises ParseError: it is none."""
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ParseError(f"not a line of socmon-capture's own: {str(error)[:200]}") from error


def answer(wanted: int) -> bytes:
    """The line that says that all events before `wanted` are journalled."""
    return b"%d\n" % wanted


def read_answer(line: bytes) -> int:
    """Raises ParseError: it is none."""
    if not line.isdigit() or len(line) > _MAX_ANSWER_DIGITS:
        raise ParseError(f"not an answer to socmon-capture: {line[:40]!r}")
    return int(line)
