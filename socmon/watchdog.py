"""The watchdog: the service manager hears that socmon lives only while every part of it moves.

A thread of its own looks, so that a loop that is blocked is noticed, and told of with the place. A part that waits for
something that a restart would not bring, such as room on a full disk, says that it moves.
"""

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from socmon import failpoints, log, metrics
from socmon.notify import Manager

STILL_S = 30.0  # a part that has not moved for so long hangs, where no service manager has its own idea of that
_TURN_S = 1.0
_LOOP = "event loop"
_FRAMES = 4  # of the place where the loop is blocked

_log = log.get("watchdog")


class Part(Protocol):
    """A part of socmon that moves; read from the watchdog's thread."""

    @property
    def name(self) -> str:
        """What people know it by."""

    @property
    def still_s(self) -> float:
        """Seconds since it last moved; 0 while it waits for what no restart would bring."""


class Pulse:
    """When a part last moved.

    Attributes:
        waits: it waits for what no restart would bring, so it need not move.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.waits = False
        self._moved_s = time.monotonic()

    def beat(self) -> None:
        """It moves."""
        self._moved_s = time.monotonic()

    @property
    def still_s(self) -> float:
        """See Part."""
        return 0.0 if self.waits else time.monotonic() - self._moved_s


class Watchdog:
    """Looks three times within the manager's period whether all parts have moved within half of it.

    Args:
        parts: what must move, beside the event loop, which runs `turn`.
        sentence: how things are, for `systemctl status`; called on the event loop.
    """

    def __init__(self, manager: Manager, parts: Iterable[Part], sentence: Callable[[], str]) -> None:
        period_s = manager.watchdog_s or 2 * STILL_S
        self._manager = manager
        self._loop = Pulse(_LOOP)
        self._parts: list[Part] = [self._loop, *parts]
        self._limit_s = period_s / 2
        self._every_s = period_s / 3
        self._sentence = sentence
        self._shown = ""
        self._told: frozenset[str] = frozenset()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="watchdog", daemon=True)
        self._loop_thread = 0

    def start(self) -> None:
        """Begin to look; to be called on the event loop's thread."""
        self._loop_thread = threading.get_ident()
        self._thread.start()

    def close(self) -> None:
        """Look no more; harmless when not started."""
        self._closed.set()

    async def turn(self) -> None:
        """Show that the event loop comes round, and measure how late it does, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._loop.beat()
            self._shown = self._sentence()
            failpoints.hang("loop.hang")
            due_s = loop.time() + _TURN_S
            await asyncio.sleep(_TURN_S)
            metrics.LOOP_LAG_SECONDS.observe(max(0.0, loop.time() - due_s))

    @property
    def troubles(self) -> list[str]:
        """What does not move, a sentence each."""
        return [f"{name} has not moved for {still_s:.0f} s" for name, still_s in self._still().items()]

    def health(self) -> tuple[bool, list[str]]:
        """Whether all moves; what does not."""
        troubles = self.troubles
        return not troubles, troubles

    def _still(self) -> Mapping[str, float]:
        ages = ((part.name, part.still_s) for part in self._parts)
        return {name: still_s for name, still_s in ages if still_s > self._limit_s}

    def _look_on(self) -> None:
        looked_s = time.monotonic()
        while not self._closed.wait(self._every_s):
            was_stopped = time.monotonic() - looked_s > self._every_s + self._limit_s
            looked_s = time.monotonic()
            if not was_stopped:  # the whole process or machine was, and nobody could move
                self._look()

    def _look(self) -> None:
        still = self._still()
        for name in still.keys() - self._told:
            place = self._place() if name == _LOOP else {}
            _log.error("a part does not move", part=name, still_s=round(still[name], 1), **place)
        for name in self._told - still.keys():
            _log.info("a part moves again", part=name)
        self._told = frozenset(still)
        if still:
            self._manager.status("; ".join(self.troubles))
        else:
            self._manager.alive(self._shown)

    def _place(self) -> dict[str, Any]:
        """Where the event loop is, the innermost call last."""
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001  the interpreter's only way to ask
        frames = traceback.extract_stack(frame)[-_FRAMES:] if frame else []
        return {"where": [f"{each.filename}:{each.lineno} {each.name}" for each in frames]}
