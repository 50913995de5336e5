"""Faults 39 and 30 with real processes: a province that falls silent or whose clock is off, as the centre sees it."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from field import ORG, Field, field_in, wait_for

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Field]:
    """A province that beats five times a second, and a centre that expects a heartbeat each second."""
    with field_in(tmp_path / "province") as place:
        place.start_centre(options=["--heartbeat-s", "1"])
        place.configure(["auth"])
        config = json.loads((place.root / "config.yaml").read_text())
        config["forwarders"]["ncsc"]["heartbeat_s"] = 0.2
        (place.root / "config.yaml").write_text(json.dumps(config))
        yield place


def seen(place: Field) -> dict[str, Any]:
    standing: dict[str, Any] = place.stats()["organisations"][ORG]
    return standing


def test_fault_39_a_province_that_is_killed_is_flagged_silent_and_unflagged_when_it_is_back(place: Field) -> None:
    place.start_daemon()
    wait_for(lambda: seen(place)["heartbeat"] and not seen(place)["silent"], "a first heartbeat")
    assert place.daemon is not None
    assert len(seen(place)["heartbeat"]["rules"]) == 16

    place.daemon.send_signal(signal.SIGKILL)
    wait_for(lambda: seen(place)["silent"], "the silence")

    place.start_daemon()
    wait_for(lambda: not seen(place)["silent"], "the return")
    told = [entry["event"] for entry in place.events("centre.log", "organisation is silent")]
    assert told
    wait_for(lambda: place.events("centre.log", "organisation is heard again"), "the return in the log")
    place.stop_daemon()


def test_fault_39_a_heartbeat_comes_while_every_batch_is_refused_and_tells_of_the_backlog(place: Field) -> None:
    place.fault(fault="503", times=1_000_000)
    place.start_daemon()
    place.write("auth", 0, 600)

    wait_for(lambda: sum((seen(place)["heartbeat"] or {"backlog": {}})["backlog"].values()), "a backlog told of")

    standing = seen(place)
    assert (standing["silent"], standing["events_received"]) == (False, 0)
    assert standing["heartbeat"]["oldest_s"] is not None
    place.stop_daemon()


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
@pytest.mark.parametrize("step", ["+10m", "-10m"])
def test_fault_30_a_clock_that_is_off_by_ten_minutes_is_flagged_until_it_is_right(place: Field, step: str) -> None:
    faked = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": step, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    place.start_daemon(environment=faked)
    wait_for(lambda: seen(place)["clock_off"], "the flag")
    assert 540 < seen(place)["skew_s"] * (1 if step[0] == "+" else -1) < 660
    assert not seen(place)["silent"]
    place.stop_daemon()

    place.start_daemon()
    wait_for(lambda: not seen(place)["clock_off"], "no flag any more")
    place.stop_daemon()
