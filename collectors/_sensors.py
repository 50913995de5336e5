"""One socmon-capture as the daemon hears it: which of its lines are events, and what its counts say has been lost."""

import socket
import struct
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from socmon.capture.told import Told, is_told, read_told
from socmon.errors import ParseError
from socmon.event import Record, Source

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid

_Number = Annotated[int, Meta(ge=0)]  # no upper bound: it may go beyond what a sensor may begin with


class Reached(NamedTuple):
    """What of one run of socmon-capture the journal has.

    Attributes:
        run: the run.
        wanted: number of its next event.
        dropped: how many of its events are told as dropped by itself.
    """

    run: str = ""
    wanted: _Number = 0
    dropped: _Number = 0

    def encode(self) -> bytes:
        """As a position."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, position: bytes | None) -> "Reached":
        """What `encode` gave; of no run where there is no such position."""
        try:
            return _decoder.decode(position or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return cls()


_decoder = msgspec.json.Decoder(Reached)


class Sensor:
    """One connection of a socmon-capture.

    Args:
        told: its first line.
        position: what the journal has of the sensor.

    Attributes:
        told: what it said last.
        reached: with the events that `take` has given so far.
        missing: events that it says we have, and the journal has not.
    """

    def __init__(self, told: Told, position: bytes | None) -> None:
        known = Reached.decode(position)
        if known.run != told.run:
            known = Reached(told.run, told.next)
        self.told = told
        self.missing = max(0, told.next - known.wanted)
        self.reached = known._replace(wanted=max(told.next, known.wanted))
        self._before = known.dropped

    @property
    def stream(self) -> str:
        """Of its positions."""
        return self.told.sensor

    def dropped(self) -> int:
        """Events that it dropped, and that were not asked for here yet."""
        new = max(0, self.told.events_dropped - self.reached.dropped)
        self.reached = self.reached._replace(dropped=self.reached.dropped + new)
        return new

    def take(self, lines: list[bytes], source: Source, now_us: int) -> tuple[list[Record], list[Told]]:
        """The records of `lines`, and what it says of itself among them.

        Raises:
            ParseError: a line is neither, or the numbers are not those that were agreed on.
        """
        records, said = list[Record](), list[Told]()
        wanted = self.reached.wanted
        for line in lines:
            if not is_told(line):
                if not line.startswith(b"{"):
                    raise ParseError(f"neither an event nor a word of socmon-capture's: {line[:40]!r}")
                records.append(Record(line, source, now_us))
                wanted += 1
                continue
            told = read_told(line)
            if (told.sensor, told.run, told.next) != (self.told.sensor, self.told.run, wanted):
                raise ParseError(f"{told.sensor} goes on with event {told.next} of {told.run}, not {wanted} as agreed")
            said.append(told)
        self.reached = self.reached._replace(wanted=wanted)
        self.told = said[-1] if said else self.told
        return records, said


def user_of(connection: socket.socket) -> int:
    """Whom the process at the other end belongs to, as the kernel says (SO_PEERCRED)."""
    _, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(uid)
