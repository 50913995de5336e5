"""Who may send to the `http` collector: networks, tokens that are replaced while it runs, certificates; and TLS."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from certificate_kit import expired
from harness import LIMIT_S, until
from http_kit import SECRET, Client, client_of, http_context, raw
from pydantic import ValidationError

from collectors import http
from collectors._http_clients import name_in
from collectors._http_settings import HttpSettings
from collectors.http import HttpCollector
from socmon.errors import ComponentError
from socmon.feed.keys import generate
from socmon.secrets import SecretRef

LINE = b"one line\n"


async def posted(client: Client, token: str = "") -> int:
    return (await client.post(LINE, media="text/plain", token=token)).status


def token_file(path: Path, text: str) -> str:
    path.write_text(text)
    return f"file:{path}"


class Keys:
    """A server's certificate, and clients' of the same and of another authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.ca.cert_pem.write_to_path(folder / "ca.pem")
        self.serve(self.ca)

    def serve(self, ca: trustme.CA) -> None:
        """Replace the server's certificate."""
        server = ca.issue_cert("127.0.0.1")
        server.private_key_pem.write_to_path(self.folder / "server.key")
        server.cert_chain_pems[0].write_to_path(self.folder / "server.pem")

    @property
    def options(self) -> dict[str, Any]:
        return {"cert": self.folder / "server.pem", "key": f"file:{self.folder / 'server.key'}"}

    def client(self, *names: str, ca: trustme.CA | None = None, common_name: str | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if names or common_name:
            (ca or self.ca).issue_cert(*names, common_name=common_name).configure_cert(context)
        return context


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LOOK_S", 0.02)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


async def test_tokens_let_in_and_are_replaced_while_it_runs(tmp_path: Path) -> None:
    file = tmp_path / "syt.token"
    context = http_context(tokens={"syt": token_file(file, f"{SECRET}\n")})
    async with client_of(context) as client:
        assert [await posted(client, token) for token in ("", SECRET[:-1], SECRET + "0", SECRET)] == [
            401,
            401,
            401,
            200,
        ]
        file.write_text(f"{SECRET}\n{'n' * 32}\n")
        await _until_status(client, "n" * 32, 200)
        assert await posted(client, SECRET) == 200  # both are good while one is replaced
        file.write_text(f"{'n' * 32}\n")
        await _until_status(client, SECRET, 401)
        file.unlink()
        await _until_status(client, "n" * 32, 401)

    assert {record.source.peer for record in context.records} == {"syt"}
    told = [entry for entry in context.logged if entry["event"] == "token cannot be used, its client is refused"]
    assert [entry["client"] for entry in told] == ["syt"]
    assert SECRET not in str(context.logged)
    assert "n" * 32 not in str(context.logged)


async def _until_status(client: Client, token: str, status: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while await posted(client, token) != status:
            await asyncio.sleep(0.01)


async def test_one_bad_token_file_locks_out_its_client_alone(tmp_path: Path) -> None:
    tokens = {"short": token_file(tmp_path / "a", "short\n"), "good": token_file(tmp_path / "b", SECRET)}
    context = http_context(tokens=tokens)
    async with client_of(context) as client:
        assert [await posted(client, token) for token in ("short", SECRET)] == [401, 200]

    assert [entry["client"] for entry in context.logged if "token cannot be used" in entry["event"]] == ["short"]


async def test_a_certificate_lets_in_and_names_its_client(keys: Keys) -> None:
    context = http_context(**keys.options, client_ca=keys.folder / "ca.pem")
    async with client_of(context, keys.client("syt.example.vn")) as client:
        assert await posted(client) == 200
    assert [(record.source.peer, record.source.authenticated) for record in context.records] == [
        ("syt.example.vn", True)
    ]


@pytest.mark.parametrize("stranger", [False, True], ids=["without one", "of another authority"])
async def test_without_a_good_certificate_there_is_no_connection(keys: Keys, *, stranger: bool) -> None:
    context = http_context(**keys.options, client_ca=keys.folder / "ca.pem")
    shown = keys.client("syt.example.vn", ca=trustme.CA()) if stranger else keys.client()
    async with client_of(context, shown) as client:
        # One that is closed without a word, as it is where the alert comes too late, is no OSError.
        with pytest.raises((OSError, aiohttp.ServerDisconnectedError)):
            await posted(client)
        reason = "client_untrusted" if stranger else "client_missing"
        await until(lambda: context.counts[f"error.{reason}"])

    assert context.lines == []
    told = [entry["reason"] for entry in context.logged if entry["event"] == "certificate of a client refused"]
    assert told == [reason]


async def test_certificates_and_tokens_together_and_names_that_may_send(keys: Keys, tmp_path: Path) -> None:
    tokens = {"script": token_file(tmp_path / "t", SECRET)}
    context = http_context(**keys.options, client_ca=keys.folder / "ca.pem", clients=["a.example"], tokens=tokens)
    async with client_of(context, keys.client()) as client:
        with_token = await posted(client, SECRET)
        without = await posted(client)
        address = client.url
        for shown, status in ((keys.client("a.example"), 200), (keys.client("b.example"), 403)):
            async with client.session.post(
                address, data=LINE, headers={"Content-Type": "text/plain"}, ssl=shown
            ) as answer:
                assert answer.status == status

    assert (with_token, without) == (200, 401)
    assert [record.source.peer for record in context.records] == ["script", "a.example"]


def test_what_ends_is_known_and_plain_http_for_others_is_a_problem(keys: Keys) -> None:
    ca = keys.folder / "ca.pem"
    safe = HttpSettings(**keys.options, client_ca=ca, address="0.0.0.0", allow=["10.0.0.0/8"])
    plain = HttpSettings(address="0.0.0.0", allow=["10.0.0.0/8"], tokens={"a": SecretRef("file", "a")})

    assert {path for path, end in safe.expiries().items() if end} == {keys.folder / "server.pem", ca}
    assert safe.problems() == []
    assert [problem for problem in plain.problems() if "without TLS" in problem]


async def test_the_server_certificate_is_renewed_while_it_runs(keys: Keys) -> None:
    context = http_context(**keys.options)
    old, new = keys.client(), trustme.CA()
    async with client_of(context, old) as client:
        assert await posted(client) == 200
        (keys.folder / "server.key").write_text("half of a key")
        await until(lambda: any("one before is used on" in entry["event"] for entry in context.logged))
        keys.serve(new)
        trusting = ssl.create_default_context()
        new.configure_trust(trusting)
        async with asyncio.timeout(LIMIT_S):
            while not await _is_trusted(client, trusting):
                await asyncio.sleep(0.01)


async def _is_trusted(client: Client, trusting: ssl.SSLContext) -> bool:
    try:
        async with client.session.get(client.url, ssl=trusting) as answer:
            return answer.status == 204
    except (OSError, aiohttp.ServerDisconnectedError):
        return False


async def test_an_unusable_certificate_is_told_at_the_start(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", "000.00.00.H07")
    expired(keys.centre, keys.ca_key)
    context = http_context(cert=keys.centre, key=f"file:{keys.centre_key}")

    with pytest.raises(ComponentError, match="expired at"):
        await HttpCollector(context).run()


async def test_a_network_that_is_not_allowed_gets_no_word() -> None:
    context = http_context(allow=["127.0.0.2/32"])
    async with client_of(context):
        assert await raw(context, b"", end=False) == b""

    assert context.counts["error.not_allowed"] == 1
    assert [entry["peer"] for entry in context.logged if entry["event"] == "connection refused"] == ["127.0.0.1"]


async def test_connections_are_bounded_and_a_place_becomes_free_again() -> None:
    context = http_context(max_connections=1)
    async with client_of(context) as client:
        assert await posted(client) == 200  # keeps its connection
        assert await raw(context, b"", end=False) == b""
        assert client.session.connector is not None
        await client.session.connector.close()
        request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        async with asyncio.timeout(LIMIT_S):
            while b" 204 " not in await raw(context, request, end=False):
                await asyncio.sleep(0.01)

    assert context.counts["error.too_many_connections"] >= 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"allow": ["10.0.0.0/8"]}, "set tokens or client_ca"),
        ({"cert": "a.pem"}, "belong together"),
        ({"client_ca": "ca.pem"}, "needs https"),
        ({"tokens": {"no name!": "file:x"}}, "no client's name"),
        ({"tokens": {"plain": "the secret itself"}}, "not a reference"),
    ],
)
def test_settings_that_do_not_fit_together(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        HttpSettings(**options)


async def test_plain_http_for_others_is_warned_of(tmp_path: Path) -> None:
    tokens = {"syt": token_file(tmp_path / "t", SECRET)}
    context = http_context(address="0.0.0.0", tokens=tokens, allow=["127.0.0.0/8"])
    async with client_of(context):
        pass

    assert any(entry["event"].startswith("records and tokens can be read") for entry in context.logged)


@pytest.mark.parametrize(
    ("certificate", "name"),
    [
        ({"subject": ((("commonName", "CN"),),), "subjectAltName": (("URI", "urn:x"), ("DNS", "d"))}, "d"),
        ({"subject": ((("commonName", "CN"),),), "subjectAltName": (("email", "a@b"), ("URI", "urn:x"))}, "urn:x"),
        ({"subject": ((("organizationName", "O"), ("commonName", "CN")),)}, "CN"),
        ({"subject": ()}, ""),
    ],
)
def test_the_name_in_a_certificate(certificate: dict[str, Any], name: str) -> None:
    assert name_in(certificate) == name
