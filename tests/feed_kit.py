"""What tests of the feed share: alerts, a centre that runs, and a client that speaks the protocol by hand."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from socmon.component import Release, Released, VoidReason
from socmon.event import SECOND_US, Alert, Evidence
from socmon.feed.batch import BATCHES_PATH, pack
from socmon.feed.keyring import key_set, read_keys
from socmon.feed.keys import Authority, Credentials, KeyFiles, generate, rotate, signing_key
from socmon.feed.message import Sender, render
from socmon.feed.signing import Key, sign_event
from socmon.feed.void import render_void
from socmon.ncsc.centre import Centre, CentreSettings
from socmon.tls import client_context

ORG = "000.00.00.H07"
OTHER = "000.00.00.H61"
SENDER = Sender(org_id=ORG)
START_US = 1_795_366_682_000_000
EPOCH = "019ab4c0d1e2"
KEY = signing_key()


def evidence(seq: int = 1, **fields: Any) -> Evidence:
    raw = f"Failed password for root from 203.0.113.77 port 51514 ssh2 #{seq}"
    shown = {"src_ip": "203.0.113.77", "src_port": "51514", "user": "root"} | fields
    return Evidence(seq, START_US, "web-01", "auth", "/var/log/auth.log", raw, "ab" * 32, shown)


def alert(number: int = 1, **changes: Any) -> Alert:
    values: dict[str, Any] = {
        "id": f"7d3a0f52-0000-5000-8000-{number:012}",
        "rule_id": "0f2d1a0e-2c6f-4c3e-9f0b-6f0d3f1a5a11",
        "title": "SSH brute force",
        "level": "medium",
        "tags": ["attack.credential-access", "attack.t1110.001"],
        "group": {"src_ip": "203.0.113.77"},
        "first_us": START_US,
        "last_us": START_US + 42 * SECOND_US,
        "count": 5,
        "revision": 5,
        "opened_seq": 1,
        "host": "web-01",
        "entities": {"host": ["web-01"], "ip": ["203.0.113.77", "10.1.2.3"], "user": ["root"]},
        "evidence": [evidence()],
    }
    return Alert(**(values | changes))


def release(seq: int = 1, **changes: Any) -> Release:
    values: dict[str, Any] = {
        "destination": "ncsc",
        "stream": "normal",
        "epoch": EPOCH,
        "seq": seq,
        "revision": 5,
        "released_us": START_US + 60 * SECOND_US,
    }
    return Release(**(values | changes))


def message(seq: int = 1, *, org_id: str = ORG, revision: int = 5, number: int | None = None, **changes: Any) -> bytes:
    """Alert `number` (default: `seq`) at `revision`, released as `seq` and signed; `changes` are the release's."""
    place = release(seq, revision=revision, **changes)
    return render(alert(number or seq, count=revision), place, Sender(org_id=org_id), KEY)


def void(
    first: int, last: int, reason: VoidReason = "dropped", *, org_id: str = ORG, subject: str = "", **changes: Any
) -> bytes:
    """A signed void of the sequences `first` to `last`; `changes` are the release's."""
    return render_void(release(first, **changes), last, reason, org_id, KEY, subject)


