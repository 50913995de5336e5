"""A stream's bytes come out in order, each once, within bounds; the timer wheel hands out all in time."""

import random
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socmon.network.flows import TCP, Flow
from socmon.network.limits import Counts
from socmon.network.reading import Budget, Reader
from socmon.network.streams import MOST_HELD_BYTES, Stream
from socmon.network.wheel import SLOTS, Wheel

FIRST = 4_294_967_290  # sequence numbers wrap soon


class Sink(Reader):
    """Keeps what a stream hands on; gaps as question marks."""

    def __init__(self) -> None:
        self.got = b""

    def data(self, from_originator: bool, data: bytes, ts: float) -> None:  # noqa: ARG002 - see Reader
        self.got += data

    def gap(self, from_originator: bool, size: int) -> None:  # noqa: ARG002 - see Reader
        self.got += b"?" * min(size, 1_000_000)

    def end(self) -> None:
        pass


def a_stream(*, budget: int = 1_000_000) -> tuple[Stream, Sink, Budget]:
    flow = Flow(TCP, bytes(12), bytes(12), 0.0, 1.0)
    sink, room = Sink(), Budget(budget)
    flow.app = sink
    return Stream(flow, room, Counts(), from_originator=True, first=FIRST), sink, room


@settings(max_examples=120)
@given(data=st.binary(min_size=1, max_size=400), seed=st.integers(0, 2**32), again=st.integers(0, 8))
def test_any_cuts_in_any_order_with_any_repeats_give_the_same_bytes(data: bytes, seed: int, again: int) -> None:
    chance = random.Random(seed)
    cuts = sorted({0, len(data), *(chance.randrange(len(data)) for _ in range(6))})
    segments = [(start, data[start:end]) for start, end in pairwise(cuts)]
    for _ in range(again):  # overlapping ones
        start = chance.randrange(len(data))
        segments.append((start, data[start : start + chance.randrange(1, 100)]))
    chance.shuffle(segments)
    stream, sink, budget = a_stream()

    for start, part in segments:
        stream.segment((FIRST + start) % 2**32, part, 0.0)

    assert sink.got == data
    assert budget.left == 1_000_000


@settings(max_examples=120)
@given(segments=st.lists(st.tuples(st.integers(-50, 200), st.binary(min_size=1, max_size=30)), max_size=30))
def test_each_byte_comes_from_a_segment_that_was_sent_there_and_what_is_out_stays(
    segments: list[tuple[int, bytes]],
) -> None:
    stream, sink, _ = a_stream()
    sent: dict[int, set[int]] = {}

    for at, data in segments:
        before = sink.got
        for index, byte in enumerate(data):
            sent.setdefault(at + index, set()).add(byte)
        stream.segment((FIRST + at) % 2**32, data, 0.0)
        assert sink.got.startswith(before)

    assert all(byte in sent[at] for at, byte in enumerate(sink.got))
    assert len(sink.got) not in sent


def test_what_waits_for_too_long_is_handed_on_behind_a_gap() -> None:
    stream, sink, budget = a_stream()

    for index in range(MOST_HELD_BYTES // 1000 + 2):
        stream.segment((FIRST + 10 + index * 1000) % 2**32, b"x" * 1000, 0.0)

    assert sink.got.startswith(b"?" * 10 + b"x")
    assert budget.left == 1_000_000


def test_all_streams_together_hold_no_more_than_their_budget() -> None:
    stream, sink, budget = a_stream(budget=100)

    stream.segment((FIRST + 10) % 2**32, b"x" * 99, 0.0)
    held = sink.got
    stream.segment((FIRST + 200) % 2**32, b"y" * 99, 0.0)

    assert held == b""
    assert sink.got == b"?" * 10 + b"x" * 99  # one gap made room enough
    assert budget.left == 1


class NaiveWheel:
    """What a wheel does, by looking at all that waits."""

    def __init__(self) -> None:
        self.waiting: list[tuple[int, int]] = []

    def add(self, item: int, due: float, now: float) -> None:
        at = max(ceil(due), int(now) + 1)
        self.waiting.append((min(at, int(now) + SLOTS - 1), item))

    def advance(self, now: float) -> list[int]:
        late = sorted((at, index, item) for index, (at, item) in enumerate(self.waiting) if at <= now)
        self.waiting = [(at, item) for at, item in self.waiting if at > now]
        return [item for _, _, item in late]


steps = st.one_of(st.tuples(st.just("add"), st.floats(0, 40)), st.tuples(st.just("advance"), st.floats(0, 30)))


@settings(max_examples=120)
@given(st.lists(steps, max_size=60))
def test_the_wheel_hands_out_what_a_naive_one_does(actions: list[tuple[str, float]]) -> None:
    wheel: Wheel[int] = Wheel(1000.5)
    naive, now = NaiveWheel(), 1000.5
    for number, (action, value) in enumerate(actions):
        if action == "add":
            wheel.add(number, now + value)
            naive.add(number, now + value, now)
        else:
            now += value
            assert list(wheel.advance(now)) == naive.advance(now)
    assert sorted(wheel.advance(now + 1e9)) == sorted(item for _, item in naive.waiting)


@pytest.mark.parametrize("jump", [1e3, 1e9, 2.5e11])
def test_a_jump_of_years_costs_one_turn(jump: float) -> None:
    wheel: Wheel[str] = Wheel(5.0)
    wheel.add("a", 6.0)

    assert list(wheel.advance(5.0 + jump)) == ["a"]
    wheel.add("b", 7.0 + jump)
    assert list(wheel.advance(6.0 + jump)) == []
    assert list(wheel.advance(7.0 + jump)) == ["b"]
