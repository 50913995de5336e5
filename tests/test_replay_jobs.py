"""`socmon replay -j N`: the same bytes whatever N, and whatever happens to a worker."""

import gzip
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from replay_kit import failed, quiet, run, undated, write

from socmon.journal import Batch
from socmon.replaying import Matching, Replay, inline
from socmon.replaying.pooled import Pooled
from socmon.resources import shipped
from socmon.sigma import load_rules
from socmon.workers import Pool, Recipe


def logs(folder: Path) -> list[str]:
    """Files that span alerts, with empty, long, strange and late lines, one of them packed."""
    chance = random.Random(3)
    files = []
    for part in range(3):
        lines: list[str] = []
        for n in range(1500):
            second = n + chance.uniform(-400, 0) if n % 97 == 0 else n
            lines.append(failed(second, f"192.0.2.{chance.randrange(40)}", host=f"h{chance.randrange(9)}"))
            lines += ["\n"] * (n % 13 == 0) + [quiet(n)] * (n % 5 == 0) + ["what is this\n"] * (n % 211 == 0)
        lines.insert(1200, failed(1200).rstrip() + "x" * 100_000 + "\n")
        files.append(write(folder / f"part{part}.log", *lines))
    packed = folder / "packed.log.gz"
    packed.write_bytes(gzip.compress(Path(files.pop()).read_bytes()))
    odd = os.fsencode(folder) + b"/\xff.log"
    Path(os.fsdecode(odd)).write_text("\n\n" + "".join(failed(n, "198.51.100.3") for n in range(8)))
    return [*files, str(packed), os.fsdecode(odd)]


@pytest.mark.parametrize("more", [[], ["--matches"]], ids=["alerts", "matches"])
def test_results_are_the_same_bytes_whatever_the_number_of_processes(tmp_path: Path, more: list[str]) -> None:
    files = logs(tmp_path)

    alone, *pooled = (run(*files, *more, "-o", "ndjson", "-j", jobs) for jobs in ("1", "2", "3"))

    assert alone.stdout.count(b"\n") > 40
    for each in pooled:
        assert (each.stdout, each.stderr, each.returncode) == (alone.stdout, alone.stderr, alone.returncode)


def test_standard_input_is_dated_the_same_in_another_process() -> None:
    lines = "".join(undated(second) for second in range(8)).encode()

    for more in ([], ["--year", "2026"], ["--matches"]):
        alone, pooled = (run("-", *more, "-o", "ndjson", "-j", jobs, stdin=lines) for jobs in "12")
        assert (pooled.stdout, pooled.stderr, pooled.returncode) == (alone.stdout, alone.stderr, alone.returncode)


def test_a_file_from_before_1970_is_read_the_same_in_another_process(tmp_path: Path) -> None:
    log = write(tmp_path / "old.log", *(undated(second) for second in range(8)))
    os.utime(log, (-1e7, -1e7))

    alone, pooled = (run(log, "--matches", "--year", "1970", "-o", "ndjson", "-j", jobs) for jobs in "12")

    assert alone.stdout.count(b"\n") == 8
    assert (pooled.stdout, pooled.stderr, pooled.returncode) == (alone.stdout, alone.stderr, alone.returncode)


def test_a_worker_that_is_killed_changes_nothing(tmp_path: Path) -> None:
    files, rules = logs(tmp_path), load_rules([shipped("rules")])
    expected = Replay(files, rules).alerts()
    begun = Event()

    with Pool(2, Recipe(rules, live=False)) as pool:
        replay = Replay(files, rules, matching=Pooled(pool, 2, streams=len(files)))

        def kill() -> None:
            begun.wait(60)
            for pid in pool.pids:
                os.kill(pid, signal.SIGKILL)

        replay.on_batch = begun.set
        killing = Thread(target=kill)
        killing.start()
        found = replay.alerts()
        killing.join()

        assert pool.ended >= 1
    assert found == expected


def test_streams_side_by_side_keep_their_own_order(tmp_path: Path) -> None:
    rules = load_rules([shipped("rules")])
    files = [write(tmp_path / f"log{n}", *(failed(each, f"192.0.2.{n}") for each in range(3000))) for n in range(4)]
    replays = [Replay([file], rules) for file in files]

    def seqs(matching: Matching, replay: Replay) -> list[int]:
        return [match.event.record.seq for each in matching(replay._batches(0)) for match in each.matches]

    expected = [seqs(inline(rules, live=False), replay) for replay in replays]
    with Pool(2, Recipe(rules, live=False)) as pool:
        pooled = Pooled(pool, 2, streams=4)
        streams = [pooled(Replay([file], rules)._batches(0)) for file in files]
        found: list[list[int]] = [[] for _ in files]
        for turn in range(3):
            for at in range(4) if turn % 2 else reversed(range(4)):
                found[at] += [match.event.record.seq for match in next(streams[at]).matches]
        assert [next(stream, None) for stream in streams] == [None] * 4

    assert found == expected


def test_no_more_is_on_its_way_than_is_allowed(tmp_path: Path) -> None:
    rules = load_rules([shipped("rules")])
    read = 0

    def batches() -> Iterator[Batch]:
        nonlocal read
        for number in range(1, 200):
            read += 1
            yield Batch(number, number, 0, [], [], tick=False)

    with Pool(1, Recipe(rules, live=False)) as pool:
        stream = Pooled(pool, 1, streams=1)(batches())
        for taken in range(1, 100):
            assert next(stream).number == taken
            assert read <= taken + 4
