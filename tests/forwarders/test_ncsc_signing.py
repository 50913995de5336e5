"""Forwarder `ncsc` and its keys: what it signs, what it sends again, and which receipts it takes."""

import asyncio
import json
import os
import time
from base64 import urlsafe_b64decode
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from feed_kit import ORG, START_US, alert, altered, centre_and_client, release, released
from harness import FakeContext, until
from ncsc_kit import forwarding, keys_of, said, settings_for

from forwarders.ncsc import NcscForwarder
from socmon.cli import Options
from socmon.cli.keys import command
from socmon.component import Released
from socmon.errors import BlockedError
from socmon.feed.keyring import Signer, key_set, read_keys
from socmon.feed.keys import generate, public_file, rotate, signing_key
from socmon.feed.signing import forms, opened, verify


def let_go(fifo: Path) -> None:
    """End the read of whoever hangs at `fifo`, and of nobody where none does."""
    with suppress(OSError):
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))


def wrong(seq: int = 1) -> Released:
    """A released alert whose signature is another message's; what was written down of it is as it is."""
    body = released(seq).body
    event = msgspec.json.decode(body)
    event["socsig"] = msgspec.json.decode(altered(body, socrev=99))["socsig"]
    changed = msgspec.json.encode(event)
    return msgspec.structs.replace(released(seq), body=changed, sha256=sha256(changed).hexdigest())


async def test_what_it_signs_is_stored_and_what_it_keeps_is_the_receipt(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client):
        keys = keys_of(tmp_path)
        centre_key = public_file(keys.centre_signing)
        async with forwarding(centre.feed_url, keys, centre_key=centre_key) as made:
            await made.open()
            body = made.render(alert(1), release(1))

            (outcome,) = await made.send([released(1, body)])

        assert (outcome.status, await client.statuses([body])) == ("accepted", ["duplicate"])
    kept = json.loads(outcome.receipt)
    receipt = json.loads(opened(kept["receipt"], read_keys(centre_key)))
    assert receipt["results_sha256"]
    assert kept["results"] == [[msgspec.json.decode(body)["id"], 1, "stored", "", sha256(body).hexdigest()]]