def altered(body: bytes, **members: Any) -> bytes:
    """`body` with other members of the envelope, signed anew; one that is None is left out."""
    event = msgspec.json.decode(body) | members
    left = {name: value for name, value in event.items() if value is not None}
    try:
        return sign_event(left, KEY, START_US // SECOND_US)
    except ValueError:  # what cannot be signed is sent with the signature of what it was
        return msgspec.json.encode(left)


def enrol(keys: KeyFiles, *org_ids: str, key: Key = KEY) -> None:
    """Make the centre of `keys` know the key that `message` signs with, beside those it knows."""
    keys.signers.mkdir(exist_ok=True)
    for org_id in org_ids or (ORG, OTHER):
        path = keys.signers / f"{org_id}.jwks"
        known = list(read_keys(path).values()) if path.exists() else []
        others = [each for each in known if each.kid != key.kid]
        path.write_bytes(key_set([*others, key], private=False))


def released(seq: int = 1, body: bytes | None = None, **changes: Any) -> Released:
    place = release(seq, **changes)
    return Released(seq, alert(seq).id, place, render(alert(seq), place, SENDER, KEY) if body is None else body)


def write(folder: Path, name: str, credentials: Credentials) -> tuple[Path, Path]:
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    cert.write_bytes(credentials.cert)
    key.write_bytes(credentials.key)
    return cert, key


@asynccontextmanager
async def centre_running(folder: Path, keys: KeyFiles | None = None, **changes: Any) -> AsyncIterator[Centre]:
    """A centre with its state in `folder`, its keys in `folder/keys`."""
    files = keys or generate(folder / "keys", ORG)
    enrol(files)
    settings = CentreSettings(
        state=folder / "centre",
        ca=files.ca,
        cert=files.centre,
        key=files.centre_key,
        organisations={ORG: "Province", OTHER: "Another province"},
    )
    async with Centre(msgspec.structs.replace(settings, **changes)) as centre:
        yield centre


class Client:
    """Sends batches to a centre, and asks it what it holds."""

    def __init__(self, centre: Centre, session: aiohttp.ClientSession) -> None:
        self._centre = centre
        self._session = session

    async def post(self, messages: Sequence[bytes], **headers: str) -> tuple[int, Any]:
        """HTTP status and decoded answer; an underscore in a header's name stands for its dash."""
        made, body = pack(messages, "batch-1")
        return await self.post_raw(body, **(made | {name.replace("_", "-"): value for name, value in headers.items()}))

    async def post_raw(self, body: bytes, **headers: str) -> tuple[int, Any]:
        url = self._centre.feed_url + BATCHES_PATH
        async with self._session.post(url, data=BytesIO(body), headers=headers) as response:
            answer = await response.read()
            return response.status, msgspec.json.decode(answer) if answer else None

    async def statuses(self, messages: Sequence[bytes]) -> list[str]:
        status, reply = await self.post(messages)
        assert status == 200, reply
        return [result["status"] for result in reply["results"]]

    async def stats(self, org_id: str = ORG) -> dict[str, Any]:
        async with self._session.get(f"{self._centre.admin_url}/stats") as response:
            stats: dict[str, Any] = (await response.json())["organisations"][org_id]
            return stats

    async def get(self, path: str) -> tuple[int, Any]:
        """HTTP status and decoded answer of the feed's listener."""
        async with self._session.get(self._centre.feed_url + path) as response:
            return response.status, msgspec.json.decode(await response.read())

    async def text(self, url: str) -> str:
        async with self._session.get(url) as response:
            return await response.text()

    async def findings(self) -> list[dict[str, Any]]:
        async with self._session.get(f"{self._centre.admin_url}/findings") as response:
            return [msgspec.json.decode(line) for line in (await response.read()).splitlines()]

    async def fault(self, **request: Any) -> int:
        async with self._session.post(f"{self._centre.admin_url}/faults", json=request) as response:
            return response.status


@asynccontextmanager
async def client_of(centre: Centre, ca: Path, cert: Path, key: Path) -> AsyncIterator[Client]:
    connector = aiohttp.TCPConnector(ssl=client_context(ca, cert, key))
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Client(centre, session)


@asynccontextmanager
async def centre_and_client(folder: Path, **changes: Any) -> AsyncIterator[tuple[Centre, Client]]:
    keys = generate(folder / "keys", ORG)
    async with (
        centre_running(folder, keys, **changes) as centre,
        client_of(centre, keys.ca, keys.client, keys.client_key) as client,
    ):
        yield centre, client


def other_client(folder: Path) -> tuple[Authority, KeyFiles]:
    """An authority, and key files of a centre under it: more clients can be issued."""
    authority = Authority()
    ca, ca_key = write(folder, "ca", authority.credentials)
    centre, centre_key = write(folder, "centre-cert", authority.server())
    client, client_key = write(folder, "client", authority.client(ORG))
    files = KeyFiles(ca, ca_key, centre, centre_key, client, client_key)
    rotate(files.centre_signing, datetime.now(UTC))
    return authority, files
