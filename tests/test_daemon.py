"""The daemon as a process: one instance a folder, an orderly stop, clear errors."""

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from field import Field, field_in, wait_for
from harness import until as until_true

from socmon import config, daemon
from socmon.errors import JournalError
from socmon.journal import Journal


@pytest.fixture
def place(tmp_path: Path) -> Field:
    field = Field(tmp_path / "province")
    field.configure(["auth"], forwarders={"out": {"kind": "file", "path": str(tmp_path / "out.ndjson")}})
    return field


def started(place: Field) -> dict[str, str] | None:
    """The daemon's own words when it has started."""
    return next(iter(place.events("daemon.log", "started")), None)


def test_a_second_instance_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    with field_in(tmp_path / "province") as place:
        place.configure(["auth"], forwarders={})
        place.start_daemon()
        wait_for(lambda: started(place), "start")
        assert place.daemon is not None

        command = [sys.executable, "-m", "socmon", "-c", str(place.root / "config.yaml"), "run"]
        second = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

        assert second.returncode == 78
        assert f"is in use by process {place.daemon.pid}" in second.stderr
        place.stop_daemon()


def test_a_control_socket_that_cannot_be_made_ends_the_start(place: Field) -> None:
    (place.state / "control.sock").mkdir(parents=True)

    command = [sys.executable, "-m", "socmon", "-c", str(place.root / "config.yaml"), "run"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    assert result.returncode == 78
    assert "cannot create the socket" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_orderly_stop_matches_stores_and_delivers_what_came_in(tmp_path: Path) -> None:
    with field_in(tmp_path / "province") as place:
        out = tmp_path / "out.ndjson"
        place.configure(["auth"], forwarders={"out": {"kind": "file", "path": str(out)}})
        place.start_daemon()
        wait_for(lambda: started(place), "start")
        place.write("auth", 0, 2000)
        wait_for(lambda: (place.state / "journal").exists() and place.journalled(), "the first line journalled")

        place.stop_daemon()

        reading = place.reading()
        account = reading.ledger.accounts["auth"]
        assert account.in_flight == 0
        assert account.journalled == sum(map(len, place.journalled().values()))
        delivered = {row["id"]: row["revision"] for row in map(json.loads, out.read_text().splitlines())}
        assert delivered == {alert.id: alert.revision for alert in reading.alerts}


def test_health_readiness_and_metrics_are_served(tmp_path: Path) -> None:
    with field_in(tmp_path / "province") as place:
        place.configure(["auth"], forwarders={})
        place.start_daemon()
        wait_for(lambda: started(place), "start")
        entry = started(place)
        assert entry is not None

        for page in ("/healthz", "/readyz"):
            with urllib.request.urlopen(entry["http"] + page, timeout=10) as answer:
                assert answer.status == 200
        place.write("auth", 0, 10)

        def metrics() -> str:
            with urllib.request.urlopen(entry["http"] + "/metrics", timeout=10) as answer:
                text: str = answer.read().decode()
                return text

        wait_for(lambda: 'socmon_matching_evaluated_records_total{component="auth"} 10.0' in metrics(), "ten records")
        assert 'socmon_component_up{component="auth"} 1.0' in metrics()
        place.stop_daemon()


def test_a_failing_disk_ends_the_daemon_with_the_reason(place: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_journal: Journal) -> int:
        raise JournalError("a sync failed: input/output error; check the disk and restart socmon")

    monkeypatch.setattr(Journal, "sync", fails)
    monkeypatch.setattr(os, "umask", lambda _mask: 0)  # this process is the tests' own
    place.write("auth", 0, 5)

    with pytest.raises(JournalError, match="check the disk"):
        daemon.run(config.load(place.root / "config.yaml"))


def test_a_bad_configuration_ends_with_78_and_every_problem(place: Field) -> None:
    place.configure(["auth"], forwarders={"out": {"kind": "fil", "path": "/x"}}, jornal={})
    command = [sys.executable, "-m", "socmon", "-c", str(place.root / "config.yaml"), "run"]

    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    assert result.returncode == 78
    assert "did you mean 'file'?" in result.stderr
    assert "did you mean 'journal'?" in result.stderr


async def test_a_stop_while_the_journal_cannot_be_written_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socmon.daemon._COLLECTORS_STOP_S", 0.1)
    monkeypatch.setattr("socmon.daemon._DRAIN_S", 0.1)
    place = Field(tmp_path / "province")
    place.configure(["auth"], forwarders={})
    place.write("auth", 0, 5)
    stop = asyncio.Event()
    one = daemon.Daemon(config.load(place.root / "config.yaml"), stop)

    def full(*_args: object, **_options: object) -> None:
        raise JournalError("no space left on device")

    monkeypatch.setattr(one._journal, "append", full)
    serving = asyncio.create_task(one.serve())
    await until_true(lambda: one._intake.failing)
    assert one._ready() == (False, ["no space left on device"])

    stop.set()

    await asyncio.wait_for(serving, 60)
