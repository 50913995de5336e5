"""A backlog of findings, made in a store by the store itself."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid5

from socmon.event import SECOND_US, Alert, Evidence
from socmon.store import Store

_STEP = 100  # at a time, as detection hands them over
_NAMES = UUID("5f0c2a44-6f3e-5c1b-9a53-0c2f5f2d9b10")
_RULE = "0f2d1a0e-2c6f-4c3e-9f0b-6f0d3f1a5a11"


def alerts(count: int, start_us: int) -> Iterator[Alert]:
    """Brute force of sshd, each by another address, with five lines as evidence."""
    for number in range(count):
        address = f"198.{18 + number // 62_500 % 2}.{number // 250 % 250}.{number % 250 + 1}"
        first_us = start_us + number * 1000
        yield Alert(
            id=str(uuid5(_NAMES, str(number))),
            rule_id=_RULE,
            title="SSH brute force",
            level="medium",
            tags=["attack.credential-access", "attack.t1110.001"],
            group={"src_ip": address},
            first_us=first_us,
            last_us=first_us + 42 * SECOND_US,
            count=5,
            revision=5,
            opened_seq=number + 1,
            host="dvc-web-01",
            entities={"host": ["dvc-web-01"], "ip": [address], "user": ["root"]},
            evidence=[_evidence(5 * number + line, first_us, address) for line in range(1, 6)],
        )


def _evidence(seq: int, time_us: int, address: str) -> Evidence:
    raw = f"Nov 28 08:00:30 dvc-web-01 sshd[{seq}]: Failed password for root from {address} port 40022 ssh2"
    fields = {"src_ip": address, "src_port": "40022", "user": "root", "outcome": "failure"}
    digest = sha256(raw.encode()).hexdigest()
    return Evidence(seq, time_us, "dvc-web-01", "auth", "/var/log/auth.log", raw, digest, fields)


def fill(path: Path, count: int, start_us: int) -> None:
    """Put `count` alerts into a new store at `path`, each pending for `ncsc`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    store = Store(path, destinations=["ncsc"])
    store._db.execute("pragma synchronous = off")  # noqa: SLF001  it is no part of what is measured
    step: list[Alert] = []
    for alert in alerts(count, start_us):
        step.append(alert)
        if len(step) == _STEP:
            start_us += 1
            store.commit_now(step, 0, start_us, None)
            step = []
    store.commit_now(step, 0, start_us, None)
    store._db.close()  # noqa: SLF001  there is no loop for `close`
