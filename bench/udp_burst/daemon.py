"""A real daemon that takes the burst, and what journal and store say of it afterwards."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from socmon.errors import StoreError
from socmon.journal import Journal
from socmon.ledger import Account
from socmon.store import read

COLLECTOR = "burst"
RULE = Path(__file__).with_name("rule.yml")
TITLE = "Message of the burst"
_NUMBER = re.compile(rb" sshd\[(\d+)\]:")
_START_S = 120.0
_STOP_S = 120.0


@contextmanager
def running(work: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """A daemon with its state in `work`, stopped in order at the end; what it says when it listens, and its id.

    Raises:
        RuntimeError: it ended by itself, did not start, or did not stop when asked.
    """
    config, complaints = work / "config.yaml", work / "daemon.stderr"
    config.write_text(json.dumps(_config(work / "state")), encoding="utf-8")  # JSON is YAML
    with complaints.open("wb") as err:
        daemon = subprocess.Popen([sys.executable, "-m", "socmon", "-c", str(config), "run"], stderr=err)
    try:
        wait_for(lambda: _listening(complaints) or daemon.poll() is not None, _START_S)
        if (listening := _listening(complaints)) is None:
            raise RuntimeError(f"the daemon does not listen; see {complaints}")
        yield listening, daemon.pid
        daemon.send_signal(signal.SIGTERM)
        if daemon.wait(_STOP_S):
            raise RuntimeError(f"the daemon ended with {daemon.returncode}; see {complaints}")
    finally:
        daemon.kill()
        daemon.wait()


def _config(state: Path) -> dict[str, Any]:
    return {
        "state_dir": str(state),
        "collectors": {COLLECTOR: {"kind": "syslog_udp", "port": 0, "format": "rfc3164"}},
        "rules": {"paths": [str(RULE)]},
        "http": {"port": 0},
    }


def _listening(complaints: Path) -> dict[str, Any] | None:
    for line in complaints.read_bytes().splitlines(keepends=True):
        if b'"listening"' in line and line.endswith(b"\n"):
            said: dict[str, Any] = json.loads(line)
            return said
    return None


def cpu_s(process: int) -> float:
    """Seconds of the processor that a process has had (proc(5))."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(condition: Callable[[], object], timeout_s: float) -> bool:
    """Whether `condition` held within `timeout_s`."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.1)
    return True


def account(work: Path, collector: str = COLLECTOR) -> Account:
    """A collector's account in the ledger, as it is on disk."""
    try:
        return read(work / "state" / "socmon.db").ledger.accounts.get(collector, Account())
    except StoreError:  # the daemon is still making it
        return Account()


def matched(work: Path) -> int:
    """How many events the alerts of the benchmark's rule hold together."""
    return sum(alert.count for alert in read(work / "state" / "socmon.db").alerts if alert.title == TITLE)


def journalled(work: Path) -> list[int]:
    """The numbers of the messages in the journal, in its order."""
    journal = Journal.open(work / "state" / "journal", read_only=True)
    numbers = [
        int(found[1])
        for batch in journal.read_after(0)
        for record in batch.records
        if record.source.collector == COLLECTOR and (found := _NUMBER.search(record.data))
    ]
    journal.close()
    return numbers
