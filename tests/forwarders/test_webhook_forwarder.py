"""Forwarder `webhook` against a receiver over real TLS that verifies with the specification's own library."""

import asyncio
import json
import threading
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from feed_kit import alert, release
from field import field_in, wait_for
from harness import FakeContext
from pydantic import ValidationError
from webhook_kit import SECRET, Receiver

from forwarders.webhook import WebhookForwarder, WebhookSettings
from socmon.errors import BlockedError, ComponentError
from socmon.outgoing import Released


@asynccontextmanager
async def posting(receiver: Receiver, **changes: Any) -> AsyncIterator[WebhookForwarder]:
    forwarder = WebhookForwarder(FakeContext(receiver.settings(**changes)))
    try:
        yield forwarder
    finally:
        await forwarder.close()


def batch(forwarder: WebhookForwarder, *numbers: int) -> list[Released]:
    places = {number: release(number, destination="portal", stream="alerts") for number in numbers}
    return [Released(n, alert(n).id, place, forwarder.render(alert(n), place)) for n, place in places.items()]


async def test_each_alert_is_a_signed_request_of_its_own_in_order(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("Bearer of-the-province\n")
    async with (
        Receiver(tmp_path).running() as receiver,
        posting(receiver, headers={"Authorization": f"file:{token}"}) as forwarder,
    ):
        outcomes = await forwarder.send(batch(forwarder, 1, 2, 3))

        assert [outcome.status for outcome in outcomes] == ["accepted"] * 3
        assert [json.loads(body)["id"] for body in receiver.bodies.values()] == [alert(n).id for n in (1, 2, 3)]
        assert [name.rsplit("_", 1)[1] for name in receiver.bodies] == ["1", "2", "3"]
        assert {head["Authorization"] for head in receiver.heads} == {"Bearer of-the-province"}
        assert {head["Content-Type"] for head in receiver.heads} == {"application/json"}


async def test_while_a_secret_is_replaced_both_sign(tmp_path: Path) -> None:
    newer = tmp_path / "newer"
    newer.write_bytes(b"\xff" * 24)  # raw bytes
    for secret in (SECRET, b64encode(b"\xff" * 24)):
        async with Receiver(tmp_path, secret).running() as receiver:
            both = [f"file:{receiver.secret_file}", f"file:{newer}"]
            async with posting(receiver, secrets=both) as forwarder:
                assert [each.status for each in await forwarder.send(batch(forwarder, 1))] == ["accepted"]


async def test_after_a_lost_answer_the_same_id_comes_again_and_is_known(tmp_path: Path) -> None:
    async with Receiver(tmp_path).running() as receiver, posting(receiver) as forwarder:
        receiver.answers = [receiver.taken_and_cut()]
        with pytest.raises(ComponentError):
            await forwarder.send(batch(forwarder, 1))

        (outcome,) = await forwarder.send(batch(forwarder, 1))

        assert (outcome.status, len(receiver.bodies)) == ("duplicate", 1)
        assert len({identity for identity, _ in receiver.tried}) == 1


@pytest.mark.parametrize("code", [400, 413, 422])
async def test_an_alert_that_is_refused_is_a_dead_letter_and_the_next_one_goes_on(tmp_path: Path, code: int) -> None:
    async with Receiver(tmp_path).running() as receiver, posting(receiver) as forwarder:
        receiver.answers = [receiver.status(code)]

        outcomes = await forwarder.send(batch(forwarder, 1, 2))

        assert [(each.status, each.code) for each in outcomes] == [("rejected", f"http_{code}"), ("accepted", "")]


@pytest.mark.parametrize("code", [301, 307, 401, 403, 404, 405, 407, 410, 415])
async def test_what_is_wrong_with_the_address_gives_up_no_alert(tmp_path: Path, code: int) -> None:
    async with Receiver(tmp_path).running() as receiver, posting(receiver) as forwarder:
        receiver.answers = [receiver.status(code, Location=f"https://127.0.0.1:{receiver.port}/elsewhere")]

        with pytest.raises(BlockedError) as failed:
            await forwarder.send(batch(forwarder, 1))

        assert failed.value.reason == f"http_{code}"
        assert len(receiver.tried) == 1  # a redirect is not followed
        assert "/hook" not in str(failed.value)


@pytest.mark.parametrize("code", [408, 425, 429, 500, 503])
async def test_a_busy_receiver_is_tried_again_not_before_it_asks(tmp_path: Path, code: int) -> None:
    async with Receiver(tmp_path).running() as receiver, posting(receiver) as forwarder:
        receiver.answers = [receiver.status(code, Retry_After="7")]
        with pytest.raises(ComponentError) as failed:
            await forwarder.send(batch(forwarder, 1))
        assert not isinstance(failed.value, BlockedError)
        assert failed.value.wait_s == 7

        receiver.answers = [receiver.status(204), receiver.status(code, Retry_After="8")]
        outcomes = await forwarder.send(batch(forwarder, 1, 2, 3))
        assert [(each.status, each.wait_s) for each in outcomes] == [("accepted", 0), ("retry", 8), ("retry", 8)]


async def test_a_receiver_that_does_not_answer_is_left(tmp_path: Path) -> None:
    async with Receiver(tmp_path).running() as receiver, posting(receiver, timeout_s=2) as forwarder:
        receiver.answers = [receiver.silent]
        with pytest.raises(ComponentError, match=r"did not answer within 2 s"):
            await forwarder.send(batch(forwarder, 1))


async def test_of_an_endless_answer_only_the_beginning_is_read(tmp_path: Path) -> None:
    async with Receiver(tmp_path).running() as receiver, posting(receiver) as forwarder:
        receiver.answers = [receiver.endless]
        assert [each.status for each in await forwarder.send(batch(forwarder, 1, 2))] == ["accepted", "accepted"]


async def test_a_receiver_of_another_authority_is_told_nothing(tmp_path: Path) -> None:
    other = Receiver(tmp_path / "other")
    async with Receiver(tmp_path).running() as receiver, posting(receiver, ca=other.ca) as forwarder:
        with pytest.raises(BlockedError, match="the receiver's certificate is not signed by") as failed:
            await forwarder.send(batch(forwarder, 1))
        assert (failed.value.reason, receiver.tried) == ("server_untrusted", [])


async def test_a_secret_that_is_replaced_is_used_at_once_and_a_missing_one_is_named_by_its_file(tmp_path: Path) -> None:
    async with Receiver(tmp_path).running() as receiver, posting(receiver) as forwarder:
        receiver.secret_file.unlink()
        with pytest.raises(BlockedError) as missing:
            await forwarder.open()
        receiver.secret_file.write_bytes(b"too short")
        with pytest.raises(BlockedError) as short:
            await forwarder.open()
        receiver.secret_file.write_bytes(SECRET)
        assert [each.status for each in await forwarder.send(batch(forwarder, 1))] == ["accepted"]

    assert (missing.value.reason, short.value.reason) == ("own_unreadable", "own_unusable")
    assert "too short" not in str(short.value)
    assert str(receiver.secret_file) in str(missing.value)


async def test_a_path_that_is_a_secret_is_posted_to_and_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "path"
    path.write_text("/services/T0/B0/very-secret\n")
    async with Receiver(tmp_path).running() as receiver:
        settings = receiver.settings(url=f"https://127.0.0.1:{receiver.port}", path=f"file:{path}")
        forwarder = WebhookForwarder(FakeContext(settings))
        assert [each.status for each in await forwarder.send(batch(forwarder, 1))] == ["accepted"]
        receiver.answers = [receiver.status(404)]
        with pytest.raises(BlockedError) as failed:
            await forwarder.send(batch(forwarder, 2))
        await forwarder.close()
    assert "very-secret" not in str(failed.value)
    with pytest.raises(ComponentError) as down:
        await forwarder.send(batch(forwarder, 3))
    await forwarder.close()
    assert "very-secret" not in str(down.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "http://portal.example/hook"},
        {"url": "ftp://portal.example"},
        {"url": "https://user:password@portal.example"},
        {"url": "https://"},
        {"url": "https://portal.example:99999"},
        {"secrets": []},
        {"secrets": ["whsec_secret"]},
        {"headers": {"Webhook-Id": "file:/x"}},
        {"headers": {"a b": "file:/x"}},
    ],
)
def test_settings_that_would_be_unsafe_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        WebhookSettings.model_validate({"url": "https://portal.example", "secrets": ["file:/x"]} | changes)
    assert "whsec_secret" not in str(refused.value.errors(include_input=False))


