"""A province and its centre as processes, each with a clock and a disk of its own, and the link between them."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench.feed_soak.disks import Disk
from bench.udp_burst.daemon import wait_for
from socmon.ledger import Account, Ledger
from socmon.store import outbox

# Processes, keys and waiting are those of the tests.
sys.path.append(str(Path(__file__).parents[2] / "tests"))

from field import ORG, Field, ended
from port_kit import keep

LOG = "auth"
# The one for programs with several threads.
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
_ROOT = Path(__file__).parents[2]
_START_S = 60.0

Sets = dict[str, int]


@dataclass
class Side:
    """What one of both has that faults are for.

    Attributes:
        clock: the file that says how far its clock is off.
    """

    clock: Path
    disk: Disk
    offset_s: int = 0

    def set_clock(self, offset_s: int) -> None:
        """Let its clock be off by so much from now on."""
        self.offset_s = offset_s
        self.clock.write_text(f"{offset_s:+d}\n")

    def environment(self) -> dict[str, str]:
        """Of its process. The monotonic clock goes on, and files keep their times, as when a clock is set."""
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


@dataclass
class Place(Field):
    """As a field of the tests; `link` is the process that cuts, `sides` both ends by their names.

    Attributes:
        alone: ends of processes that nobody had killed.
    """

    sides: dict[str, Side] = field(default_factory=dict)
    link: "subprocess.Popen[str] | None" = None
    alone: list[str] = field(default_factory=list)

    def connect(self) -> None:
        """Choose ports, start the link, and let the daemon's configuration lead through it."""
        self.keep_feed_port()
        behind = self.feed_port
        with closing(keep()) as front:
            port = front.getsockname()[1]
            command = [sys.executable, "-m", "bench.feed_soak.link", str(port), str(behind)]
            with (self.root / "link.log").open("wb") as log:
                self.link = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=log, text=True, bufsize=1, cwd=_ROOT
                )
            self.started.append(self.link)
            if not until(lambda: self.cuts("ready"), _START_S):
                raise RuntimeError("the link does not start")
        self.feed_port = port
        self.configure([LOG])
        self.feed_port = behind
        path = self.root / "config.yaml"
        config = json.loads(path.read_text())
        config["forwarders"]["ncsc"] |= {"heartbeat_s": 0.5, "timeout_s": 10}
        path.write_text(json.dumps(config))

    def cuts(self, way: str) -> int:
        """How many in a `request` or `reply` have struck."""
        return (self.root / "link.log").read_text(encoding="utf-8").splitlines().count(way)

    def start(self, name: str) -> None:
        """Start `sender` or `receiver`, by its own clock."""
        environment = self.sides[name].environment()
        if name == "sender":
            self.start_daemon(environment=environment)
        else:
            self.start_centre(environment=environment, options=["--heartbeat-s", "0.5"])

    def disconnect(self) -> None:
        """Let the link end."""
        if self.link is not None and self.link.stdin is not None:
            self.link.stdin.close()

    def process(self, name: str) -> "subprocess.Popen[Any]":
        """The one that runs as `sender` or `receiver`, or was the last to."""
        process: subprocess.Popen[Any] | None = self.daemon if name == "sender" else self.centre
        assert process is not None
        return process

    def look(self) -> None:
        """Start again what has ended by itself, as a service manager would, and note that."""
        for name in self.sides:
            if (code := self.process(name).poll()) is not None:
                self.alone.append(f"{name} ended by itself with {code}")
                self.start(name)

    def log_size(self, log: str) -> int:
        """Bytes of `daemon.log` or `centre.log`."""
        path = self.root / log
        return path.stat().st_size if path.exists() else 0

    def organisation(self) -> dict[str, Any]:
        """What the centre says of the province; empty while it does not answer."""
        try:
            found: dict[str, Any] = self.stats()["organisations"].get(ORG, {})
        except OSError:
            return {}
        return found

    def province(self) -> Sets:
        """{uid: last revision} of all that is shared."""
        query = """
        select alert.id, revision + analyst_revision from alert
        left join pending on pending.alert_id = alert.id and pending.destination = 'ncsc'
        where coalesce(pending.error glob 'held: *', 0) = 0
        """
        with self._store() as db:
            return dict(db.execute(query).fetchall())

    def centre_set(self) -> Sets:
        """{uid: last revision} of all findings; an aggregate stands for its members."""
        found: Sets = {}
        for row in map(json.loads, self._get("/findings").splitlines()):
            for uid, revision in row.get("members") or [(row["uid"], row["socrev"])]:
                found[uid] = max(revision, found.get(uid, 0))
        return found

    def settled(self, *destinations: str) -> bool:
        """Whether every line is evaluated, and all that came of it is answered for."""
        with self._store() as db:
            row = db.execute("select ledger from checkpoint").fetchone()
            ledger = msgspec.msgpack.decode(row[0], type=Ledger) if row else Ledger()
            backlogs = [outbox.backlog(db, name) for name in destinations or ("ncsc",)]
        account = ledger.accounts.get(LOG, Account())
        through = account.evaluated + account.unparsed >= len(self.sent[LOG])
        return through and not any(each.pending or each.waiting for each in backlogs)

    def counts(self) -> dict[str, int]:
        """Rows of the outbox by their state, of those that are still there."""
        with self._store() as db:
            return dict(db.execute("select state, count(*) from released group by state").fetchall())

    @contextmanager
    def _store(self) -> Iterator[sqlite3.Connection]:
        address = f"file:{self.state}/socmon.db?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=_START_S, isolation_level=None)) as db:
            db.execute("begin")
            yield db


def until(condition: Any, timeout_s: float) -> bool:
    """Whether `condition` held within `timeout_s`; a store or a centre that is not there yet is none."""

    def held() -> object:
        try:
            return condition()
        except (OSError, sqlite3.Error):
            return False

    return wait_for(held, timeout_s)


__all__ = ["LOG", "ORG", "Place", "Sets", "Side", "ended", "until"]
