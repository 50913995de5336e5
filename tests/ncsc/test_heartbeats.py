"""Heartbeats at the centre: who is heard, who is silent after three missed ones, whose clock is off."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from feed_kit import ORG, OTHER, centre_and_client, centre_running, message
from hypothesis import given
from hypothesis import strategies as st
from ncsc_centre_kit import NOW_US, Clock, beat, post_beat
from ncsc_kit import keys_of
from structlog.testing import capture_logs

from socmon.errors import ParseError
from socmon.feed.checking import validator
from socmon.feed.heartbeat import MAX_BYTES, Heartbeat, read_heartbeat
from socmon.feed.keys import generate
from socmon.ncsc.liveness import Liveness

EVERY_S = 60.0


def heard(**changes: Any) -> Heartbeat:
    return read_heartbeat(msgspec.json.encode(beat(**changes)))


@pytest.fixture
def steady() -> Clock:
    return Clock(0.0)


@pytest.fixture
def wall() -> Clock:
    return Clock()


@pytest.fixture
def liveness(steady: Clock, wall: Clock) -> Liveness:
    return Liveness({}, every_s=EVERY_S, steady=steady, wall=wall)


# ── who is silent ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_after_three_missed_heartbeats_an_organisation_is_silent_and_heard_again_it_is_not(
    liveness: Liveness, steady: Clock
) -> None:
    liveness.hear(ORG, heard())
    steady.now_s = 3 * EVERY_S
    assert not liveness.silent(ORG)

    steady.now_s += 0.1
    assert liveness.silent(ORG)

    liveness.hear(ORG, heard())
    assert not liveness.silent(ORG)


def test_who_was_never_heard_has_its_time_from_the_first_look_on(liveness: Liveness, steady: Clock) -> None:
    steady.now_s = 10_000.0
    liveness.look([ORG])
    assert not liveness.silent(ORG)

    steady.now_s += 3 * EVERY_S + 1
    assert liveness.silent(ORG)


def test_a_silence_is_told_once_and_its_end_too(liveness: Liveness, steady: Clock) -> None:
    with capture_logs() as logged:
        for moment_s in (0.0, 181.0, 182.0, 183.0):
            steady.now_s = moment_s
            liveness.look([ORG, OTHER])
            if moment_s == 182.0:
                liveness.hear(ORG, heard())

    told = [(entry["event"], entry["organisation"]) for entry in logged]
    assert told == [
        ("organisation is silent", ORG),
        ("organisation is silent", OTHER),
        ("organisation is heard again", ORG),
    ]


def test_who_is_expected_no_more_is_not_called_heard(liveness: Liveness, steady: Clock) -> None:
    liveness.look([ORG])
    steady.now_s = 181.0
    liveness.look([ORG])

    with capture_logs() as logged:
        liveness.look([])

    assert logged == []


# ── whose clock is off ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("off_s", "flagged"), [(600, True), (-600, True), (59, False), (0, False)])
def test_a_clock_that_is_off_is_flagged(liveness: Liveness, off_s: int, *, flagged: bool) -> None:
    found = liveness.hear(ORG, heard(time_us=NOW_US + off_s * 1_000_000))

    assert (found.skew_s, found.clock_off) == (off_s, flagged)


def test_a_clock_that_is_right_again_is_flagged_no_more_and_both_are_told_once(liveness: Liveness) -> None:
    with capture_logs() as logged:
        for off_s in (600, 601, 0, 0):
            liveness.hear(ORG, heard(time_us=NOW_US + off_s * 1_000_000))

    assert not liveness.last[ORG].clock_off
    assert [entry["event"] for entry in logged] == [
        "clock of an organisation is off",
        "clock of an organisation is right again",
    ]


# ── on the wire ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_heartbeat_is_answered_with_the_centre_s_time_and_shown(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client):
        status, answer = await post_beat(centre, keys_of(tmp_path), beat())

        assert (status, [*answer]) == (200, ["server_time"])
        stats = await client.stats()
        assert (stats["silent"], stats["heartbeat"]["backlog"]) == (False, {"urgent": 1, "normal": 41})
        assert stats["last_heartbeat"] == answer["server_time"][:10] + stats["last_heartbeat"][10:]
        assert stats["certificate_expires"].endswith("Z")


async def test_heartbeats_use_up_no_fault_and_stand_beside_batches(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client):
        await client.fault(fault="503", times=1)

        assert (await post_beat(centre, keys_of(tmp_path), beat()))[0] == 200
        assert (await client.post([message(1)]))[0] == 503


async def test_who_is_not_enrolled_is_not_heard(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path, organisations={OTHER: "only"}) as (centre, _):
        status, answer = await post_beat(centre, keys_of(tmp_path), beat())

        assert (status, answer["error"]) == (403, "not_enrolled")


async def test_the_last_heartbeat_outlives_a_restart(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG)
    async with centre_running(tmp_path, keys) as centre:
        assert (await post_beat(centre, keys, beat()))[0] == 200
        last = centre.liveness.last[ORG]

    async with centre_running(tmp_path, keys) as centre:
        assert centre.liveness.last == {ORG: last}
        assert not centre.liveness.silent(ORG)


@pytest.mark.parametrize(
    ("told", "status", "code"),
    [
        (b"{", 400, "heartbeat"),
        (b"[]", 400, "heartbeat"),
        (b"[" * 10_000, 400, "heartbeat"),
        (beat(pending=-1), 400, "heartbeat"),
        (beat(silent=["x"] * 101), 400, "heartbeat"),
        (beat(rules="0123456789ABCDEF"), 400, "heartbeat"),
        (beat(time="yesterday"), 400, "heartbeat"),
        (b" " * (MAX_BYTES + 1), 413, "too_large"),
    ],
    ids=["torn", "no object", "deep", "negative", "many names", "no version", "no time", "large"],
)
async def test_what_is_no_heartbeat_is_refused(tmp_path: Path, told: object, status: int, code: str) -> None:
    async with centre_and_client(tmp_path) as (centre, _):
        found, answer = await post_beat(centre, keys_of(tmp_path), told)

        assert (found, answer["error"]) == (status, code)
        assert centre.liveness.last == {}


async def test_members_that_are_not_known_are_passed_over(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, _):
        assert (await post_beat(centre, keys_of(tmp_path), beat(new={"deep": [1]})))[0] == 200


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(msgspec.json.encode))
def test_whatever_comes_is_refused_as_no_heartbeat(body: bytes) -> None:
    with pytest.raises(ParseError, match="not a heartbeat"):  # none of these has all the members
        read_heartbeat(body)


@given(
    backlog=st.dictionaries(st.sampled_from(["urgent", "normal", "stats"]), st.integers(0, 10**9)),
    silent=st.lists(st.text(max_size=128), max_size=100),
    oldest_s=st.none() | st.integers(0, 10**9),
)
def test_what_is_written_is_read_back(backlog: dict[str, int], silent: list[str], oldest_s: int | None) -> None:
    told = heard(backlog=backlog, silent=silent, oldest_s=oldest_s)

    body = msgspec.json.encode(told)

    assert read_heartbeat(body) == told
    assert validator("heartbeat.v1").is_valid(msgspec.json.decode(body))


async def test_a_centre_that_cannot_keep_heartbeats_hears_them_all_the_same(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, _):
        limit = "CREATE TRIGGER full BEFORE INSERT ON heartbeats BEGIN SELECT RAISE(ABORT, 'full'); END"
        centre._gate._register._db.execute(limit)

        assert (await post_beat(centre, keys_of(tmp_path), beat()))[0] == 200
        assert ORG in centre.liveness.last


async def test_more_than_ten_times_the_heartbeats_are_refused_and_nobody_else_s(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client):
        answers = [await post_beat(centre, keys_of(tmp_path), beat()) for _ in range(12)]

        assert [status for status, _ in answers[:10]] == [200] * 10
        assert (answers[-1][0], answers[-1][1]["error"]) == (429, "quota")
        assert await client.statuses([message(1)]) == ["stored"]
