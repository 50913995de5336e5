"""Two worker processes against one, over the same frames of real events, when both have seen them."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from socmon.event import Record, Source
from socmon.journal import Batch, Frame
from socmon.sigma import RuleSet
from socmon.workers import Pool, Recipe

_PASSES = 5  # over all lines in one measurement, which would be too short else
_RECORDS = 500
_START_S = 120.0
_SOURCE = Source(collector="bench", peer="events.jsonl", format="windows_json")
_NOW_US = 1_764_000_000_000_000


def have_room() -> bool:
    """Whether there is a processor for each of two."""
    return len(os.sched_getaffinity(0)) > 1


def ratios(rules: RuleSet, lines: Sequence[bytes], rounds: int) -> tuple[list[float], bool]:
    """How much faster two are than one, round by round, by the clock on the wall; and whether their answers agree."""
    frames = [_frame(number, lines) for number in range(-(-len(lines) // _RECORDS))]
    answers = set()
    with _pool(rules, 1) as one, _pool(rules, 2) as two:
        for pool in (one, two):
            answers.add(_answer(pool, frames))
            answers.add(_answer(pool, frames))  # each of the two has seen most of the frames by now
        found = [_took_s(one, frames) / _took_s(two, frames) for _ in range(rounds)]
        answers |= {_answer(one, frames), _answer(two, frames)}
    return found, len(answers) == 1


@contextmanager
def _pool(rules: RuleSet, size: int) -> Iterator[Pool]:
    with Pool(size, Recipe(rules)) as pool:
        end_s = time.monotonic() + _START_S
        while not pool.ready:
            if time.monotonic() > end_s:
                raise RuntimeError("no worker starts; see above for why")
            pool.step()
        yield pool


def _frame(number: int, lines: Sequence[bytes]) -> Frame:
    first = number * _RECORDS
    records = [
        Record(line, _SOURCE, _NOW_US, seq=first + place)
        for place, line in enumerate(lines[first : first + _RECORDS], 1)
    ]
    batch = Batch(number=number + 1, first_seq=first + 1, written_us=_NOW_US, records=records, drops=[], tick=False)
    return Frame.of(batch)


def _took_s(pool: Pool, frames: Sequence[Frame]) -> float:
    began_s = time.monotonic()
    for _ in pool.each(frame for _ in range(_PASSES) for frame in frames):
        pass
    return time.monotonic() - began_s


def _answer(pool: Pool, frames: Sequence[Frame]) -> tuple[tuple[int, tuple[str, ...]], ...]:
    return tuple(
        (match.event.record.seq, tuple(match.rules)) for matched in pool.each(frames) for match in matched.matches
    )
