"""The demonstration as its user runs it: real processes, faults in the middle, a recount at the end."""

import asyncio
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from harness import until

from socmon.demo.sample import STORY

PATIENCE_S = 300.0
KEYS = {
    "sent",
    "lost_in_kill",
    "received",
    "evaluated",
    "unparsed",
    "dropped",
    "matches",
    "alerts",
    "delivered",
    "acknowledged",
    "duplicates_at_centre",
    "balance_ok",
    "sets_equal",
}

pytestmark = pytest.mark.timeout(400)


def environment(folder: Path, *, duration_s: str = "") -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "SOCMON_DEMO_DURATION_S": duration_s}


def run_demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "socmon", "demo", *arguments],
        env=environment(folder, duration_s="9"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def is_free(lock: Path) -> bool:
    """Whether the process that held the file's lock is gone."""
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def broker_port(folder: Path) -> int:
    config = (folder / "broker" / "mosquitto.conf").read_text("utf-8")
    return int(next(line.split()[1] for line in config.splitlines() if line.startswith("listener ")))


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_through_all_faults_nothing_is_lost_and_nothing_comes_twice(tmp_path: Path) -> None:
    done = run_demo(tmp_path, "-o", "json")

    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts.keys() == KEYS
    assert counts["balance_ok"] is True
    assert counts["sets_equal"] is True
    assert counts["sent"] == counts["received"] + counts["lost_in_kill"] > 1500
    assert counts["received"] == counts["evaluated"]
    assert counts["unparsed"] == counts["dropped"] == counts["duplicates_at_centre"] == 0
    assert counts["alerts"] == counts["delivered"] == counts["acknowledged"] >= len(set(STORY))
    assert counts["matches"] > 300
    for title in {title for title, _ in STORY}:
        assert f"  {title}  " in done.stderr
    assert done.stderr.count("  FAULT  ") == 3
    assert "finance is published" in done.stderr
    assert "src_ip=198.51.100.23" not in done.stderr, "the slow client is no attack"
    assert "recognised 0" not in done.stderr, "the reply that was lost makes the daemon send again"
    assert list(tmp_path.iterdir()) == []


def test_a_row_that_the_centre_did_not_store_is_noticed(tmp_path: Path) -> None:
    done = run_demo(tmp_path, "-o", "json", "--mutate", "drop-row")

    assert done.returncode == 1, done.stderr
    counts = json.loads(done.stdout)
    assert (counts["sets_equal"], counts["balance_ok"]) == (False, True)
    assert counts["acknowledged"] == counts["alerts"], "the centre has lied, and only a look at what it holds shows it"
    assert "the centre lacks 1 of the province's alerts" in done.stderr


def test_lines_read_again_after_a_restart_are_noticed(tmp_path: Path) -> None:
    done = run_demo(tmp_path, "-o", "json", "--mutate", "forget-position")

    assert done.returncode == 1, done.stderr
    counts = json.loads(done.stdout)
    assert (counts["sets_equal"], counts["balance_ok"]) == (True, False)
    assert counts["received"] > counts["sent"]
    assert "messages are in the journal twice, the first is number 1" in done.stderr


async def test_stopped_before_an_attack_it_still_recounts_and_says_what_is_missing(tmp_path: Path) -> None:
    err = tmp_path / "stderr"
    (folder := tmp_path / "temporary").mkdir()
    with err.open("wb") as file:
        demo = subprocess.Popen(
            [sys.executable, "-m", "socmon", "demo", "-o", "json"],
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=file,
        )
    try:
        await until(lambda: "Ctrl-C" in err.read_text(), timeout_s=120)
        demo.send_signal(signal.SIGINT)
        out, _ = await asyncio.to_thread(demo.communicate, timeout=PATIENCE_S)
    finally:
        demo.kill()
        demo.wait()

    assert demo.returncode == 1, err.read_text()
    counts = json.loads(out)
    assert (counts["sets_equal"], counts["balance_ok"]) == (True, True)
    assert "there is no alert SSH brute force for 203.0.113.7" in err.read_text()
    assert list(folder.iterdir()) == []


async def test_a_killed_demonstration_leaves_no_process_behind(tmp_path: Path) -> None:
    folder, err = tmp_path / "kept", tmp_path / "stderr"
    with err.open("wb") as file:
        demo = subprocess.Popen(
            [sys.executable, "-m", "socmon", "demo", "-o", "json", "--keep", str(folder)],
            env=environment(tmp_path),
            stderr=file,
        )
    try:
        await until(lambda: "the daemon runs" in err.read_text(), timeout_s=120)
    finally:
        demo.kill()
        demo.wait()

    await until(lambda: is_free(folder / "state" / "lock") and is_free(folder / "centre" / "lock"), timeout_s=60)
    await until(lambda: not listens(broker_port(folder)), timeout_s=60)


def test_a_folder_that_holds_something_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")

    done = run_demo(tmp_path, "--keep", str(tmp_path))

    assert done.returncode == 2
    assert "is not empty" in done.stderr
