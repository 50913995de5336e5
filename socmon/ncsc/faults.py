"""Faults on request: what a demo or a test asks the centre to do wrong, and how often."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import Struct
from msgspec.structs import replace

from socmon.feed.batch import BATCHES_PATH, Result
from socmon.feed.checking import Item
from socmon.feed.server import Stored
from socmon.log import get
from socmon.ncsc.inbox import Inbox

FaultName = Literal["503", "cut_after_commit", "stop", "drop_row", "quarantine"]

_RETRY_AFTER_S = 1

log = get("ncsc")


class Fault(Struct, frozen=True, forbid_unknown_fields=True):
    """A request to `POST /faults`.

    Attributes:
        fault: `503` refuses, `cut_after_commit` stores and closes the connection without a reply, `stop` closes the
            listener and every connection for `seconds`, `drop_row` says "stored" of a finding and never stores it,
            `quarantine` refuses one event as if it were bad.
        times: how many batches it happens to; of no meaning with `stop`.
    """

    fault: FaultName
    times: int = 1
    seconds: float = 0.0


class Faults:
    """What is still to go wrong."""

    def __init__(self) -> None:
        self.left: dict[FaultName, int] = {"503": 0, "cut_after_commit": 0, "drop_row": 0, "quarantine": 0}

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
        if self.due("503"):
            return web.Response(status=503, headers={"Retry-After": str(_RETRY_AFTER_S)})
        response = await handler(request)
        if response.status == 200 and self.due("cut_after_commit") and request.transport:
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
        """As Inbox, but for the last event of the batch while a `drop_row` or `quarantine` is due."""
        if self.faults.due("quarantine"):
            bad = replace(items[-1], finding=None, code="injected", reason="a fault was asked for")
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
