"""Reloads while senders write: windows that are open go over all of them, and what begins anew begins at one frame."""

import asyncio
import json
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from control_kit import listening, logged, socmon, to_file
from field import Field, failure_line, field_in, wait_for
from harness import until
from test_correlating import Stage
from test_reloading import FAILURE, LINES, detection, ended, essence, feed, guessing

from socmon.detection import Detection
from socmon.sigma.rule import Rule
from socmon.store import Reading

HOSTS = {"auth": "dvc-web-01", "auth2": "dvc-web-02"}
SPREAD = """\
---
title: Many addresses
id: 9f2c1c52-4d0e-4b8e-9d1e-0c7c7c7b1c01
level: high
correlation:
  type: value_count
  rules: [wrong]
  group-by: [user]
  timespan: 1h
  condition: {field: src_ip, gte: 3}
"""
KEPT = guessing(1, 10) + SPREAD
FIRST = FAILURE + KEPT + guessing(2, 5) + guessing(3, 4)
CHANGED = FAILURE + KEPT + guessing(2, 7) + guessing(3, 4)
WITHOUT = FAILURE + KEPT + guessing(2, 7)
BASE = CHANGED.replace("{outcome: failure}", "{outcome: failure, user: root}")  # what all the others stand over
ID = "9f2c1c52-4d0e-4b8e-9d1e-0c7c7c7b1{}".format
KEPT_IDS = {ID("b01"), ID("c01")}


