"""The centre's own pages, as the demonstration uses them: faults to ask for, and what it holds."""

from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from socmon.demo.scene import ORG_ID
from socmon.errors import SocmonError

_TIMEOUT_S = 10.0


class Held(Struct, frozen=True):
    """What the centre has stored.

    Attributes:
        findings: {uid: socrev}, each at its last revision; in place of an aggregate its members.
        rows_twice: rows that are there a second time.
        sent_again: events that came again, were recognised, and not stored again.
    """

    findings: dict[str, int]
    rows_twice: int
    sent_again: int


def counted(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """{uid: socrev} of the rows of `/findings`, the greatest revision of each, with members of aggregates."""
    found: dict[str, int] = {}
    for row in rows:
        for uid, revision in row["members"] or [(row["uid"], row["socrev"])]:
            found[uid] = max(revision, found.get(uid, 0))
    return found


class Pages:
    """Client of the pages at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def fault(self, name: str, **details: float) -> None:
        """Ask for a fault; see socmon.ncsc.faults. Raises SocmonError if it is refused."""
        await self._ask("POST", "/faults", 202, {"fault": name, **details})

    async def held(self) -> Held:
        """See Held. Raises SocmonError if the centre does not answer."""
        rows = msgspec.json.Decoder(dict[str, Any]).decode_lines(await self._ask("GET", "/findings", 200))
        stats = msgspec.json.decode(await self._ask("GET", "/stats", 200))["organisations"][ORG_ID]
        return Held(counted(rows), stats["rows_stored_twice"], stats["duplicates_answered"])

    async def _ask(self, method: str, path: str, expected: int, body: dict[str, Any] | None = None) -> bytes:
        url = self._url + path
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(method, url, json=body) as reply,
            ):
                answer = await reply.read()
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise SocmonError(f"the centre does not answer at {url}: {error!r}; look at its log") from error
        if reply.status != expected:
            raise SocmonError(f"{url} answered {reply.status}: {answer[:200]!r}")
        return answer
