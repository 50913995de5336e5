"""A province and its centre as real processes with real TLS, for tests that kill them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from manager_kit import launched
from port_kit import keep

from socmon.errors import StoreError
from socmon.feed.keys import generate
from socmon.journal import Journal
from socmon.ledger import Account
from socmon.store import Reading, read

ORG = "000.00.00.H07"
BASE_S = int(time.time()) - 7200
_PAUSE_S = 0.02
FieldT = TypeVar("FieldT", bound="Field")
_STORE_S = 60.0


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
    """Look until `condition` holds; fail with `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    began_s = time.thread_time()
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:g} s"
        # A look that costs much is rare: what is waited for needs the processor more.
        time.sleep(max(_PAUSE_S, 4 * (time.thread_time() - began_s)))
        began_s = time.thread_time()


def lines_of(path: Path, offset: int = 0) -> list[dict[str, Any]]:
    """The JSON of each line from byte `offset` on, as far as it is written: a line may be half there, or no file."""
    data = path.read_bytes()[offset:] if path.exists() else b""
    return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]]


def failure_line(number: int, host: str = "dvc-web-01") -> str:
    """An sshd failure, five a second of event time; every address is in trouble, and each meets both files."""
    stamp = datetime.fromtimestamp(BASE_S + number // 5, UTC).strftime("%b %e %H:%M:%S")
    address = f"203.0.113.{number // 12 % 40 + 1}"
    return f"{stamp} {host} sshd[{number + 100}]: Failed password for root from {address} port 40022 ssh2"


@dataclass
class Field:
    """The processes and folders of one test.

    Attributes:
        sent: per log file, the lines written to it.
        log_start: where in daemon.log the last daemon's words begin.
        kept: holds the centre's port while it is down.
    """

    root: Path
    feed_port: int = 0
    admin: str = ""
    centre: subprocess.Popen[str] | None = None
    daemon: subprocess.Popen[bytes] | None = None
    started: list[subprocess.Popen[Any]] = field(default_factory=list)
    sent: dict[str, list[str]] = field(default_factory=dict)
    log_start: int = 0
    kept: socket.socket | None = None

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        if not (self.root.parent / "keys").exists():
            generate(self.root.parent / "keys", ORG)

    @property
    def state(self) -> Path:
        return self.root / "state"

    def keep_feed_port(self) -> None:
        """Choose where the centre is to listen."""
        self.kept = keep()
        self.feed_port = self.kept.getsockname()[1]

    def start_centre(
        self,
        failpoint: str = "",
        environment: Mapping[str, str] | None = None,
        *,
        organisations: Sequence[str] = (ORG,),
        options: Sequence[str] = (),
    ) -> None:
        keys = _centre_keys(self.root.parent / "keys")
        if not self.feed_port:
            self.keep_feed_port()
        command = [sys.executable, "-m", "socmon", "ncsc", "--listen", f"127.0.0.1:{self.feed_port}"]
        command += ["--admin", "127.0.0.1:0", "--state", str(self.root / "centre"), *keys]
        command += [*options, *(text for name in organisations for text in ("--organisation", name))]
        with (self.root / "centre.log").open("ab") as log:
            whole = _environment(failpoint) | dict(environment or {})
            self.centre = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=whole)
        self.started.append(self.centre)
        assert self.centre.stdout is not None
        ready = self.centre.stdout.readline()
        assert ready, (self.root / "centre.log").read_text()
        addresses = json.loads(ready)
        self.admin = addresses["admin"]
        assert addresses["feed"].endswith(f":{self.feed_port}")

    def configure(self, files: list[str], *, tcp: Sequence[str] = (), udp: Sequence[str] = (), **changes: Any) -> None:
        """Write the configuration: a collector for each of `files`, a listener on a free port for each other one."""
        keys = self.root.parent / "keys"
        config: dict[str, Any] = {
            "state_dir": str(self.state),
            "collectors": {
                name: {"kind": "file", "paths": [str(self.root / name)], "start": "beginning"} for name in files
            }
            | {name: {"kind": "syslog_tcp", "port": 0} for name in tcp}
            | {name: {"kind": "syslog_udp", "port": 0} for name in udp},
            "forwarders": {
                "ncsc": {
                    "kind": "ncsc",
                    "url": f"https://127.0.0.1:{self.feed_port}",
                    "ca": str(keys / "ca.pem"),
                    "cert": str(keys / "client.pem"),
                    "key": f"file:{keys / 'client.key'}",
                    "signing_key": f"file:{keys / 'client-signing.jwks'}",
                    "centre_key": str(keys / "centre-signing.pub.jwks"),
                    "org_id": ORG,
                    "quota_per_minute": 0,  # for who tests it; else time would pass
                }
            },
            "intake": {"tick_s": 2},
            "journal": {"segment_bytes": 128 * 1024},
            "store": {"checkpoint_s": 0.4},
            "delivery": {"release_interval_s": 0, "backoff_first_s": 0.1, "backoff_limit_s": 0.5},
            "http": {"port": 0},
        }
        (self.root / "config.yaml").write_text(json.dumps(config | changes))

    def start_daemon(
        self,
        failpoint: str = "",
        environment: Mapping[str, str] | None = None,
        *,
        sockets: Mapping[str, socket.socket] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        """Start it; with `sockets`, as a service manager does that holds them.

        `wrapper` is a command that becomes the one it is given.
        """
        command = [*wrapper, sys.executable, "-m", "socmon", "-c", str(self.root / "config.yaml"), "run"]
        command, passed = launched(command, sockets) if sockets else (command, [])
        with (self.root / "daemon.log").open("ab") as log:
            self.log_start = log.tell()
            whole = _environment(failpoint) | dict(environment or {})
            self.daemon = subprocess.Popen(command, stdout=log, stderr=log, env=whole, pass_fds=passed)
        self.started.append(self.daemon)

    def port(self, collector: str) -> int | None:
        """Where `collector` of the running daemon listens; None while it does not, or there is no daemon."""
        if self.daemon is None or self.daemon.poll() is not None:
            return None
        words = (self.root / "daemon.log").read_bytes()[self.log_start :]
        entries = [
            json.loads(line)
            for line in words.splitlines(keepends=True)
            if b'"listening"' in line and line[-1:] == b"\n"
        ]
        return next((entry["port"] for entry in entries if entry["module"] == collector), None)

    def write(self, name: str, first: int, count: int) -> None:
        """Append failures `first`, `first + 1`, … to log file `name`."""
        lines = [failure_line(number) for number in range(first, first + count)]
        with (self.root / name).open("a") as log:
            log.write("".join(f"{line}\n" for line in lines))
        self.sent.setdefault(name, []).extend(lines)

    def stop_daemon(self) -> None:
        """End it in order, once it has started: before, a signal would end it as any other process."""
        daemon = self.daemon
        assert daemon is not None
        wait_for(lambda: self.events("daemon.log", "started", self.log_start) or daemon.poll() is not None, "a start")
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0, (self.root / "daemon.log").read_text()[-3000:]

    def reading(self) -> Reading:
        """The store; one that the daemon is still making is waited for."""
        deadline = time.monotonic() + _STORE_S
        while True:
            try:
                return read(self.state / "socmon.db")
            except StoreError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)

    def account(self, collector: str) -> Account:
        """What the ledger has of `collector`, which is nothing before its first checkpoint."""
        return self.reading().ledger.accounts.get(collector, Account())

    def settled(self, *destinations: str) -> bool:
        """Whether every line is journalled and matched, and every alert answered for by each destination, or `ncsc`."""
        reading = self.reading()
        accounts = reading.ledger.accounts
        backlogs = [reading.backlogs.get(name) for name in destinations or ("ncsc",)]
        return all(
            name in accounts and accounts[name].journalled >= len(lines) for name, lines in self.sent.items()
        ) and all(backlog is not None and not backlog.pending and not backlog.waiting for backlog in backlogs)

    def findings(self) -> dict[str, int]:
        """The centre's findings, and their last revision; in place of an aggregate its members."""
        held: dict[str, int] = {}
        for row in map(json.loads, self._get("/findings").splitlines()):
            for uid, revision in row["members"] or [[row["uid"], row["socrev"]]]:
                held[uid] = max(revision, held.get(uid, 0))
        return held

    def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = json.loads(self._get("/stats"))
        return stats

    def fault(self, **fault: Any) -> None:
        request = urllib.request.Request(
            f"{self.admin}/faults", json.dumps(fault).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 202

    def journalled(self) -> dict[str, list[str]]:
        """Per collector, the lines in the journal, in its order."""
        journal = Journal.open(self.state / "journal", read_only=True)
        lines: dict[str, list[str]] = {}
        for batch in journal.read_after(0):
            for record in batch.records:
                lines.setdefault(record.source.collector, []).append(record.data.decode())
        journal.close()
        return lines

    def events(self, log: str, event: str, offset: int = 0) -> list[dict[str, Any]]:
        """Lines of `daemon.log` or `centre.log`, from byte `offset` on, that tell of `event`."""
        return [found for found in lines_of(self.root / log, offset) if found["event"] == event]

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(self.admin + path, timeout=30) as answer:
            text: str = answer.read().decode()
            return text


def _centre_keys(keys: Path) -> list[str]:
    return ["--cert", str(keys / "centre.pem"), "--key", str(keys / "centre.key"), "--ca", str(keys / "ca.pem")]


def _environment(failpoint: str) -> dict[str, str]:
    return os.environ | ({"SOCMON_FAILPOINT": failpoint} if failpoint else {})


@contextmanager
def field_in(root: Path) -> Iterator[Field]:
    """A field whose processes are ended, by id, whatever happens."""
    with ended(Field(root)) as place:
        yield place


@contextmanager
def ended(place: FieldT) -> Iterator[FieldT]:
    """`place`, whose processes are ended, by id, whatever happens."""
    try:
        yield place
    finally:
        for process in place.started:
            if process.poll() is None:
                process.kill()
            process.wait(30)
            if process.stdout is not None:
                process.stdout.close()
        if place.kept is not None:
            place.kept.close()
