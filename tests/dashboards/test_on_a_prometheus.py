"""Dashboards and rules on a real Prometheus that scrapes a real daemon through an incident."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from field import Field, failure_line, field_in, wait_for
from packets_kit import socket_path
from prometheus_kit import (
    Prometheus,
    alerts,
    needs_prometheus,
    prometheus_in,
    queries_of_all,
    rules,
)

from socmon.capture.told import Told

# One source writes, with stamps of two hours ago; another one is never heard.
EXPECTED = {
    "sources": {
        "mail": {"collector": "edge", "silent_after_s": 3600},
        "backup": {"collector": "edge", "host": "backup-01", "silent_after_s": 1},
    }
}
# The lines of the attack are two hours old.
LOST = {"SocmonKernelDrops", "SocmonClockSkew", "SocmonSourceSilent"}

pytestmark = [needs_prometheus, pytest.mark.timeout(400)]


@dataclass(frozen=True)
class Incident:
    """What was seen of it; both processes still run.

    Attributes:
        page: /metrics of the daemon, after it.
        failing: alerts whose expression held while the centre was away.
        lost: the same, when the kernel had dropped datagrams.
    """

    prometheus: Prometheus
    page: bytes
    failing: set[str]
    lost: set[str]


def change_collectors(place: Field, sensors: Path) -> None:
    """Let the kernel keep as few datagrams as it can be told to; and hear sensors at `sensors`."""
    path = place.root / "config.yaml"
    config = json.loads(path.read_text())
    config["collectors"]["devices"]["receive_buffer_bytes"] = 64 * 1024
    config["collectors"]["sensor"] = {"kind": "packets", "socket": str(sensors)}
    path.write_text(json.dumps(config))


def http_of(place: Field) -> str | None:
    started = place.events("daemon.log", "started")
    return str(started[0]["http"]) if started else None


@contextmanager
def a_sensor(path: Path) -> Iterator[None]:
    """A sensor that says once what it has counted, and stays."""
    told = Told(sensor="uplink", packets=5, kernel_packets=6, kernel_dropped=1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sender:
        sender.settimeout(30)
        wait_for(lambda: sender.connect_ex(str(path)) == 0, "a collector that hears sensors")
        sender.sendall(told.line())
        assert sender.recv(100)  # the answer: it has been counted
        yield


def over_tcp(place: Field, data: bytes) -> None:
    port = place.port("edge")
    assert port is not None
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sender:
        sender.sendall(data)


def attack(place: Field, first: int) -> None:
    """Failures by file and over TCP, a line that no parser reads, and a sender that counts wrongly."""
    place.write("auth", first, 200)
    lines = [failure_line(number, "mail-01") for number in range(first, first + 100)]
    over_tcp(place, "".join(f"<38>{line}\n" for line in lines).encode())
    with (place.root / "auth").open("a") as log:
        log.write("no stamp, no host, no program\n")
    over_tcp(place, b"5 <38>x" + b"y" * 40 + b"\n")


def burst(place: Field) -> None:
    """More datagrams than the kernel keeps, while the daemon stands still."""
    port = place.port("devices")
    assert port is not None
    assert place.daemon is not None
    line = f"<38>{failure_line(1, 'mail-01')}".encode()
    place.daemon.send_signal(signal.SIGSTOP)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(500):
                sender.sendto(line, ("127.0.0.1", port))
    finally:
        place.daemon.send_signal(signal.SIGCONT)


def triage(place: Field, *arguments: str) -> None:
    command = [sys.executable, "-m", "socmon", "-c", str(place.root / "config.yaml"), "alerts", *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def away(place: Field) -> None:
    assert place.centre is not None
    place.centre.terminate()
    place.centre.wait(20)


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Incident]:
    root = tmp_path_factory.mktemp("incident")
    with field_in(root / "province") as place, socket_path() as sensors:
        place.start_centre()
        place.configure(["auth"], tcp=["edge"], udp=["devices"], **EXPECTED)
        change_collectors(place, sensors)
        place.start_daemon()
        wait_for(lambda: http_of(place) and place.port("edge") and place.port("devices"), "start")
        address = str(http_of(place))
        with a_sensor(sensors), prometheus_in(root / "prometheus", address.removeprefix("http://")) as prometheus:
            wait_for(lambda: prometheus.values("socmon_daemon_ready") == [1], "the first scrape")
            attack(place, 0)
            wait_for(place.settled, "the first alerts delivered")
            away(place)
            attack(place, 300)
            failing = alerts()["SocmonDestinationFailing"]["expr"]
            dropped = alerts()["SocmonRecordsDropped"]["expr"]
            wait_for(lambda: prometheus.query(failing), "Prometheus sees that the centre is away")
            wait_for(lambda: prometheus.query(dropped), "Prometheus sees that a message was lost")
            seen = {name for name, alert in alerts().items() if prometheus.query(alert["expr"])}
            place.start_centre()
            burst(place)
            for name in LOST:
                expression = alerts()[name]["expr"]
                wait_for(partial(prometheus.query, expression), f"Prometheus sees why {name}")
            lost = {name for name, alert in alerts().items() if prometheus.query(alert["expr"])}
            wait_for(place.settled, "all delivered when the centre is back")
            one, other = (alert.id for alert in place.reading().alerts[:2])
            triage(place, "ack", one)
            triage(place, "close", other, "--reason", "tp")
            wait_for(lambda: not prometheus.query(failing), "Prometheus sees that the centre is back")
            with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:
                page = answer.read()
            yield Incident(prometheus, page, seen, lost)
        place.stop_daemon()


def test_every_query_of_every_panel_finds_something(incident: Incident) -> None:
    empty = queries_of_all()
    assert len(empty) > 80

    def none_is_empty() -> bool:
        empty[:] = [each for each in empty if not incident.prometheus.values(each[2])]
        return not empty

    with suppress(AssertionError):  # what is empty says more
        wait_for(none_is_empty, "something in every panel")
    assert empty == []


def test_every_rule_can_be_evaluated(incident: Incident) -> None:
    def evaluated() -> bool:
        return all(rule["health"] != "unknown" for rule in incident.prometheus.rules())

    wait_for(evaluated, "an evaluation of each rule")

    found = {rule["name"]: rule["health"] for rule in incident.prometheus.rules()}
    assert found == {rule.get("alert", rule.get("record")): "ok" for rule in rules()}


def test_alerts_speak_of_what_happened(incident: Incident) -> None:
    assert incident.failing >= {"SocmonDestinationFailing", "SocmonRecordsDropped"}
    assert incident.failing.isdisjoint({"SocmonDown", "SocmonNotReady", "SocmonStoreFailing", "SocmonAlertsRefused"})
    assert incident.failing.isdisjoint({"SocmonKernelDrops", "SocmonRestarts", "SocmonJournalDamaged"})
    assert incident.lost >= LOST


def test_the_page_is_as_promtool_wants_it(incident: Incident) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=incident.page, capture_output=True, timeout=60, check=False
    )

    assert (checked.returncode, checked.stdout.decode(), checked.stderr.decode()) == (0, "", "")
