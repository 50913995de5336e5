"""Forwarder `ncsc` when keys or the address are wrong: what `problems`, `open` and `send` say of it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import aiohttp
import pytest
from certificate_kit import DAY, expired, revalidated
from feed_kit import ORG, OTHER, centre_running, released
from harness import FakeContext, until
from port_kit import kept_port

from forwarders._advice import Advisor
from forwarders._ncsc_settings import NcscSettings
from forwarders._own_thread import workers
from forwarders.ncsc import NcscForwarder
from socmon.errors import BlockedError, ComponentError, ConfigError
from socmon.feed.keys import KeyFiles, generate
from socmon.tls import client_context, server_context

URL = "https://127.0.0.1:1"


def settings_for(keys: KeyFiles, **changes: Any) -> NcscSettings:
    key = f"file:{keys.client_key}"
    values = {"url": URL, "ca": keys.ca, "cert": keys.client, "key": key, "org_id": ORG}
    values["signing_key"] = f"file:{keys.client_signing}"
    return NcscSettings.model_validate(values | changes)


async def failure(settings: NcscSettings) -> ComponentError:
    """Why a batch could not be sent."""
    forwarder = NcscForwarder(FakeContext(settings))
    try:
        with pytest.raises(ComponentError) as failed:
            await forwarder.send([released(1)])
    finally:
        await forwarder.close()
    return failed.value


def test_an_expired_certificate_is_named_with_its_end(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    expired(keys.client, keys.ca_key)

    with pytest.raises(ComponentError, match=r"client\.pem expired at 20.*Z; renew it, no restart is needed") as failed:
        client_context(keys.ca, keys.client, keys.client_key)
    assert failed.value.retry


def test_a_certificate_of_tomorrow_is_named_with_its_beginning(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    now = datetime.now(UTC)
    revalidated(keys.client, keys.ca_key, now + DAY, now + 2 * DAY)

    with pytest.raises(ComponentError, match=r"client\.pem is not valid before 20.*Z; look at this machine's clock"):
        client_context(keys.ca, keys.client, keys.client_key)


def test_an_expired_authority_is_named_on_both_sides(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    expired(keys.ca, keys.ca_key)

    with pytest.raises(ComponentError, match=r"ca\.pem expired at"):
        client_context(keys.ca, keys.client, keys.client_key)
    with pytest.raises(ConfigError, match=r"ca\.pem expired at .*; renew it$"):
        server_context(keys.ca, keys.centre, keys.centre_key)


def test_an_authority_that_was_renewed_may_stand_beside_its_expired_certificate(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    valid = keys.ca.read_bytes()
    expired(keys.ca, keys.ca_key)
    keys.ca.write_bytes(keys.ca.read_bytes() + valid)

    assert client_context(keys.ca, keys.client, keys.client_key).check_hostname


def test_keys_that_fit_have_no_problem(tmp_path: Path) -> None:
    assert settings_for(generate(tmp_path, ORG)).problems() == []


def test_keys_that_are_not_there_are_no_problem_yet(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    keys.client_key.unlink()

    assert settings_for(keys).problems() == []
    assert settings_for(keys, key="credential:feed.key").problems() == []


def test_keys_that_cannot_work_are_problems(tmp_path: Path) -> None:
    keys, mismatched = generate(tmp_path / "one", ORG), generate(tmp_path / "two", OTHER)
    empty = tmp_path / "empty.pem"
    empty.touch()

    (mismatch,) = settings_for(keys, key=f"file:{mismatched.client_key}").problems()
    (foreign,) = settings_for(mismatched).problems()
    (nameless,) = settings_for(keys, cert=keys.centre, key=f"file:{keys.centre_key}").problems()
    (no_cert,) = settings_for(keys, cert=empty).problems()
    (folder,) = settings_for(keys, ca=tmp_path).problems()
    expired(keys.client, keys.ca_key)
    (old,) = settings_for(keys).problems()

    assert "key values mismatch" in mismatch
    remedy = "set org_id to that of the certificate"
    assert foreign == f"org_id is {ORG}, and {mismatched.client} names '{OTHER}'; {remedy}"
    assert nameless.endswith("names no organisation; ask the centre for one that names ours")
    assert f"cannot use {empty}" in no_cert
    assert f"cannot read {tmp_path}: is a directory" in folder
    assert f"{keys.client} expired at" in old


def test_a_key_that_signs_and_shows_who_we_are_too_is_a_problem(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)

    (problem,) = settings_for(keys, signing_key=f"file:{keys.client_key}").problems()

    assert problem.startswith(f"signing_key holds the key of {keys.client}; sign with one that")


def test_a_key_that_everybody_may_read_is_warned_of(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    settings = settings_for(keys, privacy={"users": "drop", "hosts": "drop"})
    keys.client_key.chmod(0o640)
    assert settings.warnings() == []

    keys.client_key.chmod(0o644)
    keys.client_signing.chmod(0o604)

    told = [warning.partition(";")[0] for warning in settings.warnings()]
    assert told == [
        f"everybody on this machine may read the key {path}" for path in (keys.client_key, keys.client_signing)
    ]


async def test_keys_are_missed_before_the_first_alert(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)
    held = keys.client.read_bytes()
    keys.client.unlink()
    forwarder = NcscForwarder(FakeContext(settings_for(keys)))

    with pytest.raises(ComponentError, match=r"cannot read .*client\.pem") as failed:
        await forwarder.open()
    keys.client.write_bytes(held)
    await forwarder.open()
    await forwarder.close()

    assert failed.value.retry


async def test_keys_on_a_disk_that_hangs_are_given_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = Event()
    monkeypatch.setattr(NcscSettings, "tls", lambda _: answered.wait(60))
    forwarder = NcscForwarder(FakeContext(settings_for(generate(tmp_path, ORG), timeout_s=0.2)))

    with pytest.raises(ComponentError, match=r"the keys were not read within 0\.2 s; check the disk"):
        await forwarder.open()

    answered.set()
    await until(lambda: not workers["read of the keys of test"].busy)


async def test_a_certificate_that_the_centre_refuses_is_pointed_to(tmp_path: Path) -> None:
    keys, stranger = generate(tmp_path / "keys", ORG), generate(tmp_path / "stranger", ORG)
    async with centre_running(tmp_path, keys) as centre:
        key = f"file:{stranger.client_key}"
        failed = await failure(settings_for(keys, url=centre.feed_url, cert=stranger.client, key=key))

    assert isinstance(failed, BlockedError)
    assert failed.reason == "refused_untrusted"
    assert str(failed) == (
        f"cannot deliver to {centre.feed_url}: the centre does not accept our certificate (it says: unknown ca); "
        f"send the centre what `socmon keys show {stranger.client}` prints, or renew that file"
    )


async def test_a_centre_that_hangs_up_without_a_word_may_not_accept_our_certificate(tmp_path: Path) -> None:
    keys, stranger = generate(tmp_path / "keys", ORG), generate(tmp_path / "stranger", ORG)
    silent = server_context(keys.ca, keys.centre, keys.centre_key)  # asyncio keeps the alert to itself
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0, ssl=silent)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        key = f"file:{stranger.client_key}"
        failed = await failure(settings_for(keys, url=url, cert=stranger.client, key=key))

    hint = f"; the centre may not accept our certificate: see `socmon keys show {stranger.client}`"
    assert str(failed).endswith(hint)


async def test_a_connection_that_is_cut_where_things_were_accepted_is_the_links_fault(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG)
    advisor = Advisor(url="https://127.0.0.1:1", ca=keys.ca, cert=keys.client)
    cut = aiohttp.ServerDisconnectedError()

    assert "may not accept our certificate" in str(advisor.on_failure(cut))
    assert str(advisor.on_failure(cut, met=True)) == (
        "cannot deliver to https://127.0.0.1:1: Server disconnected; the connection was cut: look at the link and at "
        "the centre"
    )
    async with centre_running(tmp_path, keys) as centre:
        made = NcscForwarder(FakeContext(settings_for(keys, url=centre.feed_url)))
        await made.open()
        await made.send([released(1)])

        async def cut_off() -> tuple[int, bytes, float]:
            raise cut

        with pytest.raises(ComponentError, match="the connection was cut"):
            await made._asked(cut_off)
        await made.close()


async def test_a_centre_of_another_authority_is_told_with_the_option_to_mend(tmp_path: Path) -> None:
    keys, stranger = generate(tmp_path / "keys", ORG), generate(tmp_path / "stranger", ORG)
    async with centre_running(tmp_path, keys) as centre:
        failed = await failure(settings_for(keys, url=centre.feed_url, ca=stranger.ca))

    assert str(failed) == (
        f"cannot deliver to {centre.feed_url}: the centre's certificate is not signed by {stranger.ca} (reason: "
        "self-signed certificate in certificate chain); set ca to the authority that signed it"
    )


async def test_a_centre_of_another_name_is_told_with_the_option_to_mend(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG, hosts=["centre.example"])
    async with centre_running(tmp_path, keys) as centre:
        failed = await failure(settings_for(keys, url=centre.feed_url))

    assert "the centre's certificate is for another name (reason: IP address mismatch" in str(failed)
    assert str(failed).endswith("write in url a name that it holds")


async def test_a_centre_with_an_expired_certificate_is_not_our_fault(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG)
    async with centre_running(tmp_path, keys) as centre:
        expired(keys.centre, keys.ca_key)
        centre._keys._today.load_cert_chain(keys.centre, keys.centre_key)  # it expired while the centre runs
        failed = await failure(settings_for(keys, url=centre.feed_url))

    assert "the centre's certificate is not valid today (reason: certificate has expired)" in str(failed)


async def test_an_address_where_nothing_listens_is_asked_about(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG)
    with kept_port() as port:
        url = f"https://127.0.0.1:{port}"
        failed = await failure(settings_for(keys, url=url))

    assert str(failed) == f"cannot deliver to {url}: nothing listens there; is the centre up, is url right?"


async def test_an_organisation_that_the_certificate_does_not_name_is_refused_with_the_remedy(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", OTHER)
    async with centre_running(tmp_path, keys) as centre:
        failed = await failure(settings_for(keys, url=centre.feed_url))

    assert "refused us with HTTP 403" in str(failed)
    assert str(failed).endswith("; set org_id to that of the certificate")
