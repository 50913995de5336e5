"""The forwarder `ncsc` as tests run it, without a daemon around it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from feed_kit import ORG
from harness import FakeContext

from forwarders._ncsc_settings import NcscSettings
from forwarders.ncsc import NcscForwarder
from socmon.feed.keys import KeyFiles
from socmon.outgoing import Outcome


def settings_for(url: str, keys: KeyFiles, **changes: Any) -> NcscSettings:
    values: dict[str, Any] = {
        "url": url,
        "ca": keys.ca,
        "cert": keys.client,
        "key": f"file:{keys.client_key}",
        "signing_key": f"file:{keys.client_signing}",
        "org_id": ORG,
        "timeout_s": 10,
    }
    return NcscSettings(**(values | changes))


@asynccontextmanager
async def forwarding(url: str, keys: KeyFiles, **changes: Any) -> AsyncIterator[NcscForwarder]:
    forwarder = NcscForwarder(FakeContext(settings_for(url, keys, **changes)))
    try:
        yield forwarder
    finally:
        await forwarder.close()


def keys_of(folder: Path) -> KeyFiles:
    """Of a centre that `centre_and_client` runs in `folder`."""
    names = ("ca.pem", "ca.key", "centre.pem", "centre.key", "client.pem", "client.key")
    return KeyFiles(*(folder / "keys" / name for name in names))


def said(outcomes: Sequence[Outcome]) -> list[tuple[int, str, str]]:
    return [(outcome.id, outcome.status, outcome.code) for outcome in outcomes]
