"""Who is let in to the feed, request by request: not the revoked, and of each organisation only its share."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager

from aiohttp import web
from aiohttp.typedefs import Handler

from socmon.errors import StoreError
from socmon.feed.batch import BATCHES_PATH, Cursor, RefusedError
from socmon.feed.checking import Item
from socmon.feed.server import Store, Stored, organisation_of
from socmon.log import get
from socmon.ncsc.register import Register
from socmon.ncsc.roll import Roll

QUOTA_PER_MINUTE = 120_000  # a backlog of 100,000 is taken at once
AT_WORK_EACH = 2  # of the server's eight places: a sender of ours uses one, and one that floods leaves six
_AGAIN_S = 1
_TELL_AGAIN_S = 60.0

log = get("ncsc")


class Quota:
    """Events a minute of each organisation: a bucket that fills steadily, and holds a minute's share.

    A batch that is begun is taken whole and may leave a debt, so a batch larger than the share is not refused for ever.

    Args:
        per_minute: 0 is no quota.
        steady: seconds that never step.
    """

    def __init__(self, per_minute: int, steady: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._steady = steady
        self._levels: dict[str, tuple[float, float]] = {}

    def wait_s(self, org_id: str) -> int:
        """Whole seconds until a batch of the organisation is taken; 0 is now."""
        level = self._level(org_id)
        if not self._per_minute or level > 0:
            return 0
        return max(1, math.ceil((1 - level) * 60 / self._per_minute))

    def charge(self, org_id: str, events: int) -> None:
        """Take `events` from its share."""
        if self._per_minute:
            self._levels[org_id] = (self._level(org_id) - events, self._steady())

    def _level(self, org_id: str) -> float:
        now_s = self._steady()
        level, at_s = self._levels.get(org_id, (float(self._per_minute), now_s))
        return min(float(self._per_minute), level + (now_s - at_s) * self._per_minute / 60)


class Charging:
    """A `socmon.feed.server.Store` that charges what comes to its organisation's quota."""

    def __init__(self, store: Store, quota: Quota) -> None:
        self._store = store
        self._quota = quota

    async def store(self, organisation: str, items: Sequence[Item]) -> Stored:
        """See Store; what is sent again costs again."""
        self._quota.charge(organisation, len(items))
        return await self._store.store(organisation, items)

    async def cursors(self, organisation: str) -> list[Cursor]:
        """See Store; costs nothing."""
        return await self._store.cursors(organisation)


class Gate(Container[str]):
    """Asks the register at each request, so that whoever is revoked is refused from the next one on.

    In it is who is enrolled now, as the last request has seen it.
    """

    def __init__(self, register: Register, quota: Quota) -> None:
        self._register = register
        self._quota = quota
        self._asking = asyncio.Lock()
        self._at_work: Counter[str] = Counter()
        self._told: dict[tuple[str, str], float] = {}
        self.roll = Roll()

    def __contains__(self, org_id: object) -> bool:
        return isinstance(org_id, str) and self.roll.at(org_id, time.time_ns() // 1000) is not None

    async def look(self) -> Roll:
        """The register as it is now; changes are told in the log.

        Raises:
            StoreError: it cannot be read.
        """
        async with self._asking:  # the register's connection is used by one thread at a time
            roll = await asyncio.to_thread(self._register.roll)
        if roll is not self.roll:
            before, self.roll = self.roll, roll
            _tell(before, roll)
        return roll

    async def change(self, work: Callable[[Register], None]) -> None:
        """Let `work` write to the register, in a thread.

        Raises:
            StoreError: it cannot be written.
        """
        async with self._asking:
            await asyncio.to_thread(work, self._register)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse whoever may not send any more, or not now; who never was enrolled is the server's to refuse."""
        connection = request.get_extra_info("ssl_object")
        org_id = organisation_of(connection)
        try:
            roll = await self.look()
        except StoreError as error:
            log.error("register cannot be read, nobody is let in", error=str(error))  # noqa: TRY400  the text says it
            text = "the centre cannot see who is enrolled at the moment"
            raise RefusedError(503, "register", text, retry_after_s=5) from error
        certificate = (connection.getpeercert() if connection else None) or {}
        why = ""
        if str(certificate.get("serialNumber", "")).lstrip("0") in roll.revoked:
            why = "the certificate is revoked; ask the centre for another one"
        elif org_id in roll.known and org_id not in self:
            why = f"{org_id} is not enrolled any more, or not yet; ask the centre"
        if why:
            await self._tell_refused(org_id, "revoked")
            raise RefusedError(403, "revoked", why)
        if request.path != BATCHES_PATH:
            return await handler(request)
        with self._place(org_id):
            return await handler(request)

    @contextmanager
    def _place(self, org_id: str) -> Iterator[None]:
        if wait_s := self._quota.wait_s(org_id):
            raise RefusedError(429, "quota", "more events a minute than the quota; come again", retry_after_s=wait_s)
        if self._at_work[org_id] >= AT_WORK_EACH:
            text = f"{AT_WORK_EACH} batches of {org_id} are at work; send one after the other"
            raise RefusedError(429, "busy", text, retry_after_s=_AGAIN_S)
        self._at_work[org_id] += 1
        try:
            yield
        finally:
            self._at_work[org_id] -= 1
            if not self._at_work[org_id]:
                del self._at_work[org_id]

    async def _tell_refused(self, org_id: str, code: str) -> None:
        """Into the audit, at most once a minute for one organisation and reason: it may hammer at the door."""
        now_s = time.monotonic()
        if now_s < self._told.get((org_id, code), 0.0):
            return
        self._told[org_id, code] = now_s + _TELL_AGAIN_S
        try:
            await self.change(lambda register: register.refused(org_id, code))
        except StoreError as error:
            log.warning("audit cannot be written", organisation=org_id, code=code, error=str(error))


def _tell(before: Roll, now: Roll) -> None:
    at_us = time.time_ns() // 1000
    was, is_now = ({period.org_id for period in roll.enrolled(at_us)} for roll in (before, now))
    for org_id in sorted(is_now - was):
        log.info("organisation enrolled", organisation=org_id)
    for org_id in sorted(was - is_now):
        log.warning("organisation revoked", organisation=org_id)
    for number in sorted(now.revoked - before.revoked):
        log.warning("certificate revoked", serial=number)
