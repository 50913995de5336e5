"""Tries the way to the national centre: the handshake, its clock, and whether it answers to who we are."""

import asyncio
import time
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp
import msgspec

from forwarders._advice import Advisor, shown
from forwarders._http import Resolver, bounded
from forwarders._ncsc_settings import NcscSettings
from forwarders._reaching import Goal, Road, reach
from socmon.errors import ComponentError, ParseError
from socmon.feed.batch import CURSORS_PATH, ORGANISATION, Cursors, read_cursors
from socmon.i18n import Message, mark
from socmon.outgoing import Step

_MAX_REPLY_BYTES = 1024 * 1024
_MAX_SKEW_S = 60.0  # beyond it the centre flags us
_UNKNOWN_PATH = frozenset({404, 405, 501})
_HTTPS = 443


async def trial(name: str, settings: NcscSettings, timeout_s: float) -> list[Step]:
    """The steps; nothing is sent but the question where our streams stand, which costs no quota."""
    parts = urlsplit(settings.url)
    goal = Goal(
        parts.hostname or "",
        parts.port or _HTTPS,
        settings.tls,
        cert=settings.cert,
        ca=settings.ca,
        name_in="url",
    )
    road = await reach(name, goal, timeout_s)
    if road.is_open:
        road.begin(Step("centre"))
        advisor = Advisor(url=settings.url, ca=settings.ca, cert=settings.cert)
        try:
            async with asyncio.timeout(timeout_s):
                await _ask(name, settings, road, advisor)
        except TimeoutError:
            text = mark("{place} did not answer within {timeout_s} s; look at the network, and at firewalls on the way")
            road.failed(Message(text, place=goal.place, timeout_s=f"{timeout_s:g}"))
        except ComponentError as error:
            road.failed(str(error))
        except (aiohttp.ClientError, OSError) as error:
            road.failed(str(advisor.on_failure(error)))
    return road.steps


async def _ask(name: str, settings: NcscSettings, road: Road, advisor: Advisor) -> None:
    url, whose = settings.url, {ORGANISATION: settings.org_id}
    connector = aiohttp.TCPConnector(ssl=road.context or True, limit=1, resolver=Resolver(name))
    headers = {"Accept-Encoding": "identity"}
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False, headers=headers) as session:
        asked_s = time.time()
        async with session.get(url + CURSORS_PATH, params=whose, allow_redirects=False) as response:
            body = await bounded(response.content, _MAX_REPLY_BYTES)
        ours_s = (asked_s + time.time()) / 2
        status, date = response.status, response.headers.get("Date", "")
    theirs_s = _server_time(body) if status == 200 else None
    _compare(road, _date(date) if theirs_s is None else theirs_s, ours_s)
    road.begin(Step("centre", {"status": status}))
    if status in _UNKNOWN_PATH:
        road.made()
    elif status == 200:
        try:
            road.made(streams=len(read_cursors(body, settings.org_id)))
        except ParseError as error:
            road.failed(f"{url} answered what cannot be trusted: {shown(error)}")
    else:
        road.failed(str(advisor.on_refusal(status, body, 0.0)))


def _compare(road: Road, theirs_s: float | None, ours_s: float) -> None:
    """Both clocks; the time on the way is half ours."""
    if theirs_s is None:
        return
    skew_s = round(theirs_s - ours_s, 1)
    road.begin(Step("clock", {"skew_s": skew_s}))
    if abs(skew_s) > _MAX_SKEW_S:
        text = mark("the centre's clock is {skew_s} s from ours; look at our time service, then ask the centre")
        road.failed(Message(text, skew_s=skew_s))
    else:
        road.made()


def _server_time(body: bytes) -> float | None:
    try:
        return datetime.fromisoformat(msgspec.json.decode(body, type=Cursors).server_time).timestamp()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError):
        return None


def _date(header: str) -> float | None:
    """Of RFC 9110, section 6.6.1; whole seconds, so half of one is added."""
    try:
        return parsedate_to_datetime(header).timestamp() + 0.5
    except (ValueError, TypeError, OverflowError):
        return None
