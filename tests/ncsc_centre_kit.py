"""The centre's register, heartbeats and pages, as tests drive them."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from feed_kit import ORG

from socmon.event import rfc3339
from socmon.feed.checking import Limits, check, split
from socmon.feed.heartbeat import HEARTBEATS_PATH
from socmon.feed.keys import KeyFiles
from socmon.feed.server import Stored
from socmon.ncsc.centre import Centre
from socmon.ncsc.inbox import Inbox
from socmon.ncsc.register import FILE_NAME, Register
from socmon.tls import client_context

NOW_US = 1_795_366_682_000_000


class Clock:
    """Stands until it is moved."""

    def __init__(self, now_s: float = NOW_US / 1_000_000) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def now_us(self) -> int:
        return round(self.now_s * 1_000_000)


def beat(time_us: int = NOW_US, **changes: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "time": rfc3339(time_us),
        "backlog": {"urgent": 1, "normal": 41},
        "pending": 3,
        "oldest_s": 90,
        "silent": ["portal"],
        "silent_sources": 1,
        "certificate_expires": "2027-02-01T00:00:00Z",
        "rules": "0123456789abcdef",
        "version": "0.1.0",
    }
    return told | changes


@asynccontextmanager
async def inbox_in(folder: Path) -> AsyncIterator[Inbox]:
    inbox = Inbox(folder / "centre.sqlite")
    await inbox.open()
    try:
        yield inbox
    finally:
        await inbox.close()


async def put(inbox: Inbox, *messages: bytes, org_id: str = ORG) -> Stored:
    events = split(b"[" + b",".join(messages) + b"]", Limits())
    return await inbox.store(org_id, [check(raw, 64) for raw in events])


async def statuses(inbox: Inbox, *messages: bytes) -> list[str]:
    return [f"{result.status} {result.code}".strip() for result in (await put(inbox, *messages)).results]


def register_in(folder: Path, clock: Clock | None = None) -> Register:
    path = folder / FILE_NAME
    return Register(path) if clock is None else Register(path, now_us=clock.now_us)


async def post_beat(centre: Centre, keys: KeyFiles, told: object) -> tuple[int, dict[str, Any]]:
    body = told if isinstance(told, bytes) else msgspec.json.encode(told)
    connector = aiohttp.TCPConnector(ssl=client_context(keys.ca, keys.client, keys.client_key))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post(centre.feed_url + HEARTBEATS_PATH, data=body) as response,
    ):
        return response.status, msgspec.json.decode(await response.read())


@contextmanager
def centre_process(folder: Path, keys: KeyFiles, *options: str) -> Iterator[dict[str, str]]:
    """`socmon ncsc` as a process whose state is `folder/centre`, its log `folder/centre.log`; its ready line."""
    line = [sys.executable, "-m", "socmon", "ncsc", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    line += ["--state", str(folder / "centre"), "--cert", str(keys.centre), "--key", str(keys.centre_key)]
    line += ["--ca", str(keys.ca), *options]
    with (
        (folder / "centre.log").open("ab") as log,
        subprocess.Popen(line, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        try:
            assert process.stdout
            yield json.loads(process.stdout.readline())
        finally:
            process.kill()
