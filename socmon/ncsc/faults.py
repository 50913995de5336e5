"""Faults on request: what a demo or a test asks the centre to do wrong, and how often."""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import Struct
from msgspec.structs import replace

from socmon.errors import StoreError
from socmon.event import SECOND_US
from socmon.feed.batch import BATCHES_PATH, Result
from socmon.feed.checking import Item
from socmon.feed.server import Stored
from socmon.i18n import mark
from socmon.log import get
from socmon.ncsc.inbox import Inbox

FaultName = Literal[
    "503", "429", "latency", "cut_before_commit", "cut_after_commit", "disk_full", "drop_row", "quarantine", "stop",
    "clock", "backup", "restore",
]  # fmt: skip

_RETRY_AFTER_S = 1
_REFUSALS: Mapping[FaultName, int] = {"503": 503, "429": 429}
_COPY = "faults-backup.sqlite"

log = get("ncsc")


class Fault(Struct, frozen=True, forbid_unknown_fields=True):
    """A request to `POST /faults`.

    Attributes:
        fault: of batches: `503` and `429` refuse, `latency` waits for `seconds` first, `cut_before_commit` closes the
            connection instead of storing, `cut_after_commit` stores and closes it without a reply, `disk_full` cannot
            store, `drop_row` says "stored" of a finding and never stores it, `quarantine` refuses one event as if it
            were bad. At once: `stop` closes the listener and every connection for `seconds`, `clock` sets the centre's
            clock off by `seconds` from now on, `backup` copies the inbox, and `restore` puts it back as it was then.
        times: how many batches it happens to; of no meaning with what happens at once.
    """

    fault: FaultName
    times: int = 1
    seconds: float = 0.0


class _CutError(Exception):
    """Ends a request before anything of it is stored."""


class Faults:
    """What is still to go wrong."""

    def __init__(self) -> None:
        self.left: Counter[FaultName] = Counter()
        self._latency_s = 0.0
        self._clock_off_us = 0

    def arm(self, fault: Fault) -> None:
        """Make a fault of batches happen to the next ones, or set the clock."""
        if fault.fault == "clock":
            log.warning("fault injected", fault="clock", seconds=fault.seconds)
            self._clock_off_us = round(fault.seconds * SECOND_US)
            return
        if fault.fault == "latency":
            self._latency_s = fault.seconds
        self.left[fault.fault] += fault.times

    def now_us(self) -> int:
        """The time by the centre's clock, which may be off, in microseconds since 1970 UTC."""
        return time.time_ns() // 1000 + self._clock_off_us

    def due(self, name: FaultName) -> bool:
        """Whether `name` happens now; asking uses it up."""
        if not self.left[name]:
            return False
        self.left[name] -= 1
        log.warning("fault injected", fault=name, left=self.left[name])
        return True

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The faults that are seen on the wire, by batches: a heartbeat uses none up."""
        if request.path != BATCHES_PATH:
            return await handler(request)
        for name, status in _REFUSALS.items():
            if self.due(name):
                return web.Response(status=status, headers={"Retry-After": str(_RETRY_AFTER_S)})
        if self.due("latency"):
            await asyncio.sleep(self._latency_s)
        try:
            response = await handler(request)
        except _CutError:
            response = web.Response(status=503)  # that nobody receives
            cut = True
        else:
            cut = response.status == 200 and self.due("cut_after_commit")
        if cut and request.transport:
            request.transport.abort()
        return response


class FaultyInbox(Inbox):
    """An inbox that loses an event when it is told to: a set comparison must notice.

    Whatever comes of that finding later is lost too, be it sent again or a newer revision: it would heal the loss.
    """

    faults: Faults

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lost: set[str] = set()

    async def store(self, organisation: str, items: Sequence[Item]) -> Stored:
        """As Inbox, but for what is due: of `drop_row` and `quarantine` it is the last event of the batch."""
        if self.faults.due("cut_before_commit"):
            raise _CutError
        if self.faults.due("disk_full"):
            raise StoreError(f"cannot use {self.path}: database or disk is full; a fault was asked for")
        if self.faults.due("quarantine"):
            bad = replace(items[-1], finding=None, void=None, code="injected", reason=mark("a fault was asked for"))
            return await super().store(organisation, [*items[:-1], bad])
        if items[-1].finding and self.faults.due("drop_row"):
            self._lost.add(items[-1].finding.uid)
        lost = [item for item in items if item.finding and item.finding.uid in self._lost]
        if not lost:
            return await super().store(organisation, items)
        kept = [item for item in items if item not in lost]
        stored = await super().store(organisation, kept) if kept else Stored(committed=None, results=[])
        results = iter(stored.results)
        said = [
            Result(id=item.id, seq=item.seq, status="stored", code="") if item in lost else next(results)
            for item in items
        ]
        return Stored(committed=stored.committed, results=said)

    async def copy(self) -> None:
        """Keep the inbox as it is now, for `put_back`."""
        await self._written(lambda: self._copied(self._db, self._beside()))

    async def put_back(self) -> None:
        """Make the inbox what it was at the last `copy`.

        Raises:
            StoreError: there was none, or the disk does not take it.
        """
        if not await asyncio.to_thread(self._beside().exists):
            raise StoreError("there is no copy of the inbox to put back; ask for the fault backup first")
        await self._written(self._put_back)

    def _put_back(self) -> None:
        with closing(sqlite3.connect(self._beside())) as kept:
            kept.backup(self._db)

    def _copied(self, db: sqlite3.Connection, path: Path) -> None:
        with closing(sqlite3.connect(path)) as kept:
            db.backup(kept)

    def _beside(self) -> Path:
        return self.path.with_name(_COPY)
