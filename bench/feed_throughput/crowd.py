"""Many provinces at once: forwarders with certificates and signing keys of their own, at one real centre."""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.feed_throughput.backlog import alerts
from bench.udp_burst.daemon import cpu_s
from forwarders.ncsc import NcscForwarder
from socmon.component import Release, Released
from socmon.errors import ComponentError
from socmon.feed.keyring import key_set
from socmon.feed.keys import Authority, rotate, signing_key
from socmon.feed.message import Sender, render
from socmon.feed.signing import Key

# The forwarder without a daemon around it, certificates and the centre's process are those of the tests.
sys.path.append(str(Path(__file__).parents[2] / "tests"))

from feed_kit import write
from field import field_in
from harness import FakeContext
from ncsc_kit import keys_of, settings_for

_BATCH = 500
_LEAST_WAIT_S = 0.05


@dataclass(frozen=True)
class Crowded:
    """What so many took together.

    Attributes:
        findings: of all of them.
        again: batches that the centre put off, and were sent again.
        senders_cpu_s, centre_cpu_s: of the processor; messages were made and signed before.
    """

    senders: int
    findings: int
    took_s: float
    again: int
    senders_cpu_s: float
    centre_cpu_s: float

    @property
    def rate(self) -> float:
        """Findings a second, verified and stored."""
        return self.findings / self.took_s


def crowded(root: Path, senders: int, each: int) -> Crowded:
    """Let `senders` send `each` findings, all at once, to a centre with its state in `root`."""
    authority, files = Authority(), keys_of(root)
    files.signers.mkdir(parents=True)
    write(files.ca.parent, "ca", authority.credentials)
    write(files.ca.parent, "centre", authority.server())
    rotate(files.centre_signing, datetime.now(UTC))
    names = [f"000.00.{number:02}.H{number + 1:02}" for number in range(senders)]
    backlogs, settings = {}, {}
    for name in names:
        key = signing_key()
        (files.signers / f"{name}.jwks").write_bytes(key_set([key], private=False))
        cert, private = write(files.ca.parent, name, authority.client(name))
        settings[name] = {"org_id": name, "cert": cert, "key": f"file:{private}", "signing_key": None}
        backlogs[name] = _released(name, key, each)
    with field_in(root / "centre") as place:
        place.start_centre(organisations=names, options=["--quota-per-minute", "0"])
        assert place.centre is not None
        used_s, own_s = cpu_s(place.centre.pid), time.process_time()
        began_s = time.monotonic()
        again = asyncio.run(_all(f"https://127.0.0.1:{place.feed_port}", files, settings, backlogs))
        took_s = time.monotonic() - began_s
        used_s, own_s = cpu_s(place.centre.pid) - used_s, time.process_time() - own_s
        stored = sum(one["rows_stored"] for one in place.stats()["organisations"].values())
    if stored != senders * each:
        raise RuntimeError(f"{stored:,} of {senders * each:,} are stored")
    return Crowded(senders, senders * each, took_s, again, own_s, used_s)


def _released(name: str, key: Key, count: int) -> list[Released]:
    """Findings of one province, made and signed."""
    sender, now_us = Sender(org_id=name), time.time_ns() // 1000
    places = (Release("ncsc", "normal", f"{now_us // 1000:012x}", seq, 5, now_us) for seq in range(1, count + 1))
    return [
        Released(place.seq, alert.id, place, render(alert, place, sender, key))
        for alert, place in zip(alerts(count, now_us), places, strict=True)
    ]


async def _all(url: str, files: Any, settings: dict[str, Any], backlogs: dict[str, list[Released]]) -> int:
    return sum(await asyncio.gather(*(_one(url, files, settings[name], backlog) for name, backlog in backlogs.items())))


async def _one(url: str, files: Any, settings: dict[str, Any], backlog: Sequence[Released]) -> int:
    """Send in batches, each until it is answered for; how often one was put off."""
    again = 0
    forwarder = NcscForwarder(FakeContext(settings_for(url, files, **settings)))
    try:
        for begin in range(0, len(backlog), _BATCH):
            batch = backlog[begin : begin + _BATCH]
            while batch:
                try:
                    answered = await forwarder.send(batch)
                    left, wait_s = {one.id for one in answered if one.status == "retry"}, 0.0
                except ComponentError as error:
                    left, wait_s = {item.id for item in batch}, error.wait_s
                batch = [item for item in batch if item.id in left]
                if batch:
                    again += 1
                    await asyncio.sleep(max(wait_s, _LEAST_WAIT_S))
    finally:
        await forwarder.close()
    return again
