"""How far a long command is: one line on standard error, drawn over a few times a second on a terminal.

Elsewhere, where it is asked for, a line every ten seconds, for logs of jobs.
"""

import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TextIO, TypeVar

from socmon.cli.output import cut, width_of
from socmon.i18n import Translator
from socmon.text import printable

_DRAWN_S = 0.25
_WRITTEN_S = 10.0
_LOOKS = 40  # the rate is that of so many last pictures: ten seconds on a terminal
_BAR = 20
_ERASE = "\r\x1b[K"
_BLOCKS, _ASCII_BLOCKS = "█░", "#."

T = TypeVar("T")


class Look(NamedTuple):
    """How far it is.

    Attributes:
        done: share of all, from 0 to 1; None where nobody knows how much there is.
        lines: read so far.
        found: what was found so far, in words.
    """

    done: float | None
    lines: int
    found: str


class Progress:
    """The line, and when it is due; `due` costs a look at the clock.

    Args:
        stream: standard error.
        drawn: draw over the line; else lines are written one below the other.
        of_journal: lines are records of the journal.
    """

    def __init__(self, tr: Translator, stream: TextIO, *, drawn: bool, of_journal: bool = False) -> None:
        self._tr = tr
        self._of_journal = of_journal
        self._stream = stream
        self._drawn = drawn
        self._shown = False
        self._next_s = time.monotonic() + (0.0 if drawn else _WRITTEN_S)
        self._looks: deque[tuple[float, int, float]] = deque(maxlen=_LOOKS)
        # What is written between may stand on the same terminal.
        self._mixed = drawn and sys.stdout.isatty()
        self._blocks = _BLOCKS if can_show(stream, _BLOCKS) else _ASCII_BLOCKS

    @property
    def due(self) -> bool:
        """Whether it is time for the next picture."""
        return time.monotonic() >= self._next_s

    def say(self, text: str) -> None:
        """Show a text in place of the figures."""
        if self._drawn:
            self._put(text)

    def show(self, look: Look) -> None:
        """Show the figures, by as many parts as there is room for."""
        now_s = time.monotonic()
        self._next_s = now_s + (_DRAWN_S if self._drawn else _WRITTEN_S)
        self._looks.append((now_s, look.lines, look.done or 0.0))
        self._put(self._line(look))

    def aside(self, rows: Iterable[T]) -> Iterator[T]:
        """The same rows; each is handed on when the line does not stand where it will be written."""
        for row in rows:
            if self._mixed and self._shown:
                self.clear()
            yield row

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._stream.write(_ERASE)
            self._stream.flush()
            self._shown = False

    def _put(self, text: str) -> None:
        if not self._drawn:
            self._stream.write(text + "\n")
        else:
            # A column is left: a line that fills the last one would move the cursor to the next line.
            self._stream.write(_ERASE + cut(printable(text), max(1, columns(self._stream) - 1)))
            self._shown = True
        self._stream.flush()

    def _line(self, look: Look) -> str:
        tr, (began_s, lines, done), (now_s, _, _) = self._tr, self._looks[0], self._looks[-1]
        passed_s = now_s - began_s
        rate = (look.lines - lines) / passed_s if passed_s > 0 else 0.0
        speed = rate_of(rate, tr, of_journal=self._of_journal) if rate else ""
        count = tr("{lines} lines", lines=f"{look.lines:,}")
        if look.done is None:
            return self._fitting([count, speed, look.found])
        share = f"{min(look.done, 1.0):4.0%}"
        advanced = look.done - done
        left = ""
        if advanced > 0:
            left = tr("{time} left", time=_clock(max(0.0, (1.0 - look.done) * passed_s / advanced)))
        full = round(_BAR * min(look.done, 1.0))
        bar = self._blocks[0] * full + self._blocks[1] * (_BAR - full)
        return self._fitting([share, left, speed, look.found, bar], order=(4, 0, 2, 3, 1))

    def _fitting(self, parts: list[str], order: tuple[int, ...] = (0, 1, 2)) -> str:
        """Parts are given by their weight and shown in `order`; the last ones go where there is no room."""
        room = columns(self._stream) - 1 if self._drawn else sys.maxsize
        while len(parts) > 1 and sum(width_of(part) + 2 for part in parts if part) - 2 > room:
            parts.pop()
        return "  ".join(parts[at] for at in order if at < len(parts) and parts[at])


def rate_of(rate: float, tr: Translator, *, of_journal: bool) -> str:
    """Lines a second, in words; or records, where it is the journal that is read."""
    if of_journal:
        return tr("{rate} records/s", rate=f"{rate:,.0f}")
    return tr("{rate} lines/s", rate=f"{rate:,.0f}")


def can_show(stream: TextIO, text: str) -> bool:
    """Whether the encoding of `stream` has these characters."""
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def columns(stream: TextIO) -> int:
    """Columns of the terminal that `stream` is, or 80."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return shutil.get_terminal_size().columns


def _clock(seconds: float) -> str:
    """`0:07`, `12:05`, `3:00:09`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
