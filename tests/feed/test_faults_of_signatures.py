"""Faults of signatures, by real processes: what no valid key has signed is not stored, a rotation loses nothing."""

import json
import signal
import sqlite3
import unicodedata
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from feed_kit import KEY, SENDER, alert, message, release
from field import ORG, field_in, wait_for
from province_kit import Province, post, province_in

from socmon.feed.keys import public_file, rotate
from socmon.feed.message import render


def asked(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


def kid(body: bytes) -> str:
    header = json.loads(body)["socsig"].partition(".")[0]
    return str(json.loads(urlsafe_b64decode(header + "=="))["kid"])


def test_fault_29_key_rotated_amid_a_backlog(tmp_path: Path) -> None:
    with field_in(tmp_path / "province") as place:
        keys = tmp_path / "keys"
        place.start_centre()
        place.configure(["auth"])
        place.write("auth", 0, 60)
        place.start_daemon()
        wait_for(place.settled, "the first alerts delivered")
        assert place.centre is not None
        place.centre.send_signal(signal.SIGTERM)
        assert place.centre.wait(60) == 0
        place.write("auth", 60, 60)
        wait_for(lambda: place.reading().backlogs["ncsc"].waiting > 0, "a release that nobody answers")

        made = rotate(keys / "client-signing.jwks", datetime.now(UTC))
        public = public_file(keys / "client-signing.jwks")
        (keys / "signers" / f"{ORG}.jwks").write_bytes(public.read_bytes())
        wait_for(lambda: made.begin is not None and datetime.now(UTC) > made.begin, "the new key's time")
        place.write("auth", 120, 60)
        place.start_centre()
        wait_for(place.settled, "the backlog delivered")
        place.stop_daemon()

        assert place.findings() == place.reading().acknowledged["ncsc"]
        bodies = [body for (body,) in asked(place.root / "centre" / "centre.sqlite", "select body from events")]
        assert len({kid(body) for body in bodies}) == 2
        store = place.state / "socmon.db"
        assert asked(store, "select count(*) from released where state <> 'acknowledged' or receipt_id is null") == [
            (0,)
        ]
        assert place.stats()["organisations"][ORG]["quarantined"] == 0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Province]:
    with province_in(tmp_path) as made:
        made.start_centre()
        yield made


def signature(event: bytes, **header: str) -> tuple[bytes, bytes]:
    """The event with another header of its signature, and with one bit of the signature changed."""
    whole = json.loads(event)
    protected, _, signed = str(whole["socsig"]).split(".")
    stated = json.loads(urlsafe_b64decode(protected + "==")) | header
    other = urlsafe_b64encode(json.dumps(stated).encode()).decode().rstrip("=")
    raw = bytearray(urlsafe_b64decode(signed + "=="))
    raw[0] ^= 1
    flipped = urlsafe_b64encode(bytes(raw)).decode().rstrip("=")
    return tuple(
        json.dumps(whole | {"socsig": each}).encode() for each in (f"{other}..{signed}", f"{protected}..{flipped}")
    )  # type: ignore[return-value]  # two, as two are made


def test_fault_26_one_bit_of_a_signature_changed(place: Province) -> None:
    good = message(1)
    _, changed = signature(good)

    (result,) = post(place, [changed])[1]["results"]

    assert (result["status"], result["code"]) == ("quarantined", "bad_sig")
    assert place.of_all("findings") == 0
    assert post(place, [good])[1]["results"][0]["status"] == "stored"


@pytest.mark.parametrize("alg", ["none", "HS256", "PS256"])
def test_fault_27_algorithm_of_a_signature_swapped(place: Province, alg: str) -> None:
    swapped, _ = signature(message(1), alg=alg)

    (result,) = post(place, [swapped])[1]["results"]

    assert result["status"] == "rejected"
    assert place.of_all("findings") == 0


def test_fault_40_vietnamese_composed_and_decomposed(place: Province) -> None:
    """The bytes that were signed are the bytes that are stored, whichever of the two a title is in."""
    events = []
    forms: list[Literal["NFC", "NFD"]] = ["NFC", "NFD"]
    for seq, form in enumerate(forms, 1):
        title = unicodedata.normalize(form, "D\u00f2 m\u1eadt kh\u1ea9u SSH \u0111\u1ec1u \u0111\u1eb7n")
        events.append(render(alert(seq, title=title), release(seq), SENDER, KEY))

    assert [each["status"] for each in post(place, events)[1]["results"]] == ["stored", "stored"]

    bodies = [body for (body,) in asked(place.root / "centre" / "centre.sqlite", "select body from events order by n")]
    assert bodies == events
    assert len(set(events)) == 2
