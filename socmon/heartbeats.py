"""Heartbeats: each destination that wants to know is told how we are, apart from what is delivered to it.

A task and a thread of its own: a backlog, a batch that hangs or a destination that is given up holds no heartbeat up.
"""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from socmon.component import Context, Forwarder, Heart
from socmon.config import Config, Wiring
from socmon.correlating import Correlating
from socmon.errors import ComponentError, StoreError
from socmon.outgoing import Vitals
from socmon.sigma import RuleSet
from socmon.store import figures, queue
from socmon.worker import Worker

_READ_S = 10.0


class Heartbeats:
    """Of every destination that wants to know.

    Args:
        door: makes the Context of one.
    """

    def __init__(self, config: Config, door: Callable[[Wiring], object], correlating: Correlating) -> None:
        asked = ((wiring, cast("Context[Any]", door(wiring))) for wiring in config.forwarders)
        found = ((context, cast("type[Forwarder[Any]]", wiring.cls).heart(context)) for wiring, context in asked)
        store = config.state_dir / "socmon.db"
        self._beating = [Beating(heart, context, store, correlating) for context, heart in found if heart is not None]

    async def run(self) -> None:
        """Beat until cancelled, each in a task of its own."""
        async with asyncio.TaskGroup() as group:
            for each in self._beating:
                group.create_task(each.run(), name=f"heartbeat {each.name}")


class Beating:
    """The heartbeats to one destination; `store` is the path of socmon.db."""

    def __init__(self, heart: Heart, context: Context[Any], store: Path, correlating: Correlating) -> None:
        self.name = context.name
        self._heart = heart
        self._context = context
        self._store = store
        self._correlating = correlating
        self._worker = Worker(f"heartbeats to {context.name}")
        self._rules: tuple[RuleSet, str] | None = None
        self._told = False

    async def run(self) -> None:
        """Beat until cancelled, the first time at once."""
        try:
            while True:
                await self._beat()
                await asyncio.sleep(self._heart.every_s)
        finally:
            self._worker.close()

    async def _beat(self) -> None:
        try:
            await self._heart.beat(await self._vitals())
        except Exception as error:  # noqa: BLE001  a forwarder's own code: whatever it raises, detection goes on
            self._context.counters.error("heartbeat")
            known = isinstance(error, (ComponentError, StoreError))
            late = f"the store was not read within {_READ_S:g} s"
            reason = str(error) if known else late if isinstance(error, TimeoutError) else repr(error)
            if not self._told:  # once: what has no answer for days has said so
                self._context.log.warning("heartbeat not delivered, the next one is tried", error=reason)
            self._told = True
        else:
            if self._told:
                self._context.log.info("heartbeats are delivered again")
            self._told = False

    async def _vitals(self) -> Vitals:
        """As it is now.

        Raises:
            StoreError: the store cannot be read.
            TimeoutError: it hangs.
        """
        if self._worker.busy:
            raise TimeoutError
        async with asyncio.timeout(_READ_S):
            backlog, pending, oldest_us = await self._worker.run(self._read)
        silences = self._correlating.sources.silences.values()
        silent = tuple(sorted(each.name for each in silences if each.state == "silent"))
        return Vitals(backlog, pending, oldest_us, silent, self._version())

    def _read(self) -> tuple[dict[str, int], int, int | None]:
        with queue.opened(self._store) as db:
            return figures.backlog(db, self.name)

    def _version(self) -> str:
        """Made once a rule set."""
        rules = self._correlating.detection.rules
        if self._rules is None or self._rules[0] is not rules:
            self._rules = rules, version(rules)
        return self._rules[1]


def version(rules: RuleSet) -> str:
    """Sixteen hexadecimal digits that differ where the rules do, whatever order they were loaded in."""
    told = sorted(f"{rule.id} {rule.hash}" for rule in rules.rules)
    return sha256("\n".join(told).encode()).hexdigest()[:16]
