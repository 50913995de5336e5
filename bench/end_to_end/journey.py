"""A real daemon that reads a file of real events, journals, matches and stores them; how long, and whose processor."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.udp_burst.daemon import account, cpu_s, wait_for
from socmon.store import read

COLLECTOR = "events"
_START_S, _STOP_S = 300.0, 120.0
_SLOWEST_RATE = 200  # events a second; slower is taken for stuck

Told = tuple[tuple[str, str, int, int, int], ...]


@dataclass(frozen=True)
class Journey:
    """What became of one file.

    Attributes:
        workers: processes that matched beside the daemon.
        took_s: seconds from when the file was there until the last event was evaluated and all before it was stored; a
            checkpoint is due each second, so it is up to one second too long.
        main_cpu_s, workers_cpu_s: seconds of the processor of the daemon itself, and of its children.
        alerts: rule, group, first and last time, and count of each.
    """

    workers: int
    events: int
    evaluated: int
    unparsed: int
    took_s: float
    main_cpu_s: float
    workers_cpu_s: float
    alerts: Told

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.took_s

    @property
    def main_share(self) -> float:
        """The daemon's own part of all processor time."""
        return self.main_cpu_s / (self.main_cpu_s + self.workers_cpu_s)

    def microseconds(self, cpu: float) -> float:
        """Processor time for each event."""
        return cpu / self.events * 1e6


def travelled(events: Path, count: int, rules: Path, workers: int, work: Path) -> Journey:
    """Let a daemon of its own, with its state in `work`, read the `count` lines of `events`, which stays as it is.

    Raises:
        RuntimeError: the daemon did not start, ended by itself, did not stop, or is not through in time.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    shutil.copy(events, work / "coming")
    with _running(_config(work, rules, workers), work) as main:
        before_s, children_before_s = cpu_s(main), _children_cpu_s(main)
        began_s = time.monotonic()
        (work / "coming").rename(work / "events.jsonl")
        patience_s = 60 + count / _SLOWEST_RATE
        if not wait_for(lambda: _done(work) >= count, patience_s):
            raise RuntimeError(f"after {patience_s:.0f} s only {_done(work):,} of {count:,} events are through")
        took_s = time.monotonic() - began_s
        main_cpu_s, workers_cpu_s = cpu_s(main) - before_s, _children_cpu_s(main) - children_before_s
    through, told = account(work, COLLECTOR), _alerts(work)
    return Journey(workers, count, through.evaluated, through.unparsed, took_s, main_cpu_s, workers_cpu_s, told)


@contextmanager
def _running(config: dict[str, Any], work: Path) -> Iterator[int]:
    """The id of a daemon that has started, and is stopped in order at the end."""
    path, said = work / "config.yaml", work / "daemon.stderr"
    path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    with said.open("wb") as err:
        daemon = subprocess.Popen([sys.executable, "-m", "socmon", "-c", str(path), "run"], stderr=err)
    try:
        wait_for(lambda: b'"event":"started"' in _compact(said) or daemon.poll() is not None, _START_S)
        if daemon.poll() is not None or b'"event":"started"' not in _compact(said):
            raise RuntimeError(f"the daemon does not start; see {said}")
        yield daemon.pid
        daemon.send_signal(signal.SIGTERM)
        if daemon.wait(_STOP_S):
            raise RuntimeError(f"the daemon ended with {daemon.returncode}; see {said}")
    finally:
        daemon.kill()
        daemon.wait()


def _compact(said: Path) -> bytes:
    return said.read_bytes().replace(b'": "', b'":"')


def _config(work: Path, rules: Path, workers: int) -> dict[str, Any]:
    collector = {"kind": "file", "paths": [str(work / "events.jsonl")], "format": "windows_json", "start": "beginning"}
    return {
        "state_dir": str(work / "state"),
        "collectors": {COLLECTOR: {**collector, "quota_per_s": 0}},
        "rules": {"paths": [str(rules)]},
        "http": {"port": 0},
        "detection": {"workers": workers},
    }


def _children_cpu_s(process: int) -> float:
    """Of the children that live, and of theirs (proc(5): task/TID/children)."""
    found = 0.0
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, children.read_text(encoding="ascii").split()):
            found += cpu_s(child) + _children_cpu_s(child)
    return found


def _done(work: Path) -> int:
    through = account(work, COLLECTOR)
    return through.evaluated + through.unparsed


def _alerts(work: Path) -> Told:
    alerts = read(work / "state" / "socmon.db").alerts
    return tuple(sorted((one.rule_id, json.dumps(one.group), one.first_us, one.last_us, one.count) for one in alerts))
