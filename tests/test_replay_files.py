"""`socmon replay` of several files: alerts that span them are found, in whatever order the files are named."""

import random
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest
from replay_kit import failed, objects, quiet, run, write

from socmon.event import rfc3339
from socmon.replaying import Replay
from socmon.resources import shipped
from socmon.sigma import load_rules


def alerts(*files: str) -> list[tuple[str, str, str, int]]:
    found = [item.alert for item in Replay(files, load_rules([shipped("rules")])).alerts()]
    return [(each.group["src_ip"], rfc3339(each.first_us), rfc3339(each.last_us), each.count) for each in found]


def test_alert_over_two_files_of_many_days_is_found_in_any_order(tmp_path: Path) -> None:
    days = range(0, 40 * 86_400, 3600)
    left = write(tmp_path / "left", *(quiet(s) for s in days), *(failed(40 * 86_400 + s, host="a") for s in range(3)))
    right = write(tmp_path / "right", *(quiet(s) for s in days), *(failed(40 * 86_400 + s, host="b") for s in range(3)))

    assert [found[-1] for found in alerts(left, right)] == [6]
    assert alerts(right, left) == alerts(left, right)


def test_busy_file_does_not_run_ahead_of_a_quiet_one(tmp_path: Path) -> None:
    """The quiet file fits into one batch, which spans 10 days."""
    busy = write(tmp_path / "busy", *(failed(60 * n, f"192.0.2.{n % 200}", host="a") for n in range(14_400)))
    attacks = [600 + 86_400 * day + 10 * n for day in range(10) for n in range(5)]
    spread = [(second, "busy" if n % 2 else "quiet") for n, second in enumerate(attacks)]
    write(tmp_path / "even", *(failed(second, "198.51.100.9", host="b") for second, to in spread if to == "busy"))
    write(tmp_path / "odd", *(failed(second, "198.51.100.9", host="c") for second, to in spread if to == "quiet"))

    found = alerts(str(tmp_path / "even"), busy, str(tmp_path / "odd"))

    assert [count for address, *_, count in found if address == "198.51.100.9"] == [5] * 10
    assert alerts(str(tmp_path / "odd"), str(tmp_path / "even"), busy) == found


@pytest.mark.parametrize("seed", range(3))
def test_files_in_any_order_are_as_good_as_one_sorted_file(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    seconds = sorted(chance.sample(range(10_000_000), 600))
    events = []
    for second in seconds:  # μs apart, so that no two are equal and sorting has one result
        burst = chance.choice([1, 1, 2, 4, 8])
        address = f"192.0.2.{chance.randrange(4)}"
        events += [(second + n * chance.uniform(1, 30), chance.randrange(3), address) for n in range(burst)]
    events.sort()
    lines = [(part, failed(second, address, host=f"h{part}")) for second, part, address in events]
    files = [write(tmp_path / f"part{each}", *(line for part, line in lines if part == each)) for each in range(3)]
    expected = alerts(write(tmp_path / "whole", *(line for _, line in lines)))

    assert len(expected) > 50
    assert all(alerts(*order) == expected for order in permutations(files))


def test_lines_that_no_rule_matches_move_no_other_file_on(tmp_path: Path) -> None:
    ahead = write(tmp_path / "ahead", failed(0, host="a"), *(quiet(3600 * n) for n in range(3000)))
    behind = write(tmp_path / "behind", *(failed(second, host="b") for second in (1, 2, 3, 4)))

    assert [found[-1] for found in alerts(ahead, behind)] == [5]


def test_events_stand_by_file_as_named_then_by_line(tmp_path: Path) -> None:
    first = write(tmp_path / "a", "\n", *(failed(second) for second in (1, 3, 5)))
    second = write(tmp_path / "b", *(quiet(-n) for n in range(1200, 0, -1)), *(failed(n) for n in (0, 2, 4)))

    def events(*files: str) -> list[tuple[str, int]]:
        [alert] = objects(run(*files, "-o", "ndjson").stdout)
        return [(event["file"], event["n"]) for event in alert["events"]]

    of_first = [(first, n) for n in (1, 2, 3)]
    of_second = [(second, n) for n in (1200, 1201, 1202)]
    assert events(first, second) == of_first + of_second
    assert events(second, first) == of_second + of_first


def test_alerts_come_in_the_order_of_their_first_event(tmp_path: Path) -> None:
    """The first to begin is the last to open."""
    slow = [failed(second, "192.0.2.9") for second in (0, 15, 30, 45, 60)]
    fast = [failed(second, "192.0.2.1") for second in (10, 11, 12, 13, 14)]
    log = write(tmp_path / "log", *sorted(slow + fast))

    assert [address for address, *_ in alerts(log)] == ["192.0.2.9", "192.0.2.1"]


def test_matches_are_those_of_each_file_in_turn(tmp_path: Path) -> None:
    late = write(tmp_path / "late", failed(9000), quiet(9001), failed(9002))
    early = write(tmp_path / "early", quiet(0), failed(1))

    done = run("--matches", late, early, "-o", "ndjson")

    assert [(row["file"], row["n"]) for row in objects(done.stdout)] == [(late, 0), (late, 2), (early, 1)]


def test_event_behind_its_own_file_is_told_of(tmp_path: Path) -> None:
    log = write(tmp_path / "log", *(quiet(9000 + n) for n in range(1000)), *(failed(second) for second in range(5)))

    done = run(log, "-o", "ndjson")

    assert (done.returncode, done.stdout) == (1, b"")
    behind = b"more than 300 s behind earlier lines of their file and host; they are matched, not correlated\n"
    assert done.stderr == b"5 events are " + behind


def test_more_files_than_may_usually_be_open_are_read(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{n:03}", failed(n / 10)) for n in range(100)]
    command = ["sh", "-c", 'ulimit -Sn 64; exec "$@"', "sh", sys.executable, "-m", "socmon", "replay", *files]

    done = subprocess.run([*command, "-o", "ndjson"], capture_output=True, check=False, timeout=60)

    assert [alert["count"] for alert in objects(done.stdout)] == [100]
    assert (done.returncode, done.stderr) == (0, b"")
