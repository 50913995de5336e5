"""A store with releases in it, and damage done to its file."""

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from store_kit import START_US, S

from socmon.component import Outcome, Release
from socmon.event import Alert, Evidence
from socmon.ledger import Ledger
from socmon.store import Checkpoint, Routing, Store

PAGE_BYTES = 4096


def line(number: int) -> Evidence:
    raw = f"Nov 27 00:00:00 dvc-web-01 sshd[{number}]: Failed password"
    digest = hashlib.sha256(raw.encode()).hexdigest()
    return Evidence(number, START_US, "dvc-web-01", "auth", "/var/log/auth.log", raw, digest, {"outcome": "failure"})


def render(item: Alert, release: Release) -> bytes:
    return f"{item.id} {release.seq} ".encode() + b"x" * 1_500


def receipt(number: int) -> str:
    return f'{{"receipt": "{number}{"x" * 500}"}}'


async def fill(path: Path, alerts: Sequence[Alert]) -> None:
    """Store `alerts`, release all of them, and have the first half acknowledged, each by a receipt of its own."""
    store = Store(path, destinations=["ncsc"])
    await store.commit(alerts, depends_on=1, now_us=START_US, checkpoint=Checkpoint("incarnation", 7, Ledger(), {}))
    routing = Routing("ncsc", lambda _: "normal", render)
    await store.release(routing, limit=len(alerts), now_us=START_US, interval_us=0)
    (batch,) = await store.waiting("ncsc", len(alerts))
    answers = [Outcome(item.id, "accepted", receipt=receipt(item.id)) for item in batch[: len(batch) // 2]]
    await store.settle(answers, START_US + S)
    await store.close()


def zero(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(bytes(PAGE_BYTES))


def page_of(path: Path, name: str, kind: int) -> int:
    """A page that belongs to table or index `name`: its root, or, as leaves begin with `kind`, a leaf of a table."""
    with closing(sqlite3.connect(path)) as db:
        (root,) = db.execute("select rootpage from sqlite_schema where name = ?", (name,)).fetchone()
    if not kind:
        return int(root)
    data = path.read_bytes()[(root - 1) * PAGE_BYTES : root * PAGE_BYTES]
    cells = int.from_bytes(data[3:5], "big")
    assert data[0] == 5, "the table is one page"
    where = int.from_bytes(data[12 + cells // 2 * 2 :][:2], "big")
    return int.from_bytes(data[where : where + 4], "big")
