"""One replay into one socmon-capture and one daemon, and what became of every packet and every flow."""

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.capture.traffic import Traffic
from bench.capture.wire import Cable, cable
from bench.udp_burst.daemon import cpu_s
from socmon.journal import Journal
from socmon.store import read

COLLECTOR = "wire"
_START_S, _STOP_S = 60.0, 120.0


@dataclass(frozen=True)
class Round:
    """What became of one replay; the counts of packets are the kernel's and the sensor's, the others the journal's.

    Attributes:
        came: packets that the receiving interface counts.
        kernel: packets that the kernel counts for the socket.
        took_s: seconds in which they were sent, as tcpreplay says.
        capture_cpu_s, daemon_cpu_s: seconds of the processor that each got.
    """

    sent: int
    flows: int
    took_s: float
    came: int
    kernel: int
    read: int
    dropped: int
    events: int
    events_dropped: int
    journalled: int
    evaluated: int
    conns: int
    capture_cpu_s: float
    daemon_cpu_s: float

    @property
    def rate(self) -> float:
        """Packets a second."""
        return self.sent / self.took_s

    @property
    def problems(self) -> list[str]:
        """What was required and is not so."""
        wrong = {
            "packets dropped by the kernel": self.dropped,
            "packets sent that did not come": self.sent - self.came,
            "packets that came and the kernel did not count": self.came - self.kernel,
            "packets unaccounted for": self.kernel - self.read - self.dropped,
            "events not journalled": self.events - self.journalled,
            "events journalled and not evaluated": self.journalled - self.evaluated,
            "flows not told, or told twice": self.flows - self.conns,
        }
        return [f"{count} {what}" for what, count in wrong.items() if count]


def played(work: Path, made: Traffic, rate: int) -> Round:
    """Replay `traffic.pcap` of `work`.

    Raises:
        RuntimeError: a process did not start, or ended badly.
    """
    state = work / "state"
    shutil.rmtree(state, ignore_errors=True)
    with ExitStack() as undo:
        wire = undo.enter_context(cable())
        socket = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="socmon"))) / "capture.sock"
        daemon = _daemon(undo, work, state, socket)
        log = work / "capture.log"
        log.unlink(missing_ok=True)
        capture = wire.capture(socket, log=log)
        undo.callback(_end, capture)
        _wait_for(lambda: _said(work / "daemon.log", "sensor connected"), "the sensor does not reach the daemon")
        took_s = _replay(wire, work / "traffic.pcap", rate)
        capture_cpu_s = cpu_s(capture.pid)
        _stop(capture, log)
        daemon_cpu_s = cpu_s(daemon.pid)
        _stop(daemon, work / "daemon.log")
        came = wire.received()
    told = _said(log, "stopped")[0]
    lines = _journalled(state)
    return Round(
        sent=len(made.packets),
        flows=sum(made.flows.values()),
        took_s=took_s,
        came=came,
        kernel=told["kernel_packets"],
        read=told["packets"],
        dropped=told["kernel_dropped"],
        events=told["events"],
        events_dropped=told["events_dropped"],
        journalled=len(lines),
        evaluated=read(state / "socmon.db").ledger.accounts[COLLECTOR].evaluated,
        conns=sum(line.startswith(b'{"_path":"conn"') for line in lines),
        capture_cpu_s=capture_cpu_s,
        daemon_cpu_s=daemon_cpu_s,
    )


def _daemon(undo: ExitStack, work: Path, state: Path, socket: Path) -> "subprocess.Popen[bytes]":
    config, log = work / "config.yaml", work / "daemon.log"
    collectors = {COLLECTOR: {"kind": "packets", "socket": str(socket)}}
    config.write_text(json.dumps({"state_dir": str(state), "collectors": collectors, "http": {"port": 0}}))
    with log.open("wb") as err:
        daemon = subprocess.Popen([sys.executable, "-m", "socmon", "-c", str(config), "run"], stderr=err)
    undo.callback(_end, daemon)
    _wait_for(lambda: _said(log, "started") and socket.exists(), "the daemon does not start")
    return daemon


def _replay(wire: Cable, file: Path, rate: int) -> float:
    said = wire.replay(file, "--preload-pcap", f"--pps={rate}")
    found = re.search(r"sent in ([0-9.]+) seconds", said)
    if found is None:
        raise RuntimeError(f"tcpreplay says {said[-500:]}")
    return float(found[1])


def _journalled(state: Path) -> list[bytes]:
    journal = Journal.open(state / "journal", read_only=True)
    lines = [
        record.data
        for batch in journal.read_after(0)
        for record in batch.records
        if record.source.collector == COLLECTOR
    ]
    journal.close()
    return lines


def _said(log: Path, event: str) -> list[dict[str, Any]]:
    if not log.exists():
        return []
    lines = [line for line in log.read_text("utf-8").splitlines(keepends=True) if line[:1] == "{" and line[-1:] == "\n"]
    return [entry for entry in map(json.loads, lines) if entry["event"] == event]


def _wait_for(condition: Callable[[], object], problem: str) -> None:
    end_s = time.monotonic() + _START_S
    while not condition():
        if time.monotonic() > end_s:
            raise RuntimeError(problem)
        time.sleep(0.05)


def _stop(process: "subprocess.Popen[bytes]", log: Path) -> None:
    process.send_signal(signal.SIGTERM)
    if code := process.wait(_STOP_S):
        raise RuntimeError(f"a process ended with {code}; see {log}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
