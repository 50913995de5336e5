"""Saying that a collector moves while it waits for what ends by itself."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from socmon.component import BEAT_S, Context


@contextmanager
def beating(context: Context[Any]) -> Iterator[None]:
    """Beat while the body waits; only for waits that are bounded, or a hang would never be seen."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def beat() -> None:
        nonlocal timer
        context.beat()
        timer = loop.call_later(BEAT_S, beat)

    beat()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()
