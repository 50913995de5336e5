"""Signatures between sender and centre over real TLS: what is stored, what is quarantined, what moves a cursor."""

import json
import sqlite3
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rfc8785
from feed_kit import (
    KEY,
    ORG,
    OTHER,
    SENDER,
    START_US,
    Client,
    alert,
    altered,
    centre_and_client,
    enrol,
    message,
    release,
)
from jwcrypto import jwk, jws
from ncsc_kit import keys_of

from socmon.feed.keyring import key_set, parse_keys
from socmon.feed.keys import public_file, signing_key
from socmon.feed.message import render
from socmon.feed.signing import SIGNATURE, Key, SignatureError, verify

SIGNED_AT = datetime.fromtimestamp(START_US / 1e6 + 60, UTC)  # of the kit's releases


def resigned(body: bytes, token: str | None) -> bytes:
    """`body` with another signature, or with none; it is not signed anew."""
    event = msgspec.json.decode(body) | {SIGNATURE: token}
    return msgspec.json.encode({name: value for name, value in event.items() if value is not None})


def flipped(body: bytes) -> bytes:
    """`body` with one bit of its signature changed."""
    token = msgspec.json.decode(body)[SIGNATURE]
    changed = chr(ord(token[-20]) ^ 1)
    return resigned(body, token[:-20] + changed + token[-19:])


def by(key: Key, seq: int) -> bytes:
    return render(alert(seq), release(seq), SENDER, key)


async def codes(client: Client, *bodies: bytes) -> list[str]:
    status, reply = await client.post(bodies)
    assert status == 200, reply
    return [f"{result['status']} {result['code']}".strip() for result in reply["results"]]


async def committed(client: Client) -> int:
    return int((await client.stats())["committed"].get("normal", {"seq": 0})["seq"])


def trust(folder: Path, *keys: Key) -> None:
    """Only `keys` are the sender's from now on."""
    (folder / "keys" / "signers" / f"{ORG}.jwks").write_bytes(key_set(list(keys), private=False))