@contextmanager
def senders(place: Field) -> Iterator[None]:
    """Files that grow until the end of the body."""
    stop = threading.Event()

    def send(name: str, host: str) -> None:
        number = 0
        while not stop.wait(0.05):
            with (place.root / name).open("a") as log:
                log.write("".join(f"{failure_line(each, host)}\n" for each in range(number, number + 2)))
            number += 2

    threads = [threading.Thread(target=send, args=item) for item in HOSTS.items()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


class Reloads:
    """One reload after the other, of a daemon that is at work before and after each."""

    def __init__(self, place: Field) -> None:
        self.place = place
        self.refused = 0

    def work(self) -> None:
        """Wait until more was matched, and stored."""
        frame = self.place.reading().number
        wait_for(lambda: self.place.reading().number > frame + 3, "more frames")

    def good(self, rules: str) -> dict[str, Any]:
        """Reload by the command; what it says, and the frame after which it is in force."""
        (self.place.root / "rules" / "mine.yml").write_text(rules)
        told: dict[str, Any] = json.loads(socmon(self.place, "-o", "json", "config", "reload").stdout)
        assert told["ok"]
        self.work()
        return told

    def bad(self, *, by_signal: bool) -> None:
        """Reload rules that are refused, by the command or SIGHUP."""
        (self.place.root / "rules" / "mine.yml").write_text(WITHOUT.replace("condition: selection", "condition: x"))
        self.refused += 1
        if by_signal:
            assert self.place.daemon is not None
            self.place.daemon.send_signal(signal.SIGHUP)
        else:
            assert socmon(self.place, "config", "reload").returncode == 78
        told = "configuration not reloaded, what runs is kept"
        wait_for(lambda: len([line for line in logged(self.place) if line["event"] == told]) == self.refused, told)
        self.work()


def begun(root: Path, journal: Path, ruling: Detection, after: int, last: int | None = None) -> Reading:
    """What a run over a copy of `journal` comes to that begins with nothing behind frame `after`, up to `last`."""
    root.mkdir()
    shutil.copytree(journal, root / "journal")

    async def run() -> Reading:
        one = Stage(root, 0, ruling)
        one.stage.number = after
        for batch in one.journal.read_after(after):
            if last is None or batch.number <= last:
                await one.stage._apply(one.stage._matcher.match(batch))
        await one.stage.checkpoint()
        reading, _ = await ended(one, root)
        return reading

    return asyncio.run(run())


def of(reading: Reading, *ids: str) -> list[tuple[Any, ...]]:
    return [each for each in essence(reading) if each[1] in ids]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", [0, 2])
def test_alerts_under_reloads_are_those_of_runs_without(workers: int, tmp_path: Path) -> None:
    with field_in(tmp_path / "province") as place:
        (place.root / "rules").mkdir()
        (place.root / "rules" / "mine.yml").write_text(FIRST)
        out = to_file(place.root / "out.ndjson")
        rules = {"paths": ["rules"], "shipped": False}
        place.configure([*HOSTS], forwarders={"out": out}, rules=rules, detection={"workers": workers})
        listening(place)
        reloads = Reloads(place)
        with senders(place):
            reloads.work()
            same = reloads.good(FIRST)
            reloads.bad(by_signal=False)
            changed = reloads.good(CHANGED)
            reloads.bad(by_signal=True)
            gone = reloads.good(WITHOUT)
            reloads.bad(by_signal=False)
            back = reloads.good(CHANGED)
            based = reloads.good(BASE)
        sent = sum(len((place.root / name).read_bytes().splitlines()) for name in HOSTS)
        wait_for(lambda: sum(place.account(name).evaluated for name in HOSTS) == sent, "all lines evaluated")
        place.stop_daemon()
        reading, journal = place.reading(), place.state / "journal"

    assert [(each["changed"], each["gone"]) for each in (same, changed, gone, back)] == [
        ([], []), ([ID("b02")], []), ([], [ID("b03")]), ([ID("b03")], []),
    ]  # fmt: skip
    assert set(based["changed"]) == {ID("a01"), ID("b02"), ID("b03"), *KEPT_IDS}
    frames = [each["frame"] for each in (same, changed, gone, back, based)]
    assert frames == sorted(set(frames))
    _, by_changed, by_gone, by_back, by_base = frames

    first, second, third = (
        detection(tmp_path / name, text) for name, text in (("1", FIRST), ("2", CHANGED), ("3", BASE))
    )
    runs = iter(tmp_path / f"run{number}" for number in range(9))
    kept = begun(next(runs), journal, first, 0, by_base)
    anew = begun(next(runs), journal, second, by_changed, by_base)
    again = begun(next(runs), journal, second, by_back, by_base)
    removed = begun(next(runs), journal, first, 0, by_gone)
    before = begun(next(runs), journal, first, 0, by_changed)
    after = begun(next(runs), journal, third, by_base)

    wanted = (
        of(kept, *KEPT_IDS)
        + of(before, ID("b02"))
        + of(anew, ID("b02"))
        + of(removed, ID("b03"))
        + of(again, ID("b03"))
        + of(after, *KEPT_IDS, ID("b02"), ID("b03"))
    )
    assert sorted(wanted) == essence(reading)
    assert all(of(each, ID("b02")) for each in (before, anew, after)), "else nothing was changed under load"
    assert of(removed, ID("b03"))
    assert of(again, ID("b03"))


# ── one stage ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_reload_waits_for_the_batch_that_is_being_taken_in(tmp_path: Path) -> None:
    ruling = detection(tmp_path, FIRST)
    one = Stage(tmp_path, LINES, ruling)
    held = one.stage._whole
    await held.acquire()  # as while a batch is taken in
    exchanging = asyncio.create_task(one.stage.exchange(detection(tmp_path / "after", CHANGED)))
    await until(lambda: bool(held._waiters))
    (batch, *_) = one.journal.read_after(0)
    await one.stage._apply(one.stage._matcher.match(batch))

    assert one.stage.detection is ruling
    held.release()
    await exchanging
    assert one.stage.exchanged == batch.number
    await one.close()


@pytest.mark.parametrize("place", ["commit", "load"])
async def test_a_stop_amid_a_reload_loses_and_doubles_nothing(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ruling = detection(tmp_path, FIRST)
    whole = Stage(tmp_path / "whole", LINES, ruling)
    wanted, _ = await ended(whole, tmp_path / "whole")
    one = Stage(tmp_path, LINES, ruling)
    await feed(one, 5)
    at_it, go_on = threading.Event(), threading.Event()
    name = f"{place}_now"
    work = getattr(one.store, name)

    def slow(*args: object) -> object:
        at_it.set()
        assert go_on.wait(60)
        return work(*args)

    monkeypatch.setattr(one.store, name, slow)
    exchanging = asyncio.create_task(one.stage.exchange(detection(tmp_path / "after", CHANGED)))
    await until(at_it.is_set)
    exchanging.cancel()
    go_on.set()
    await asyncio.wait([exchanging])
    monkeypatch.undo()
    reading, _ = await ended(one, tmp_path)

    assert exchanging.cancelled()
    assert one.stage.detection is ruling
    # Without the ids, which go by the journal's incarnation.
    assert sorted(each[1:] for each in essence(reading)) == sorted(each[1:] for each in essence(wanted))
    assert reading.ledger.accounts == wanted.ledger.accounts


@pytest.mark.parametrize("number", [1, 2])
async def test_a_rule_that_goes_and_comes_back_begins_empty_once_a_frame_was_read_without_it(
    number: int, tmp_path: Path
) -> None:
    one = Stage(tmp_path, LINES, detection(tmp_path, CHANGED))
    await feed(one, 1)
    await one.stage.exchange(detection(tmp_path / "gone", WITHOUT))
    await feed(one, number)
    await one.stage.exchange(detection(tmp_path / "back", CHANGED))
    await feed(one, 2)
    counts = {
        alert.count
        for alert, _ in one.stage._correlator.take_alerts()
        if (alert.title, alert.group.get("src_ip")) == ("Guessing 3", "203.0.113.5")
    }
    await one.close()

    # Of this address are lines 48 to 59, two of them in the first frame: with no frame between, nothing was missed.
    assert counts == ({12} if number == 1 else set())


async def test_a_filter_that_is_added_lets_what_it_filters_begin_empty_and_nothing_else(tmp_path: Path) -> None:
    other = FAILURE.replace("wrong", "other").replace("b1a01", "b1a02")
    over = guessing(5, 4).replace("[wrong]", "[other]")
    keep = "title: Not root\nlogsource: {product: linux, service: sshd}\nfilter:\n  rules: [wrong]\n"
    keep += "  selection: {user: nobody-at-all}\n  condition: not selection\n"
    one = Stage(tmp_path, LINES, detection(tmp_path, FAILURE + guessing(3, 4) + f"---\n{other}" + over))
    await feed(one, 1)
    filtered = detection(tmp_path / "after", FAILURE + guessing(3, 4) + f"---\n{other}" + over + f"---\n{keep}")
    changed = [
        rule.id for rule, was in zip(filtered.rules.rules, one.detection.rules.rules, strict=True) if differ(rule, was)
    ]
    await one.stage.exchange(filtered)
    await feed(one, 2)
    counts = {
        alert.title: alert.count
        for alert, _ in one.stage._correlator.take_alerts()
        if alert.group.get("src_ip") == "203.0.113.5"
    }
    await one.close()

    assert filtered.problems == ()
    assert changed == [ID("a01"), ID("b03")]
    assert counts == {"Guessing 3": 10, "Guessing 5": 12}


def differ(rule: Rule, was: Rule) -> bool:
    assert rule.id == was.id
    return rule.hash != was.hash