async def test_a_receipt_by_another_key_is_refused_and_the_batch_is_a_duplicate_later(tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.jwks"
    stranger.write_bytes(key_set([signing_key()], private=False))
    async with centre_and_client(tmp_path) as (centre, _):
        keys = keys_of(tmp_path)
        async with forwarding(centre.feed_url, keys, centre_key=stranger) as made:
            with pytest.raises(BlockedError, match="no receipt that can be trusted") as refused:
                await made.send([released(1)])
            stranger.write_bytes(public_file(keys.centre_signing).read_bytes())
            assert said(await made.send([released(1)])) == [(1, "duplicate", "")]

    assert refused.value.reason == "receipt_untrusted"


async def test_a_centre_without_receipts_is_refused_where_they_are_wanted(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG)
    public = public_file(keys.centre_signing)
    keys.centre_signing.unlink()
    async with centre_and_client(tmp_path / "lab", unsigned=True) as (centre, _):
        lab = keys_of(tmp_path / "lab")
        lab.centre_signing.unlink()
        async with forwarding(centre.feed_url, lab, centre_key=public) as made:
            with pytest.raises(BlockedError, match="no receipt"):
                await made.send([released(1)])


async def test_a_signature_that_the_centre_finds_wrong_is_sent_once_more_and_then_a_dead_letter(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client), forwarding(centre.feed_url, keys_of(tmp_path)) as made:
        outcomes = await made.send([released(1), wrong(2), released(3)])

        assert sorted(said(outcomes)) == [(1, "accepted", ""), (2, "rejected", "bad_sig"), (3, "accepted", "")]
        assert (await client.stats())["events_received"] == 4


async def test_a_row_that_is_damaged_here_is_not_sent_and_holds_up_no_other(tmp_path: Path) -> None:
    damaged = msgspec.structs.replace(wrong(), sha256=sha256(released(1).body).hexdigest())
    async with centre_and_client(tmp_path) as (centre, client), forwarding(centre.feed_url, keys_of(tmp_path)) as made:
        assert said(await made.send([damaged, released(2)])) == [(1, "rejected", "damaged"), (2, "accepted", "")]
        assert (await client.stats())["events_received"] == 1


async def test_each_release_is_signed_by_the_key_of_its_time(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    made = NcscForwarder(FakeContext(settings_for("https://127.0.0.1:1", keys)))
    await made.open()
    before = made.render(alert(1), release(1))
    moment = datetime.fromtimestamp(START_US / 1e6 + 100, UTC).replace(microsecond=0)
    (first,) = read_keys(keys.client_signing)

    second = rotate(keys.client_signing, moment + timedelta(days=400))
    held = read_keys(keys.client_signing, private=True)
    keys.client_signing.write_bytes(
        key_set(
            [
                msgspec.structs.replace(held[first], end=moment),
                msgspec.structs.replace(held[second.kid], begin=moment),
            ],
            private=True,
        )
    )
    await made.close()
    await made.open()
    after = made.render(alert(2), release(2, released_us=START_US + 200_000_000))
    backdated = made.render(alert(3), release(3))
    await made.close()

    signers = []
    for body in (before, after, backdated):
        event = msgspec.json.decode(body)
        signers.append(verify(event["socsig"], forms(event)[1], read_keys(keys.client_signing)).kid)
    assert signers == [first, second.kid, first]


async def test_without_a_valid_key_nothing_is_rendered(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    soon = datetime.now(UTC) + timedelta(days=1)
    (held,) = read_keys(keys.client_signing, private=True).values()
    keys.client_signing.write_bytes(key_set([msgspec.structs.replace(held, end=soon)], private=True))
    made = NcscForwarder(FakeContext(settings_for("https://127.0.0.1:1", keys)))
    await made.open()

    with pytest.raises(BlockedError, match=r"no key in .* may sign now") as refused:
        made.render(alert(1), release(1, released_us=time.time_ns() // 1000 + 2 * 86_400_000_000))

    await made.close()
    assert refused.value.reason == "signing_key_expired"


async def test_a_file_of_keys_that_hangs_holds_up_no_release(tmp_path: Path) -> None:
    """The store signs within its transaction, in its only thread: a mount that hangs there would stop all of it."""
    keys = generate(tmp_path, ORG)
    made = NcscForwarder(FakeContext(settings_for("https://127.0.0.1:1", keys)))
    await made.open()
    before = made.render(alert(1), release(1))
    keys.client_signing.unlink()
    os.mkfifo(keys.client_signing)

    try:
        async with asyncio.timeout(20):
            after = await asyncio.to_thread(made.render, alert(1), release(1))
    finally:
        await made.close()
        await asyncio.to_thread(let_go, keys.client_signing)

    assert after == before


async def test_a_key_that_was_put_there_is_found_while_nothing_is_sent(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    made = NcscForwarder(FakeContext(settings_for("https://127.0.0.1:1", keys)))
    await made.open()
    made_key = rotate(keys.client_signing, datetime.now(UTC) + timedelta(days=1))
    assert made_key.begin is not None
    then_us = round(made_key.begin.timestamp() + 1) * 1_000_000

    def signer() -> str:
        socsig = msgspec.json.decode(made.render(alert(1), release(1, released_us=then_us)))["socsig"]
        return str(json.loads(urlsafe_b64decode(socsig.partition(".")[0] + "=="))["kid"])

    await until(lambda: signer() == made_key.kid)
    await made.close()


async def test_keys_that_cannot_be_looked_at_are_told_once_and_the_last_ones_stay(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    context = FakeContext(settings_for("https://127.0.0.1:1", keys, timeout_s=1))
    made = NcscForwarder(context)
    told = "signing keys cannot be looked at, the last ones stay"
    await made.open()
    keys.client_signing.unlink()
    os.mkfifo(keys.client_signing)

    await until(lambda: any(entry["event"] == told for entry in context.logged))

    assert made.render(alert(1), release(1))
    await made.close()
    await asyncio.to_thread(let_go, keys.client_signing)
    (entry,) = [entry for entry in context.logged if entry["event"] == told]
    assert "not read within 1 s; check the disk or mount" in entry["error"]


@pytest.mark.parametrize("kind", ["file that is not there", "public keys only"])
async def test_a_signing_key_that_cannot_be_used_shows_before_there_is_an_alert(tmp_path: Path, kind: str) -> None:
    keys = generate(tmp_path, ORG)
    path = tmp_path / "absent.jwks" if kind == "file that is not there" else public_file(keys.client_signing)
    made = NcscForwarder(FakeContext(settings_for("https://127.0.0.1:1", keys, signing_key=f"file:{path}")))

    with pytest.raises(BlockedError, match=str(path)):
        await made.open()


async def test_a_kid_of_ones_own_names_a_key_in_pem(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    pem = tmp_path / "own.pem"
    pem.write_bytes(next(iter(read_keys(keys.client_signing, private=True).values())).jwk.as_pem(private=True))
    settings = settings_for("https://127.0.0.1:1", keys, signing_key=f"file:{pem}", kid="h07-2026")

    made = NcscForwarder(FakeContext(settings))
    await made.open()
    event = msgspec.json.decode(made.render(alert(1), release(1)))
    await made.close()

    (known,) = read_keys(public_file(keys.client_signing)).values()
    assert verify(event["socsig"], forms(event)[1], {"h07-2026": msgspec.structs.replace(known, kid="h07-2026")})


def in_pem(folder: Path) -> Path:
    path = folder / "own.pem"
    path.write_bytes(signing_key().jwk.as_pem(private=True))
    return path


@pytest.mark.parametrize("told", ["", "h07-2026"])
def test_a_rotation_of_a_key_in_pem_goes_on_under_the_same_kid(tmp_path: Path, told: str) -> None:
    pem = in_pem(tmp_path)
    signer = Signer(lambda: pem, "h07-2026")
    start = datetime.now(UTC)

    def by(days: float) -> str:
        return signer.at(int((start + timedelta(days=days)).timestamp())).kid

    assert (by(0), by(400)) == ("h07-2026", "h07-2026")
    second = rotate(pem, start + timedelta(days=1), kid=told)
    assert (by(0), by(2), by(400)) == ("h07-2026", second.kid, second.kid)
    third = rotate(pem, start + timedelta(days=3), "ES256")
    assert (by(0), by(2), by(4)) == ("h07-2026", second.kid, third.kid)
    # The next rotation leaves keys out that have ended.
    held = [key for key in read_keys(pem, private=True).values() if key.begin]
    pem.write_bytes(key_set(held, private=True))
    assert (by(2), by(4)) == (second.kid, third.kid)


def test_before_its_end_a_key_in_pem_signs_under_its_kid_and_the_public_file_names_it_so(tmp_path: Path) -> None:
    pem = in_pem(tmp_path)
    later = datetime.now(UTC) + timedelta(hours=1)

    result = CliRunner().invoke(command, ["rotate", str(pem), "--kid", "h07-2026"])

    assert result.exit_code == 0, result.output
    assert Signer(lambda: pem, "h07-2026").at(int(time.time())).kid == "h07-2026"
    assert Signer(lambda: pem, "h07-2026").at(int(later.timestamp()) + 5).kid != "h07-2026"
    assert "h07-2026" in read_keys(public_file(pem))


def test_a_kid_of_a_set_is_the_only_key_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "own.jwks"
    named = msgspec.structs.replace(signing_key(), kid="a")
    other = msgspec.structs.replace(signing_key(begin=datetime.now(UTC) - timedelta(days=1)), kid="b")
    path.write_bytes(key_set([named, other], private=True))

    assert Signer(lambda: path, "a").at(int(time.time())).kid == "a"
    with pytest.raises(BlockedError, match="may sign now as 'c'"):
        Signer(lambda: path, "c").at(int(time.time()))
    made = rotate(path, datetime.now(UTC) + timedelta(hours=1))
    assert Signer(lambda: path, "a").at(int(time.time())).kid == "a"
    assert Signer(lambda: path, "a").at(int(time.time()) + 4000).kid == made.kid


def test_what_kid_cannot_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.jwks"
    path.write_bytes(key_set([signing_key(), signing_key()], private=True))

    result = CliRunner().invoke(command, ["rotate", str(path), "--kid", "x"], obj=Options(lang="vi"))

    assert (result.exit_code, "không phải chỉ có một khóa" in result.output) == (1, True)
    assert len(read_keys(path)) == 2


def test_no_signing_key_is_a_problem(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)

    (problem,) = settings_for("https://127.0.0.1:1", keys, signing_key=None).problems()

    assert problem.startswith("signing_key is not set")
