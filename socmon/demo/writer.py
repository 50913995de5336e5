"""Writes the sample log live: line by line, dated now, numbered, as rsyslog would append it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from socmon.demo import sample
from socmon.intake import until

_PAUSE_S = 0.05


class Writer:
    """Appends to the file `path` until the sample is over or `stop` is set.

    Attributes:
        sent: lines written.
        turns: how often the sample was written to its end.
    """

    def __init__(self, path: Path, stop: asyncio.Event) -> None:
        self.sent = 0
        self.turns = 0
        self._path = path
        self._stop = stop
        self._lines = sample.lines()

    async def write_turn(self, length_s: float) -> None:
        """Write the sample once, spread evenly over `length_s` seconds."""
        loop = asyncio.get_running_loop()
        began_s, done, count = loop.time(), 0, len(self._lines)
        while done < count and not self._stop.is_set():
            due = min(count, int(count * (loop.time() - began_s) / length_s) + 1)
            await asyncio.to_thread(self._append, self._lines[done:due])
            done = due
            await until(self._stop, _PAUSE_S)
        if done == count:
            self.turns += 1

    def _append(self, lines: Sequence[sample.Line]) -> None:
        now = datetime.now(UTC)
        numbered = enumerate(lines, self.sent + 1)
        with self._path.open("ab") as log:
            log.write(b"".join(sample.written(line, number, self.turns, now) for number, line in numbered))
        self.sent += len(lines)
