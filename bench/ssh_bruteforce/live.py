"""The same log through the running daemon: file collector, journal, matching, correlation, store, outbox, forwarder."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from bench.ssh_bruteforce.exact import TITLE, Alert

PATIENCE_S = 600.0
STOP_S = 120.0

_LISTENING = re.compile(r"http://127\.0\.0\.1:[0-9]+")
_SEEN = re.compile(r"^socmon_matching_(?:evaluated|unparsed)_records_total\{.*\} (\S+)$", re.MULTILINE)


def alerts(log: Path, lines: int, work: Path) -> list[Alert]:
    """The SSH brute force alerts, in their last revision, that a daemon writes which finds `log` complete.

    Raises:
        RuntimeError: the daemon ended by itself, did not get through, or did not stop when asked.
    """
    out, complaints = work / "daemon.ndjson", work / "daemon.stderr"
    config = work / "config.yaml"
    config.write_text(json.dumps(_config(log, work / "state", out)), encoding="utf-8")  # JSON is YAML
    with complaints.open("wb") as err:
        daemon = subprocess.Popen([sys.executable, "-m", "socmon", "-c", str(config), "run"], stderr=err)
    try:
        _wait_until_read(daemon, complaints, lines)
        daemon.send_signal(signal.SIGTERM)
        if daemon.wait(STOP_S):
            raise RuntimeError(f"the daemon ended with {daemon.returncode}; see {complaints}")
    finally:
        daemon.kill()
        daemon.wait()
    return _last_revisions(out)


def _config(log: Path, state: Path, out: Path) -> dict[str, Any]:
    return {
        "state_dir": str(state),
        "collectors": {"auth": {"kind": "file", "paths": [str(log)], "start": "beginning"}},
        "forwarders": {"alerts": {"kind": "file", "path": str(out)}},
        "delivery": {"release_interval_s": 0, "drain_s": 60},  # the stop may deliver all that is left
        "http": {"port": 0},
    }


def _wait_until_read(daemon: subprocess.Popen[bytes], complaints: Path, lines: int) -> None:
    """Return when every line has gone through the rules; what is not delivered by then is at the stop."""
    deadline = time.monotonic() + PATIENCE_S
    seen = 0
    while seen < lines:
        if daemon.poll() is not None:
            raise RuntimeError(f"the daemon ended by itself with {daemon.returncode}; see {complaints}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"the daemon saw {seen} of {lines} lines in {PATIENCE_S:.0f} s; see {complaints}")
        time.sleep(0.2)
        if address := _LISTENING.search(complaints.read_text(encoding="utf-8")):
            with urllib.request.urlopen(f"{address[0]}/metrics", timeout=60) as page:
                seen = sum(int(float(number)) for number in _SEEN.findall(page.read().decode()))


def _last_revisions(out: Path) -> list[Alert]:
    last: dict[str, dict[str, Any]] = {}
    with out.open(encoding="utf-8") as said:
        for one in map(json.loads, said):
            if one["title"] == TITLE:
                last[one["id"]] = one
    return [
        Alert(one["rule_id"], one["group"]["src_ip"], one["first_seen"], one["last_seen"], one["count"])
        for one in last.values()
    ]