@pytest.mark.parametrize(
    "changes",
    [{"url": "http://127.0.0.1:8080/"}, {"url": "http://[::1]/"}, {"url": "http://a.example", "allow_plain": True}],
)
def test_plain_http_stays_on_this_machine_unless_it_is_allowed(changes: dict[str, Any]) -> None:
    assert WebhookSettings.model_validate({"secrets": ["file:/x"]} | changes).origin.startswith("http://")


class Thread:
    """A receiver in a thread with a loop of its own, for tests that start processes."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    async def _serve(self) -> None:
        async with self._receiver.running():
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> Receiver:
        self._thread.start()
        assert self._ready.wait(60)
        return self._receiver

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
        self._loop.close()


@pytest.mark.timeout(180)
def test_a_daemon_killed_while_it_posts_delivers_every_last_revision_exactly_once(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "receiver")
    with Thread(receiver), field_in(tmp_path / "province") as place:
        place.configure(["auth"], forwarders={"portal": {"kind": "webhook"} | receiver.options()})
        for failpoint in ("outbox.replied", "outbox.replied"):
            place.write("auth", len(place.sent.get("auth", [])), 200)
            place.start_daemon(failpoint)
            assert place.daemon is not None
            place.daemon.wait(30)  # between the receiver's answer and our note of it
        receiver.answers = [receiver.taken_and_cut(), receiver.status(503), receiver.status(401)]
        place.start_daemon()
        wait_for(lambda: not receiver.answers and place.settled("portal"), "everything posted")
        place.stop_daemon()

        assert place.reading().alerts
        last: dict[str, int] = {}
        for body in map(json.loads, receiver.bodies.values()):
            last[body["id"]] = max(last.get(body["id"], 0), body["revision"])
        assert last == {each.id: each.revision for each in place.reading().alerts}
        assert len(receiver.tried) > len(receiver.bodies)  # some came twice, under the id they had
