"""What detection runs by is exchanged as a whole: whatever it is cancelled amid, and though workers come and go."""

import asyncio
import threading
from pathlib import Path

import pytest
from field import failure_line
from harness import until
from msgspec.structs import replace as replaced
from test_correlating import SOURCE, Stage
from test_reloading import FAILURE, detection, guessing

from socmon import ahead
from socmon.detection import Detection
from socmon.event import Record

LINES = 400
RULES = FAILURE + guessing(1, 5)


def by(folder: Path, workers: int, rules: str = RULES) -> Detection:
    made = detection(folder, rules)
    return Detection(made.rules, made.assets, made.limits, made.problems, workers=workers)


def append(one: Stage, number: int) -> None:
    rows = [Record(failure_line(LINES + number).encode(), SOURCE, 1)]
    now_us = one.journal.reader(after=0).read(1)[0].written_us
    one.journal.append([replaced(row, received_us=now_us) for row in rows], written_us=now_us)
    one.intake.appended.set()


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 2), (2, 0), (0, 1)])
async def test_a_cancelled_exchange_is_done_or_not_begun(
    before: int, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Stage(tmp_path, LINES, by(tmp_path, before))
    running = asyncio.create_task(one.stage.run())
    await until(lambda: one.stage.number == one.journal.last_number)
    at_it, go_on = threading.Event(), threading.Event()
    kind, name = (ahead.Spread if before else ahead.Inline), ("exchange" if before == after else "close")
    work = getattr(kind, name)

    def slow(*args: object) -> object:
        at_it.set()
        assert go_on.wait(60)
        return work(*args)

    monkeypatch.setattr(kind, name, slow)
    new = by(tmp_path / "after", after, RULES + guessing(2, 3))
    exchanging = asyncio.create_task(one.stage.exchange(new))
    await until(at_it.is_set)
    append(one, 1)  # so that the stage asks for more while the old one is let go
    exchanging.cancel()
    await asyncio.sleep(0)
    assert not exchanging.done()
    go_on.set()
    await asyncio.wait([exchanging])
    append(one, 2)
    await until(lambda: one.stage.number == one.journal.last_number)

    assert exchanging.cancelled()
    assert one.stage.detection is new
    one.stage.drain()
    await running
    one.stage.shutdown()
    await one.close()


def test_what_was_found_lost_is_not_found_again_by_the_next_reader() -> None:
    class Lost:
        lost_seqs = 0

    reader = Lost()
    losses = ahead._Losses(reader, told=40)  # type: ignore[arg-type]  # all that it looks at

    assert losses.new() == 0
    reader.lost_seqs = 40
    assert losses.new() == 0
    reader.lost_seqs = 47
    assert (losses.new(), losses.new()) == (7, 0)
