"""What the daemon lets go of the store by itself: by age and by size, in small steps between other writes."""

import asyncio
import time

from socmon import log
from socmon.errors import StoreError
from socmon.store.pruning import Bounds, Pruned
from socmon.store.store import Store

_LOOK_S = 600.0  # between two looks for what became old
_PAUSE_S = 1.0  # between two steps, for whoever else writes

_log = log.get("store")


class Retiring:
    """Keeps the store within its bounds.

    Args:
        keep_us: alerts older than this go.
        keep_bytes: the oldest go as long as the store holds more; None: it may grow.
        young_us: what is younger stays in any case.
    """

    def __init__(self, store: Store, *, keep_us: int, keep_bytes: int | None, young_us: int) -> None:
        self._store = store
        self._keep_us = keep_us
        self._keep_bytes = keep_bytes
        self._young_us = young_us

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            try:
                step = await self.step(self._keep_us, self._keep_bytes, by="socmon")
            except StoreError as error:
                _log.warning("old alerts cannot be removed from the store, will try again", error=str(error))
                wait_s = _LOOK_S
            else:
                wait_s = _PAUSE_S if step.more else _LOOK_S
            await asyncio.sleep(wait_s)

    async def step(self, age_us: int | None, max_bytes: int | None, *, by: str) -> Pruned:
        """Let one step of what may go go.

        Args:
            age_us: alerts older than this go; None: none for its age.
            max_bytes: the oldest go as long as the store holds more; None: none for its size.
            by: who lets them go, for the log.

        Raises:
            StoreError: nothing went.
        """
        now_us = time.time_ns() // 1000
        before_us = None if age_us is None else now_us - age_us
        step = await self._store.retire(Bounds(before_us, max_bytes, now_us - self._young_us))
        if step.alerts:
            _log.info("old alerts removed from the store", alerts=step.alerts, used_bytes=step.used_bytes, actor=by)
        return step
