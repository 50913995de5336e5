"""The events of a capture file; the same bytes always give the same events, in the same order."""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from socmon.capture.told import Told
from socmon.errors import ParseError
from socmon.network import Analysis, read_capture

SENSOR = "file"  # what a file's counters say where the interface's name would stand


class Decoding:
    """One pass over `stream`, which is read as it goes.

    Attributes:
        trouble: why it could not be read to its end; "" if it could, or is not over.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._made: list[bytes] = []
        self._analysis = Analysis(self._made.append)
        self.trouble = ""

    def __iter__(self) -> Iterator[bytes]:
        """Each event, without its end; at damage those of all that came before it, and `trouble` is set."""
        made, take = self._made, self._analysis.packet
        try:
            for moment, link, frame in read_capture(self._stream):
                take(frame, moment, link)
                if made:
                    yield from made
                    made.clear()
        except (ParseError, OSError, EOFError, zlib.error) as error:  # the last two: a .gz that is damaged
            self.trouble = str(error)[:300]
        self._analysis.finish()
        yield from made
        made.clear()

    @property
    def told(self) -> Told:
        """How much it was."""
        counts = self._analysis.counts
        return Told(
            sensor=SENSOR,
            packets=counts.packets,
            bad=counts.bad,
            events=counts.events,
            evicted=counts.evicted + counts.half_open_evicted,
            trouble=self.trouble,
        )
