"""A real daemon with a backlog, and a real centre that comes up: how fast it drains, and how long urgent ones take."""

import sqlite3
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from bench.feed_throughput.backlog import fill
from bench.udp_burst.daemon import cpu_s, wait_for

# Processes and keys are those of the tests.
sys.path.append(str(Path(__file__).parents[2] / "tests"))

from field import Field, field_in

_EVERY_S = 0.2  # an urgent one
_SLOWEST_RATE = 50
_RULES = """
title: Somebody is in
id: 00000000-0000-4000-8000-0000000000a3
level: critical
logsource: {product: linux, service: sshd}
detection: {s: {'|contains': Accepted password}, condition: s}
---
title: Somebody from there is in
id: 00000000-0000-4000-8000-0000000000a4
level: critical
correlation:
  type: event_count
  rules: [00000000-0000-4000-8000-0000000000a3]
  group-by: [src_ip]
  timespan: 1h
  condition: {gte: 1}
"""


@dataclass(frozen=True)
class Drained:
    """What one drain took.

    Attributes:
        took_s: from when the centre was there until it had stored all of the backlog.
        urgent_s: of each urgent alert that was stored meanwhile: seconds until it was acknowledged, sorted.
        sender_cpu_s, centre_cpu_s: of the processor, meanwhile.
    """

    findings: int
    took_s: float
    urgent_s: list[float]
    sender_cpu_s: float
    centre_cpu_s: float

    @property
    def rate(self) -> float:
        """Findings a second, verified and stored."""
        return self.findings / self.took_s

    @property
    def urgent_p99_s(self) -> float:
        """Of the urgent ones; 0 if there was none."""
        return quantiles(self.urgent_s, n=100)[-1] if len(self.urgent_s) > 1 else sum(self.urgent_s)


def drained(root: Path, findings: int) -> Drained:
    """Let a daemon with its state in `root` drain so many.

    Raises:
        RuntimeError: it does not start, or is not through in time.
    """
    with field_in(root / "province") as place:
        rules = place.root / "rules.yml"
        rules.write_text(_RULES)
        place.keep_feed_port()
        place.configure(
            ["auth"], rules={"paths": [str(rules)], "shipped": False},
            delivery={"backoff_first_s": 0.1, "backoff_limit_s": 0.3}, store={},
        )  # fmt: skip
        fill(place.state / "socmon.db", findings, time.time_ns() // 1000)
        place.start_daemon()
        if not wait_for(lambda: place.events("daemon.log", "component failed, will restart"), 120):
            raise RuntimeError(f"the daemon does not start; see {place.root}")
        over = threading.Event()
        writer = threading.Thread(target=_urgent, args=(place.root / "auth", over), daemon=True)
        writer.start()
        try:
            return _drained(place, findings)
        finally:
            over.set()
            writer.join()


def _drained(place: Field, findings: int) -> Drained:
    assert place.daemon is not None
    place.start_centre()
    assert place.centre is not None
    began_s, began_us = time.monotonic(), time.time_ns() // 1000
    sender, centre = cpu_s(place.daemon.pid), cpu_s(place.centre.pid)
    if not wait_for(lambda: _committed(place) >= findings, 60 + findings / _SLOWEST_RATE):
        raise RuntimeError(f"{_committed(place):,} of {findings:,} are stored; see {place.root}")
    took_s, ended_us = time.monotonic() - began_s, time.time_ns() // 1000
    sender, centre = cpu_s(place.daemon.pid) - sender, cpu_s(place.centre.pid) - centre
    wait_for(lambda: not _waiting(place), 30)
    return Drained(findings, took_s, _urgent_s(place, began_us, ended_us), sender, centre)


def _urgent(path: Path, over: threading.Event) -> None:
    """A login from another address each time, until `over`."""
    number = 0
    with path.open("a", encoding="utf-8") as log:
        while not over.wait(_EVERY_S):
            number += 1
            stamp = time.strftime("%b %e %H:%M:%S", time.gmtime())
            address = f"203.0.{113 + number // 250}.{number % 250 + 1}"
            log.write(f"{stamp} dvc-web-01 sshd[{number}]: Accepted password for root from {address} port 40022 ssh2\n")
            log.flush()


def _committed(place: Field) -> int:
    """How far the normal stream is complete at the centre. Its figures by HTTP would cost it time."""
    query = "select coalesce(sum(committed), 0) from streams where source like '%/normal'"
    address = f"file:{place.root}/centre/centre.sqlite?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=30)) as db:
        return int(db.execute(query).fetchone()[0])


def _waiting(place: Field) -> int:
    query = "select count(*) from released where state = 'waiting'"
    with closing(sqlite3.connect(f"file:{place.state}/socmon.db?mode=ro", uri=True, timeout=30)) as db:
        return int(db.execute(query).fetchone()[0])


def _urgent_s(place: Field, from_us: int, to_us: int) -> list[float]:
    query = """
    select (min(released.settled_us) - alert.opened_us) / 1e6 from alert
    join released on released.alert_id = alert.id and released.stream = 'urgent' and released.state = 'acknowledged'
    where alert.opened_us between ? and ? group by alert.id order by 1
    """
    with closing(sqlite3.connect(f"file:{place.state}/socmon.db?mode=ro", uri=True, timeout=30)) as db:
        return [seconds for (seconds,) in db.execute(query, (from_us, to_us))]
