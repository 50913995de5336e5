"""The door for heartbeats on the feed's listener: small, apart from the places of batches, answered at once."""

import asyncio
import math
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from socmon.errors import ParseError, StoreError
from socmon.event import rfc3339
from socmon.feed.batch import RefusedError
from socmon.feed.heartbeat import HEARTBEATS_PATH, MAX_BYTES, HeartbeatReply, read_heartbeat
from socmon.feed.server import admitted
from socmon.log import get
from socmon.ncsc.gate import Gate, Quota
from socmon.ncsc.liveness import Heard, Liveness

_BODY_TIMEOUT_S = 10
_LOOK_S = 1.0
_TIMES = 10

log = get("ncsc")


class Hearing:
    """Takes heartbeats in; what is kept of them for a restart is a help, so a full disk refuses none.

    Each organisation may send ten times as many as it should: each is written to the disk, while nobody is let in.
    """

    def __init__(self, liveness: Liveness, gate: Gate, every_s: float, now_us: Callable[[], int]) -> None:
        self._liveness = liveness
        self._gate = gate
        self._now_us = now_us
        self._quota = Quota(max(_TIMES, math.ceil(_TIMES * 60 / every_s)))
        self._told_trouble = False

    def add_to(self, app: web.Application) -> None:
        """Let `app`, the feed's, answer heartbeats too."""
        app.router.add_post(HEARTBEATS_PATH, self._receive)

    async def _receive(self, request: web.Request) -> web.Response:
        org_id = admitted(request, self._gate)
        if wait_s := self._quota.wait_s(org_id):
            raise RefusedError(429, "quota", "too many heartbeats; one each minute is enough", retry_after_s=wait_s)
        self._quota.charge(org_id, 1)
        body = await _body(request)
        try:
            beat = read_heartbeat(body)
            heard = self._liveness.hear(org_id, beat, _expiry(request.get_extra_info("ssl_object")))
        except ParseError as error:
            raise RefusedError(400, "heartbeat", str(error)) from error
        await self._keep(org_id, heard)
        reply = HeartbeatReply(rfc3339(self._now_us()))
        return web.Response(body=msgspec.json.encode(reply), content_type="application/json")

    async def _keep(self, org_id: str, heard: Heard) -> None:
        try:
            await self._gate.change(lambda register: register.keep(org_id, heard))
            self._told_trouble = False
        except StoreError as error:
            if not self._told_trouble:
                log.warning("heartbeats cannot be kept for a restart", error=str(error))
            self._told_trouble = True


async def watch(liveness: Liveness, gate: Gate) -> None:
    """Look once a second who has fallen silent, and who was enrolled or revoked, until cancelled."""
    while True:
        try:
            roll = await gate.look()
        except StoreError:
            roll = gate.roll  # the gate tells it at the next request
        liveness.look(period.org_id for period in roll.enrolled(time.time_ns() // 1000))
        await asyncio.sleep(_LOOK_S)


async def _body(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_BYTES:
        raise RefusedError(413, "too_large", f"a heartbeat has at most {MAX_BYTES} bytes")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise RefusedError(415, "encoding", "a heartbeat is small; send it as it is, not compressed")
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            body = await request.content.read(MAX_BYTES + 1)
            while more := await request.content.read(MAX_BYTES + 1 - len(body)):
                body += more
    except TimeoutError as error:
        raise RefusedError(408, "too_slow", f"the heartbeat did not arrive within {_BODY_TIMEOUT_S} s") from error
    if len(body) > MAX_BYTES:
        raise RefusedError(413, "too_large", f"a heartbeat has at most {MAX_BYTES} bytes")
    return body


def _expiry(connection: ssl.SSLObject | None) -> str:
    """When the shown certificate ends, RFC 3339; "" if it does not say."""
    end = ((connection.getpeercert() if connection else None) or {}).get("notAfter")
    if not isinstance(end, str):
        return ""
    return f"{datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC):%Y-%m-%dT%H:%M:%SZ}"
