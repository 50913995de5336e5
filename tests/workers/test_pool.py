"""Workers: what they find is what one matcher finds, whatever becomes of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from field import wait_for
from structlog.testing import capture_logs
from workers_kit import BIG, INVENTORY, NOW_US, RULES, batches, frames, harmful, inline, ready, told

from socmon.enrich import Assets
from socmon.event import Record, Source
from socmon.journal import Batch, Frame
from socmon.matching import Matched, Matcher
from socmon.sigma.ruleset import parse_rules
from socmon.workers import Asides, Pool, Recipe
from socmon.workers.messages import answer, read_answer
from socmon.workers.slot import Limits

QUICK = Limits(still_s=2.0)  # of processor time, which a busy machine does not take away
ANY = (
    b"title: Any\nid: 1d8a7b7e-8e51-44b0-9d0c-6f1c8e5c9f00\nlogsource: {category: application}\n"
    b"detection: {s: {message|exists: true}, condition: s}\n"
)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_so_many_workers_find_what_one_matcher_finds(size: int) -> None:
    given = batches(times=2)
    one, many = Assets(INVENTORY), Assets(INVENTORY)

    with Pool(size, Recipe(RULES, many)) as pool:
        found = list(pool.each(frames(given)))

    assert found == inline(given, one)
    assert list(many.unknown) == list(one.unknown) != []
    assert sum(len(each.matches) for each in found) > 100
    assert sum(sum(each.unparsed.values()) for each in found) >= 2
    assert sum(len(each.own) for each in found) == 2
    assert (pool.ended, pool.hung, pool.redone) == (0, 0, 0)


def test_an_event_that_messagepack_cannot_hold_comes_back_whole_and_in_its_place() -> None:
    rules = parse_rules("any.yml", ANY)
    source = Source("json", "/big", "json")
    rows = [b'{"message": "a"}', BIG, b'{"message": "b"}', BIG]
    batch = Batch(1, 1, NOW_US, [Record(row, source, NOW_US, seq=n) for n, row in enumerate(rows, 1)], [], tick=False)

    matcher = Matcher(rules)
    (expected,) = told([matcher.match(batch)])
    matched = matcher.match(batch)
    for place in (1, 3):
        matched.matches[place].event.fields["id"] = 1 << 80  # as no parser does today

    found = read_answer(answer(matched), Frame.of(batch), matcher)

    assert found is not None
    assert [match.event.record.seq for match in found.matches] == [1, 2, 3, 4]
    assert told([found]) == [expected]


def test_a_frame_that_is_no_batch_is_told_as_damage() -> None:
    with Pool(1, Recipe(RULES)) as pool:
        (found,) = pool.each([Frame(7, 100, 40, b"\x9b nothing")])

    assert (found.number, found.damaged, found.journalled) == (7, 40, {})


def test_workers_that_are_killed_again_and_again_change_nothing() -> None:
    given = batches(times=3)
    found, killed = [], 0

    with Pool(2, Recipe(RULES)) as pool:
        for matched in pool.each(frames(given)):
            found.append(matched)
            if len(found) % 15 == 0:
                os.kill(pool.pids[killed % len(pool.pids)], signal.SIGKILL)
                killed += 1
        assert killed >= 3
        wait_until(pool, lambda: pool.ended == killed)

    assert found == inline(given)
    assert pool.redone > 0


def wait_until(pool: Pool, condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s
        pool.step()


@pytest.mark.parametrize("size", [1, 2])
def test_a_record_on_which_a_worker_spins_is_set_aside_and_all_else_is_found(
    size: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOCMON_FAILPOINT", "worker.spin")
    given = batches()
    seq = harmful(given, 4)
    asides = Asides(tmp_path / "aside", "j")

    with capture_logs() as logged, Pool(size, Recipe(RULES), asides=asides, limits=QUICK) as pool:
        found = list(pool.each(frames(given)))

    assert found == inline(given, aside=frozenset({seq}))
    assert pool.hung == 1
    assert Asides(tmp_path / "aside", "j").within(seq, seq + 1) == {seq}, "it is known after a restart"
    assert not Asides(tmp_path / "aside", "another").within(seq, seq + 1), "but not of another journal"
    (entry,) = (each for each in logged if each["event"] == "record set aside, matching cannot get past it")
    assert (entry["seq"], entry["why"]) == (seq, "it spins")


def test_a_record_that_is_known_to_do_harm_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOCMON_FAILPOINT", "worker.spin")
    given = batches()
    seq = harmful(given, 4)
    asides = Asides()
    asides.add(given[4].records[5], "it spins")

    with Pool(1, Recipe(RULES), asides=asides) as pool:
        found = list(pool.each(frames(given)))

    assert found == inline(given, aside=frozenset({seq}))
    assert pool.hung == 0


def test_a_record_that_ends_three_workers_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOCMON_FAILPOINT", "worker.crash")
    given = batches()
    seq = harmful(given, 4)

    with Pool(2, Recipe(RULES)) as pool:
        found = list(pool.each(frames(given)))

    assert found == inline(given, aside=frozenset({seq}))
    assert (pool.ended, pool.hung) == (3, 0)


def test_where_no_worker_can_be_started_the_parent_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOCMON_FAILPOINT", "worker.refuse")
    given = batches()

    with capture_logs() as logged, Pool(2, Recipe(RULES)) as pool:
        found = list(pool.each(frames(given)))

    assert told(found) == inline(given)
    assert len([each for each in logged if each["event"].startswith("no worker can be started")]) == 1


def test_a_worker_that_sleeps_is_replaced_and_no_record_is_blamed() -> None:
    given, now_s = batches(), [0.0]
    with Pool(1, Recipe(RULES), clock=lambda: now_s[0]) as pool:
        ready(pool)
        sleeper = pool.pids[0]
        os.kill(sleeper, signal.SIGSTOP)
        for frame in frames(given)[:2]:
            pool.submit(frame)
        pool.step(0)
        for _ in range(40):  # looked at all the time: who was not looked at is not judged
            now_s[0] += 4
            pool.step(0)
        assert pool.hung == 1
        found: list[Matched] = []
        while pool.waiting:
            now_s[0] += 0.01
            pool.step()
            found += filter(None, [pool.take()])

    assert found == inline(given[:2])
    assert not Path(f"/proc/{sleeper}").exists()


def test_what_was_not_taken_before_an_exchange_is_matched_by_the_new_rules() -> None:
    given = batches()
    new = parse_rules("any.yml", ANY)
    found: list[Matched] = []
    with Pool(2, Recipe(RULES)) as pool:
        ready(pool)
        left = iter(frames(given))
        while len(found) < 3:
            while pool.room:
                pool.submit(next(left))
            pool.step()
            found += filter(None, [pool.take()])
        assert pool.waiting

        pool.exchange(Recipe(new))
        for frame in left:
            while not pool.room:
                pool.step()
                found += filter(None, [pool.take()])
            pool.submit(frame)
        found += pool.each([])

    assert found == inline(given[:3]) + told([Matcher(new).match(batch) for batch in given[3:]])
    assert (pool.ended, pool.hung) == (0, 0)


def test_a_stop_amid_work_ends_workers_that_spin_and_leaves_no_zombie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOCMON_FAILPOINT", "worker.spin")
    given = batches()
    harmful(given, 0)
    with Pool(2, Recipe(RULES)) as pool:
        ready(pool)
        for frame in frames(given)[:4]:
            pool.submit(frame)
        pool.step()
        pids = pool.pids

    assert len(pids) == 2
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


PARENT = """
import os, sys, time
sys.path[:0] = [{tests!r}]
from workers_kit import *
from socmon.workers import Pool, Recipe
given = batches()
harmful(given, 0)
pool = Pool(2, Recipe(RULES))
ready(pool)
for frame in frames(given)[:4]:
    pool.submit(frame)
pool.step()
print(*pool.pids, flush=True)
time.sleep(600)
"""


def test_workers_end_with_their_parent_even_amid_a_loop_in_c() -> None:
    script = PARENT.format(tests=str(Path(__file__).parents[1]))
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=os.environ | {"SOCMON_FAILPOINT": "worker.spin"}
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    with suppress(ProcessLookupError):
        for pid in pids:
            os.kill(pid, signal.SIGTERM)  # as a service manager does to all: not theirs
    assert all(_lives(pid) for pid in pids)

    parent.kill()
    parent.wait(60)
    parent.stdout.close()

    wait_for(lambda: not any(_lives(pid) for pid in pids), "workers end with their parent")


def _lives(pid: int) -> bool:
    """Whether it runs; one that has ended may stay until somebody asks how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