async def test_a_changed_bit_of_a_signature_is_quarantined_and_moves_no_cursor(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        said = await codes(client, message(1), flipped(message(2)), message(3))
        before = await committed(client)
        again = await codes(client, message(2))

        assert said == ["stored", "quarantined bad_sig", "stored"]
        assert (before, again, await committed(client)) == (1, ["stored"], 3)
        assert (await client.stats())["quarantined"] == 1


async def test_a_changed_message_is_quarantined(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        assert await codes(client, message(1).replace(b'"count":5', b'"count":6')) == ["quarantined bad_sig"]
        assert await client.findings() == []


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256", "RS256"])
async def test_no_or_another_algorithm_is_rejected(tmp_path: Path, algorithm: str) -> None:
    header = json.dumps({"alg": algorithm, "kid": KEY.kid, "iat": START_US // 1_000_000})
    token = urlsafe_b64encode(header.encode()).decode().rstrip("=") + ".."
    async with centre_and_client(tmp_path) as (_, client):
        assert await codes(client, resigned(message(1), token)) == ["rejected bad_alg"]
        assert await codes(client, resigned(message(1), token)) == ["rejected bad_alg"]
        assert (await committed(client), (await client.stats())["quarantined"]) == (0, 1)


async def test_an_unsigned_message_is_quarantined_unless_a_lab_takes_it(tmp_path: Path) -> None:
    unsigned = resigned(message(1), None)
    async with centre_and_client(tmp_path / "strict") as (_, client):
        assert await codes(client, unsigned) == ["quarantined unsigned"]
        assert await committed(client) == 0
    async with centre_and_client(tmp_path / "lab", unsigned=True) as (_, client):
        assert await codes(client, unsigned, flipped(message(2))) == ["stored", "quarantined bad_sig"]


async def test_a_captured_batch_that_is_replayed_has_no_effect(tmp_path: Path) -> None:
    batch = [message(1), message(2)]
    async with centre_and_client(tmp_path) as (_, client):
        await codes(client, *batch)
        before = await client.findings()

        assert await codes(client, *batch) == ["duplicate", "duplicate"]
        assert await client.findings() == before
        assert (await client.stats())["rows_stored_twice"] == 0


async def test_a_key_that_becomes_known_makes_good_what_was_quarantined(tmp_path: Path) -> None:
    stranger = signing_key("ES256")
    async with centre_and_client(tmp_path) as (_, client):
        assert await codes(client, by(stranger, 1)) == ["quarantined key_unknown"]

        enrol(keys_of(tmp_path), ORG, key=stranger)

        assert await codes(client, by(stranger, 1)) == ["stored"]
        assert await committed(client) == 1


async def test_a_key_of_another_organisation_signs_nothing_for_us(tmp_path: Path) -> None:
    theirs = signing_key()
    async with centre_and_client(tmp_path) as (_, client):
        enrol(keys_of(tmp_path), OTHER, key=theirs)

        assert await codes(client, by(theirs, 1)) == ["quarantined key_unknown"]


async def test_the_key_of_a_certificate_signs_nothing(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        stolen = keys_of(tmp_path).client_key.read_bytes()
        (theirs,) = parse_keys(stolen, private=True)

        assert await codes(client, by(theirs, 1), by(msgspec.structs.replace(theirs, kid=KEY.kid), 2)) == [
            "quarantined key_unknown",
            "rejected bad_alg",
        ]
        assert await client.findings() == []


async def test_what_is_stored_keeps_the_signature_that_vouches_for_it(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        assert await codes(client, message(1)) == ["stored"]

    with closing(sqlite3.connect(tmp_path / "centre" / "centre.sqlite")) as db:
        (body,) = db.execute("SELECT body FROM events").fetchone()
    event = json.loads(body)
    token = event.pop(SIGNATURE, None)
    verify(token, rfc8785.dumps(event), {KEY.kid: KEY})
    with pytest.raises(SignatureError):
        verify(token, rfc8785.dumps(event | {"socrev": 6}), {KEY.kid: KEY})


async def test_what_an_old_key_signed_in_its_time_stays_good_after_a_rotation(tmp_path: Path) -> None:
    new = signing_key(begin=SIGNED_AT + timedelta(seconds=1))
    ended = msgspec.structs.replace(KEY, end=new.begin)
    late = {"released_us": START_US + 61_000_000}
    async with centre_and_client(tmp_path) as (_, client):
        await codes(client, message(1))
        trust(tmp_path, ended, new)

        said = await codes(
            client,
            message(2),
            render(alert(3), release(3, **late), SENDER, new),
            render(alert(4), release(4, **late), SENDER, KEY),
            by(new, 5),
        )

        assert said == ["stored", "stored", "quarantined key_expired", "quarantined key_expired"]
        assert await committed(client) == 3


async def test_nothing_of_a_compromised_key_is_stored_from_now_on(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        await codes(client, message(1))
        trust(tmp_path, msgspec.structs.replace(KEY, compromised=True))

        assert await codes(client, message(2)) == ["quarantined key_compromised"]
        assert await committed(client) == 1


async def test_a_file_of_keys_that_cannot_be_used_leaves_the_last_ones(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        await codes(client, message(1))
        (tmp_path / "keys" / "signers" / f"{ORG}.jwks").write_text("{")

        assert await codes(client, message(2)) == ["stored"]


async def test_keys_that_are_taken_away_are_trusted_no_more(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        await codes(client, message(1))
        (tmp_path / "keys" / "signers" / f"{ORG}.jwks").unlink()

        assert await codes(client, message(2)) == ["quarantined key_unknown"]


@pytest.mark.parametrize("text", ["Dò quét mật khẩu", "Do\u0300 que\u0301t ma\u0323\u0302t kha\u0302\u0309u"])
async def test_text_in_nfc_and_nfd_is_stored_as_it_was_signed(tmp_path: Path, text: str) -> None:
    body = render(alert(1, title=text), release(1), SENDER, KEY)
    async with centre_and_client(tmp_path) as (_, client):
        assert await codes(client, body) == ["stored"]
        assert await codes(client, body) == ["duplicate"]

    assert text.encode() in body


async def test_a_bad_event_with_a_good_signature_moves_the_cursor(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        assert await codes(client, message(1), altered(message(2), data={})) == ["stored", "quarantined schema"]
        assert await committed(client) == 2


async def test_an_implementation_that_is_not_ours_verifies_a_receipt(tmp_path: Path) -> None:
    bodies = [message(1), flipped(message(2))]
    async with centre_and_client(tmp_path) as (_, client):
        _, reply = await client.post(bodies)
    public = json.loads(public_file(keys_of(tmp_path).centre_signing).read_text())["keys"][0]

    reader = jws.JWS()
    reader.allowed_algs = ["Ed25519"]
    reader.deserialize(reply["receipt"], jwk.JWK(kty=public["kty"], crv=public["crv"], x=public["x"]))

    lines = lines_of(reply["results"], bodies)
    assert json.loads(reader.payload) == {
        "batch_id": reply["batch_id"],
        "committed": reply["committed"],
        "results_sha256": sha256(rfc8785.dumps(lines)).hexdigest(),
        "server_time": reply["server_time"],
    }


def lines_of(results: Sequence[dict[str, Any]], bodies: Sequence[bytes]) -> list[Any]:
    digests = [sha256(rfc8785.dumps(json.loads(body))).hexdigest() for body in bodies]
    pairs = zip(results, digests, strict=True)
    return [[each["id"], each["seq"], each["status"], each["code"], digest] for each, digest in pairs]


@pytest.mark.parametrize(
    "content",
    [b'{"kty": []}', b'{"keys": [{"kty": {}}]}', b'{"keys": [[]]}', b'{"keys": {}}', b'{"kty": "EC", "crv": []}'],
)
def test_a_file_that_is_no_key_is_refused_whatever_is_in_it(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"key|JSON"):
        parse_keys(content)
