"""The heartbeat of the forwarder `ncsc`, against a centre that runs."""

import socket
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from feed_kit import ORG, OTHER, centre_and_client
from harness import FakeContext
from hypothesis import given
from hypothesis import strategies as st
from ncsc_kit import keys_of, settings_for

from forwarders._heartbeat import body
from forwarders.ncsc import NcscForwarder
from socmon.component import Heart, Vitals
from socmon.errors import BlockedError, ComponentError
from socmon.feed.heartbeat import read_heartbeat
from socmon.feed.keys import KeyFiles, generate
from socmon.feed.privacy import Policy, PseudonymKey
from socmon.ncsc.register import FILE_NAME, Register

KEPT = Policy(hosts="keep")
VITALS = Vitals({"urgent": 2}, 1, 1_000_000, ("portal",), "0123456789abcdef")


def heart_of(url: str, keys: KeyFiles, **changes: object) -> Heart:
    heart = NcscForwarder.heart(FakeContext(settings_for(url, keys, **changes)))
    assert heart is not None
    return heart


async def test_the_centre_hears_it_and_sees_when_the_certificate_ends(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client):
        await heart_of(centre.feed_url, keys_of(tmp_path)).beat(VITALS)

        stats = await client.stats()
        assert stats["heartbeat"]["backlog"] == {"urgent": 2}
        assert abs(stats["skew_s"]) < 60
        assert stats["heartbeat"]["certificate_expires"] == stats["certificate_expires"]


async def test_a_refused_one_says_whose_move_it_is(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path, organisations={OTHER: "only"}) as (centre, _):
        with pytest.raises(BlockedError, match="not_enrolled"):
            await heart_of(centre.feed_url, keys_of(tmp_path)).beat(VITALS)


async def test_the_next_one_arrives_when_the_centre_is_mended(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path, organisations={}) as (centre, client):
        heart = heart_of(centre.feed_url, keys_of(tmp_path))
        with pytest.raises(BlockedError):
            await heart.beat(VITALS)

        register = Register(tmp_path / "centre" / FILE_NAME)
        register.enrol(ORG, "Province", actor="lan")
        register.close()

        await heart.beat(VITALS)
        assert (await client.stats())["heartbeat"]["pending"] == 1


async def test_nobody_there_and_somebody_silent_are_told_within_the_time(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"https://127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(ComponentError, match=r"took no heartbeat within 0\.2 s"):
            await heart_of(url, keys, timeout_s=0.2).beat(VITALS)
    with pytest.raises(ComponentError, match="cannot deliver"):
        await heart_of(url, keys).beat(VITALS)


async def test_keys_that_are_gone_are_told_of(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG)
    keys.client.unlink()

    with pytest.raises(BlockedError, match="cannot read"):
        await heart_of("https://127.0.0.1:1", keys).beat(VITALS)


def test_none_is_sent_where_nobody_wants_one(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG)

    assert NcscForwarder.heart(FakeContext(settings_for("https://127.0.0.1:1", keys, heartbeat_s=0))) is None


@given(
    backlog=st.dictionaries(st.sampled_from(["urgent", "normal"]), st.integers(0, 10**9)),
    pending=st.integers(0, 10**9),
    oldest_us=st.none() | st.integers(0, 2**51),
    silent=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), max_size=300),
    ends=st.lists(st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), max_size=3),  # noqa: DTZ001
    now_us=st.integers(10**15, 4 * 10**15),
)
def test_whatever_is_told_the_centre_can_read(
    backlog: dict[str, int],
    pending: int,
    oldest_us: int | None,
    silent: list[str],
    ends: list[datetime | None],
    now_us: int,
) -> None:
    expiries = {Path(str(n)): end and end.replace(tzinfo=UTC) for n, end in enumerate(ends)}

    told = read_heartbeat(body(Vitals(backlog, pending, oldest_us, tuple(silent), ""), expiries, KEPT, now_us))

    assert (told.backlog, told.pending, told.silent_sources) == (backlog, pending, len(silent))
    assert told == msgspec.json.decode(msgspec.json.encode(told), type=type(told))


@pytest.mark.parametrize(
    ("policy", "shown"),
    [
        (Policy(hosts="drop"), ()),
        (Policy(), ()),
        (KEPT, ("cchc-db-07",)),
        (Policy(key=PseudonymKey(b"k" * 32, ORG)), (PseudonymKey(b"k" * 32, ORG).pseudonym("h", "cchc-db-07"),)),
    ],
    ids=["drop", "no key", "keep", "key"],
)
def test_a_silent_source_is_named_as_its_host_is_in_alerts(policy: Policy, shown: tuple[str, ...]) -> None:
    told = read_heartbeat(body(Vitals({}, 0, None, ("cchc-db-07",), ""), {}, policy, 10**15))

    assert (told.silent, told.silent_sources) == (shown, 1)


async def test_without_the_key_of_pseudonyms_it_is_told_and_names_nobody(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client):
        privacy = {"pseudonym_key": f"file:{tmp_path}/none"}
        await heart_of(centre.feed_url, keys_of(tmp_path), privacy=privacy).beat(VITALS)

        beat = (await client.stats())["heartbeat"]
        assert (beat["silent"], beat["silent_sources"]) == ([], 1)
