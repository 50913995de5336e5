"""Quotas: who goes first, what waits, and that nothing of it is lost, doubled or reordered."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socmon.event import Record, Source
from socmon.quotas import BATCH_BYTES, LONG_S, RECORD_BYTES, SECOND_NS, Buckets, Overruns, Parking, SourceKey

FLOODER, OTHER = ("net", "192.0.2.1"), ("net", "192.0.2.2")
PEERS = [("net", f"192.0.2.{n}") for n in range(1, 5)]


def records(count: int, size_bytes: int = 10) -> list[Record]:
    return [Record(b"x" * size_bytes, Source(*FLOODER), 0)] * count


@dataclass(eq=False)
class Parked:
    source: SourceKey
    numbers: list[int]
    offered: bool = True
    records: Sequence[Record] = field(init=False)
    size_bytes: int = field(init=False)
    room_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.records = records(len(self.numbers))
        self.size_bytes = 10 * len(self.numbers)
        self.room_bytes = BATCH_BYTES + len(self.numbers) * (10 + RECORD_BYTES) if self.offered else 0


# ── buckets ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_of_quota_may_come_at_once_and_not_one_record_more() -> None:
    buckets = Buckets()
    buckets.limit("net", 100)

    assert buckets.allow(FLOODER, 100, 0)
    assert not buckets.allow(FLOODER, 101, 0)


def test_tokens_come_back_at_the_rate_of_the_quota() -> None:
    buckets = Buckets()
    buckets.limit("net", 100)
    buckets.spend(FLOODER, 100, 0)

    assert not buckets.allow(FLOODER, 26, SECOND_NS // 4)
    assert buckets.allow(FLOODER, 25, SECOND_NS // 4)


def test_what_one_source_spends_another_of_its_collector_still_has() -> None:
    buckets = Buckets()
    buckets.limit("net", 100)
    buckets.spend(FLOODER, 100, 0)

    assert not buckets.allow(FLOODER, 1, 0)
    assert buckets.allow(OTHER, 100, 0)


def test_without_a_quota_everything_is_within_it() -> None:
    buckets = Buckets()
    buckets.limit("net", 100)
    buckets.limit("net", 0)
    buckets.spend(FLOODER, 10**9, 0)

    assert buckets.allow(FLOODER, 10**9, 0)


def test_more_tokens_than_there_are_cannot_be_owed() -> None:
    buckets = Buckets()
    buckets.limit("net", 100)
    buckets.spend(FLOODER, 10**6, 0)

    assert buckets.allow(FLOODER, 100, SECOND_NS)


def test_sources_beyond_the_limit_share_one_bucket_until_others_are_full_again() -> None:
    buckets = Buckets(max_sources=2)
    buckets.limit("net", 10)
    for peer in PEERS[:3]:
        buckets.spend(peer, 10, 0)

    assert not buckets.allow(PEERS[3], 1, 0)  # it never sent, but shares with the third
    assert buckets.allow(PEERS[3], 10, 2 * SECOND_NS)


@given(
    per_s=st.integers(1, 5000),
    steps=st.lists(st.tuples(st.integers(0, SECOND_NS), st.integers(1, 3000)), max_size=60),
)
def test_never_more_is_within_quota_than_the_bucket_and_the_time_allow(
    per_s: int, steps: list[tuple[int, int]]
) -> None:
    buckets = Buckets()
    buckets.limit("net", per_s)
    now_ns, admitted = 0, list[tuple[int, int]]()
    for wait_ns, count in steps:
        now_ns += wait_ns
        if buckets.allow(FLOODER, count, now_ns):
            buckets.spend(FLOODER, count, now_ns)
            admitted.append((now_ns, count))

    for first, (start_ns, _) in enumerate(admitted):
        for end_ns, _ in admitted[first:]:
            within = sum(count for at_ns, count in admitted if start_ns <= at_ns <= end_ns)
            assert within * SECOND_NS <= per_s * (SECOND_NS + end_ns - start_ns)


@given(per_s=st.integers(1, 5000), steps=st.lists(st.integers(1, SECOND_NS), max_size=60))
def test_who_keeps_to_the_quota_is_never_over_it(per_s: int, steps: list[int]) -> None:
    buckets = Buckets()
    buckets.limit("net", per_s)
    now_ns = 0
    for wait_ns in steps:
        now_ns += wait_ns
        count = per_s * wait_ns // SECOND_NS
        # A token's time is rounded up to a nanosecond, so a thousandth less than the quota is surely within.
        count -= count // 1000 + 1
        assert count <= 0 or buckets.allow(FLOODER, count, now_ns)
        buckets.spend(FLOODER, max(0, count), now_ns)


# ── parking ──────────────────────────────────────────────────────────────────────────────────────────────────────

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(PEERS), st.integers(1, 30)),
        st.tuples(st.just("take"), st.integers(1, 40), st.integers(1, 800)),
        st.tuples(st.just("remove"), st.integers(0, 50), st.just(0)),
    ),
    max_size=80,
)


@given(steps=STEPS, offered=st.booleans())
def test_what_is_parked_leaves_once_and_in_the_order_of_its_source(
    steps: list[tuple[str, SourceKey | int, int]], *, offered: bool
) -> None:
    parking: Parking[Parked] = Parking(10**9)
    put, left, numbers = list[Parked](), list[Parked](), Counter[SourceKey]()
    for step, what, count in steps:
        if step == "put":
            assert isinstance(what, tuple)
            batch = Parked(what, [numbers[what] + n for n in range(count)], offered)
            numbers[what] += count
            parking.put(batch)
            put.append(batch)
        elif step == "take":
            assert isinstance(what, int)
            taken = parking.take(what, count)
            assert bool(taken) == (len(left) < len(put))
            assert len(taken) <= 1 or sum(len(batch.records) for batch in taken) <= what
            assert len(taken) <= 1 or sum(batch.size_bytes for batch in taken) <= count
            left += taken
        elif put:
            assert isinstance(what, int)
            batch = put[what % len(put)]
            assert parking.remove(batch) == (batch not in left)
            if batch not in left:
                put.remove(batch)
        assert parking.records == sum(len(batch.numbers) for batch in put if batch not in left)
    while parking:
        left += parking.take(1000, 10**6)

    for peer in PEERS:
        assert [batch for batch in left if batch.source == peer] == [batch for batch in put if batch.source == peer]
    assert parking.records == 0
    assert parking.fitting(FLOODER, records(1000)) == 1000


@given(asks=st.lists(st.tuples(st.sampled_from(PEERS), st.integers(1, 40), st.booleans()), max_size=120))
def test_the_room_is_never_exceeded_and_one_source_never_has_more_than_half(
    asks: list[tuple[SourceKey, int, bool]],
) -> None:
    room_bytes = 100 * (10 + RECORD_BYTES) + 4 * BATCH_BYTES
    parking: Parking[Parked] = Parking(room_bytes)
    held = Counter[SourceKey]()
    for peer, count, take in asks:
        fitting = parking.fitting(peer, records(count))
        if fitting:
            parking.put(Parked(peer, list(range(fitting))))
            held[peer] += BATCH_BYTES + fitting * (10 + RECORD_BYTES)
        for batch in parking.take(20, 10**6) if take else []:
            held[batch.source] -= batch.room_bytes
        assert sum(held.values()) <= room_bytes
        assert max(held.values()) <= room_bytes // 2


def test_a_flooder_leaves_room_for_the_next_and_that_one_too() -> None:
    parking: Parking[Parked] = Parking(100_000 * (10 + RECORD_BYTES))
    for peer in PEERS:
        parking.put(Parked(peer, list(range(parking.fitting(peer, records(100_000))))))

    got = Counter({batch.source: round(len(batch.numbers) / 100) for batch in parking})
    assert [got[peer] for peer in PEERS] == [500, 250, 125, 62]


def test_a_sender_that_waits_takes_up_no_room_of_those_that_cannot() -> None:
    parking: Parking[Parked] = Parking(1000 * (10 + RECORD_BYTES) + 2 * BATCH_BYTES)
    parking.put(Parked(FLOODER, list(range(5000)), offered=False))

    assert parking.fitting(OTHER, records(1000)) == 500


@given(counts=st.lists(st.integers(1, 20), min_size=2, max_size=4))
def test_sources_take_turns_whatever_the_others_have_waiting(counts: list[int]) -> None:
    parking: Parking[Parked] = Parking(10**9)
    for peer, count in zip(PEERS, counts, strict=False):
        for number in range(count):
            parking.put(Parked(peer, [number] * 1000))

    turns = list[SourceKey]()
    while parking:
        (batch,) = parking.take(1000, 10**6)
        turns.append(batch.source)

    for peer, count in zip(PEERS, counts, strict=False):
        for other, theirs in zip(PEERS, counts, strict=False):
            gone = [turns[: n + 1].count(other) for n, turn in enumerate(turns) if turn == peer]
            assert all(abs(gone[n] - min(n + 1, theirs)) <= 1 for n in range(count))


def test_small_batches_of_several_sources_travel_together() -> None:
    parking: Parking[Parked] = Parking(10**9)
    for peer in PEERS:
        parking.put(Parked(peer, [1, 2, 3]))

    assert [batch.source for batch in parking.take(9, 10**6)] == PEERS[:3]


# ── what is told ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (range(LONG_S), 0),  # not yet long
        (range(LONG_S + 10), 1),
        (range(0, 3000, 30), 0),  # it was within its quota in between
        (range(2 * 3600), 2),  # again each hour
    ],
)
def test_a_source_is_told_of_when_it_has_been_over_its_quota_for_long(seconds: range, told: int) -> None:
    overruns = Overruns()

    assert sum(overruns.long(FLOODER, second * SECOND_NS) for second in seconds) == told


def test_many_sources_over_their_quota_are_told_of_one_a_minute() -> None:
    overruns = Overruns()
    told = [
        second for second in range(4 * LONG_S) for n in range(300) if overruns.long(("net", str(n)), second * SECOND_NS)
    ]

    assert told == [LONG_S, 2 * LONG_S, 3 * LONG_S]
