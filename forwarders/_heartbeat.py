"""The heartbeat of the forwarder `ncsc`: how we are, told to the centre on a connection of its own."""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import aiohttp
import msgspec

from forwarders._advice import Advisor
from forwarders._http import Resolver, bounded, wait_s
from forwarders._own_thread import in_own_thread
from socmon import __version__
from socmon.component import Heart
from socmon.errors import ComponentError
from socmon.event import rfc3339
from socmon.feed.heartbeat import HEARTBEATS_PATH, MAX_NAME_CHARS, MAX_NAMES, Heartbeat
from socmon.feed.privacy import Account, Policy
from socmon.outgoing import Vitals

_MAX_REPLY_BYTES = 64 * 1024
_KEYS_REMEDY = "check the disk or mount that holds them"

Expiries = Mapping[Path, datetime | None]


class NcscHeart(Heart):
    """Connects anew for each heartbeat: it shows that the whole way works, and renewed keys need no thought.

    Args:
        tls: reads the keys, for a connection.
        expiries: reads when each certificate ends.
        policy: reads what leaves of names: an expected source is mostly called as its host.
    """

    def __init__(
        self,
        name: str,
        advisor: Advisor,
        tls: Callable[[], ssl.SSLContext],
        expiries: Callable[[], Expiries],
        policy: Callable[[], Policy],
        *,
        every_s: float,
        timeout_s: float,
    ) -> None:
        self.every_s = every_s
        self._name = name
        self._advisor = advisor
        self._tls = tls
        self._expiries = expiries
        self._policy = policy
        self._met: ssl.SSLContext | None = None  # by whose keys the centre took a heartbeat
        self._used: ssl.SSLContext | None = None
        self._timeout_s = min(timeout_s, max(every_s, 1.0))

    async def beat(self, vitals: Vitals) -> None:
        """Post one heartbeat, within `timeout_s` and before the next is due.

        Raises:
            ComponentError: the keys cannot be used, or the centre did not take it.
        """
        url = self._advisor.url
        try:
            async with asyncio.timeout(self._timeout_s):
                name = f"read of the keys of {self._name} for a heartbeat"
                tls, expiries, policy = await in_own_thread(self._read, name=name, remedy=_KEYS_REMEDY)
                content = body(vitals, expiries, policy, time.time_ns() // 1000)
                self._used = tls
                status, answer, asked_s = await self._post(tls, content)
        except TimeoutError as error:
            raise ComponentError(f"{url} took no heartbeat within {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._advisor.on_failure(error, met=self._met is not None and self._met is self._used) from error
        if status != 200:
            raise self._advisor.on_refusal(status, answer, asked_s)
        self._met = tls

    def _read(self) -> tuple[ssl.SSLContext, Expiries, Policy]:
        return self._tls(), self._expiries(), self._policy()

    async def _post(self, tls: ssl.SSLContext, content: bytes) -> tuple[int, bytes, float]:
        connector = aiohttp.TCPConnector(ssl=tls, force_close=True, resolver=Resolver(f"{self._name} for a heartbeat"))
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        async with aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False
        ) as session:
            url = self._advisor.url + HEARTBEATS_PATH
            async with session.post(url, data=content, headers=headers, allow_redirects=False) as response:
                answer = await bounded(response.content, _MAX_REPLY_BYTES)
                return response.status, answer, wait_s(response.headers.get("Retry-After", ""))


def body(vitals: Vitals, expiries: Expiries, policy: Policy, now_us: int) -> bytes:
    """The heartbeat of that moment; of more silent sources than it has room for, the first.

    Their names leave as a host's do: in full, as the pseudonym that its alerts have, or not. All are counted.
    """
    account = Account(policy)
    names = (account.host(name) for name in vitals.silent)
    ends = [end for end in expiries.values() if end is not None]
    beat = Heartbeat(
        time=rfc3339(now_us),
        backlog=vitals.backlog,
        pending=vitals.pending,
        oldest_s=None if vitals.oldest_us is None else max(0, now_us - vitals.oldest_us) // 1_000_000,
        silent=tuple(name[:MAX_NAME_CHARS] for name in names if name)[:MAX_NAMES],
        silent_sources=len(vitals.silent),
        certificate_expires=f"{min(ends):%Y-%m-%dT%H:%M:%SZ}" if ends else None,
        rules=vitals.rules,
        version=__version__[:32],
    )
    return msgspec.json.encode(beat)
