"""A store with alerts of one's own choice, made by the store itself, and `socmon` over it."""

import asyncio
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema_rs
from command_kit import CHOOSING, text_here

from socmon.event import Alert, Evidence, Level
from socmon.store import Checkpoint, Store

S = 1_000_000
SCHEMAS = Path(__file__).parents[1] / "socmon" / "cli" / "schemas"
START_US = 1_790_000_000 * S  # 2026-09-21T14:13:20Z


def alert(number: int = 1, **changes: Any) -> Alert:
    """An alert whose id begins with `number` in eight hexadecimal digits."""
    level: Level = "high"
    values: dict[str, Any] = {
        "id": f"{number:08x}-0000-5000-8000-000000000000",
        "rule_id": "0f2a6c1d-5c0e-4b5b-8f0a-2d6b0f6a9e41",
        "title": "SSH brute force",
        "level": level,
        "tags": ["attack.credential-access", "attack.t1110.001"],
        "group": {"src_ip": f"203.0.113.{number % 250}"},
        "first_us": START_US + number * S,
        "last_us": START_US + number * S + 5 * S,
        "count": 5,
        "revision": 1,
        "opened_seq": number,
        "host": "dvc-web-01",
        "entities": {"host": ["dvc-web-01"], "ip": [f"203.0.113.{number % 250}"], "user": ["bao"]},
        "evidence": [
            Evidence(number, START_US + number * S, "dvc-web-01", "auth", "/var/log/auth.log", f"line {number}",
                     hashlib.sha256(f"line {number}".encode()).hexdigest(),
                     {"outcome": "failure", "src_ip": f"203.0.113.{number % 250}"})
        ],
    }  # fmt: skip
    return Alert(**(values | changes))


def put(
    path: Path,
    alerts: Sequence[Alert],
    *,
    now_us: int = START_US,
    destinations: Sequence[str] = ("ncsc",),
    checkpoint: Checkpoint | None = None,
) -> None:
    """Commit `alerts` in one transaction, and close the store as the daemon does."""

    async def work() -> None:
        store = Store(path, destinations=destinations)
        await store.commit(alerts, depends_on=1, now_us=now_us, checkpoint=checkpoint)
        await store.close()

    asyncio.run(work())


class Place:
    """A configuration, its state directory, and the command over them."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.config = root / "config.yaml"
        self.config.write_text("state_dir: state\n")
        self.state = root / "state"
        self.store = self.state / "socmon.db"

    def put(self, *alerts: Alert, **options: Any) -> None:
        self.state.mkdir(exist_ok=True)
        put(self.store, alerts, **options)

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "socmon", "-c", str(self.config), *args]

    def socmon(self, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it in this process; with an `environment` of its own, in another one."""
        if not environment:
            return text_here("-c", str(self.config), *args)
        return subprocess.run(
            self.command(*args), capture_output=True, encoding="utf-8", errors="replace", timeout=60, check=False,
            env=clean() | environment,
        )  # fmt: skip


@contextmanager
def in_use(place: Place) -> Iterator[None]:
    """Hold the lock of the state directory, as a daemon does."""
    handle = os.open(place.state / "lock", os.O_RDWR | os.O_CREAT, 0o640)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(handle, f"{os.getpid()}\n".encode())
    try:
        yield
    finally:
        os.close(handle)


def clean() -> dict[str, str]:
    """The environment without what would choose a language, a zone or colours."""
    return {name: value for name, value in os.environ.items() if name not in CHOOSING}


def valid(document: Any, name: str, *, row: bool = False) -> Any:
    """`document`, checked against the schema that ships with socmon."""
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    if row:
        schema = {"$schema": schema["$schema"], "$ref": "#/$defs/row", "$defs": schema["$defs"]}
    jsonschema_rs.validator_for(schema).validate(document)
    return document
