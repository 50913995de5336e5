"""Faults of the receiver: killed before its commit, and senders that are hostile; with real processes."""

import signal
import socket
import ssl
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from feed_kit import altered, message
from field import wait_for
from ncsc_kit import keys_of
from province_kit import Province, post, post_raw, province_in

from socmon.feed.batch import BATCH_ID, BATCH_TYPE, BATCHES_PATH, CONTENT_DIGEST, content_digest
from socmon.tls import client_context

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Province]:
    with province_in(tmp_path) as made:
        yield made


def test_fault_06_receiver_killed_before_its_commit(place: Province) -> None:
    place.start_centre("centre.checked")
    place.more()
    place.start_daemon()
    centre = place.centre
    assert centre is not None
    wait_for(lambda: centre.poll() is not None, "the centre is killed")
    assert centre.returncode == -signal.SIGKILL
    assert place.backlog() > 0
    assert place.reading().acknowledged.get("ncsc", {}) == {}

    place.start_centre()
    place.wait_until_settled()

    place.check_nothing_is_lost_or_doubled()
    assert place.of_all("duplicates_answered") == 0


def test_fault_34_hostile_bodies_are_refused_and_others_are_served(place: Province) -> None:
    place.start_centre(options=["--patience-s", "2"])
    slow = [raw_connection(place) for _ in range(3)]
    for connection, begun in zip(slow, (b"", _HEAD, _HEAD + _SLOW_BODY), strict=True):
        connection.sendall(begun)
    bomb = zlib.compressobj(level=9, wbits=31)
    body = b"".join([*(bomb.compress(bytes(1 << 20)) for _ in range(64)), bomb.flush()])
    headers = {"Content-Type": BATCH_TYPE, BATCH_ID: "bomb", "Content-Encoding": "gzip"}
    assert post_raw(place, headers | {CONTENT_DIGEST: content_digest(body)}, body)[0] == 413
    deep = altered(message(1), data=msgspec.Raw(b'{"a":' * 100 + b"1" + b"}" * 100))
    fractions = altered(message(1), more=msgspec.Raw(b"[" + b"1.5," * 1_900_000 + b"1]"))
    assert post(place, [fractions])[1]["error"] == "event_too_large"

    status, reply = post(place, [deep, message(2)])

    assert status == 200
    assert [(each["status"], each["code"]) for each in reply["results"]] == [
        ("quarantined", "too_deep"),
        ("stored", ""),
    ]
    assert [all_of(connection)[:12] for connection in slow] == [b"", b"", b"HTTP/1.1 408"]
    assert place.events("centre.log", "connection cut off, its headers did not come")
    assert post(place, [message(3)])[0] == 200


_HEAD = f"POST {BATCHES_PATH} HTTP/1.1\r\nHost: centre\r\n{BATCH_ID}: slow\r\n".encode()
_SLOW_BODY = f"Content-Type: {BATCH_TYPE}\r\nContent-Length: 100000\r\n\r\n[".encode()


def raw_connection(place: Province) -> ssl.SSLSocket:
    """With the province's certificate, its handshake done."""
    keys = keys_of(place.root.parent)
    connection = socket.create_connection(("127.0.0.1", place.feed_port), timeout=60)
    return client_context(keys.ca, keys.client, keys.client_key).wrap_socket(connection, server_hostname="127.0.0.1")


def all_of(connection: ssl.SSLSocket) -> bytes:
    """What the centre said before it closed; it is closed here too."""
    said = b""
    with connection:
        try:
            while more := connection.recv(65536):
                said += more
        except (ConnectionError, ssl.SSLError):
            pass
    return said
