"""The control socket by itself: who asks is named and written down, and nobody can hold it up."""

import asyncio
import json
import os
import socket
import stat
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from socmon.control import server
from socmon.control.protocol import MAX_LINE_BYTES, NAME, RefusedError, address
from socmon.control.server import Actor, Control, Verb
from socmon.errors import ConfigError, StoreError

_WAIT_S = 30.0  # for what comes at once on a machine that has time


class Words(Struct, forbid_unknown_fields=True):
    words: list[str] = []


async def _echo(actor: Actor, asked: Words) -> object:
    return {"actor": actor.name, "uid": actor.uid, "words": asked.words}


async def _refuse(_actor: Actor, _asked: Words) -> object:
    raise RefusedError("not_found", "no such thing")


async def _fail(_actor: Actor, _asked: Words) -> object:
    raise StoreError("disk full")


async def _hang(_actor: Actor, _asked: Words) -> object:
    await asyncio.Event().wait()
    return None


VERBS = {
    "echo": Verb(Words, _echo, changes=lambda asked: bool(asked.words)),
    "refuse": Verb(Words, _refuse, changes=lambda _: True),
    "fail": Verb(Words, _fail, changes=lambda _: False),
    "hang": Verb(Words, _hang, changes=lambda _: False),
}


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Path]:
    control = Control(folder, VERBS)
    await control.start()
    try:
        yield folder
    finally:
        await asyncio.wait_for(control.close(), _WAIT_S)


class Client:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __aenter__(self) -> Self:
        with address(self._folder) as path:
            self.reader, self.writer = await asyncio.open_unix_connection(path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def ask(self, request: bytes) -> dict[str, Any]:
        self.writer.write(request)
        reply: dict[str, Any] = json.loads(await asyncio.wait_for(self.reader.readline(), _WAIT_S))
        return reply

    async def ended(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(), _WAIT_S) == b""
        except ConnectionError:
            return True


def request(verb: str, **arguments: object) -> bytes:
    return json.dumps({"v": 1, "verb": verb, "arguments": arguments}).encode() + b"\n"


async def test_a_verb_is_done_for_whom_the_kernel_names(tmp_path: Path) -> None:
    async with served(tmp_path), Client(tmp_path) as client:
        first = await client.ask(request("echo", words=["a"]))
        second = await client.ask(b'{"v":1,"verb":"echo"}\n')

    assert first["result"]["uid"] == os.getuid()
    assert first == {"v": 1, "ok": True, "result": first["result"]}
    assert second["result"]["words"] == []


async def test_each_change_is_logged_with_its_actor_and_a_look_is_not(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logged:
        async with served(tmp_path), Client(tmp_path) as client:
            name = (await client.ask(request("echo")))["result"]["actor"]
            await client.ask(request("echo", words=["a"]))
            await client.ask(request("refuse"))

    told = [(entry["event"], entry["verb"], entry["actor"], entry["uid"]) for entry in logged]
    who = (name, os.getuid())
    assert told == [
        ("change asked for", "echo", *who),
        ("change asked for", "refuse", *who),
        ("change not made", "refuse", *who),
    ]


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        (request("refuse"), "not_found", "no such thing"),
        (request("fail"), "failed", "disk full"),
        (request("fly"), "bad_request", "no verb is called 'fly'; known: echo, refuse, fail, hang"),
        (request("echo", words=5), "bad_request", "echo: Expected `array`"),
        (request("echo", more=5), "bad_request", "unknown field `more`"),
        (b'{"v":2,"verb":"echo"}\n', "bad_request", "this is version 1 of the protocol, not 2"),
        (b"GET / HTTP/1.1\r\n", "bad_request", "no request"),
        (b'{"v":1,"verb":"echo","arguments":"\xff"}\n', "bad_request", ""),
        (b"[" * 60_000 + b"\n", "bad_request", "no request"),
        (b"\n", "bad_request", "no request"),
    ],
)
async def test_what_cannot_be_done_is_refused_and_the_next_request_is_answered(
    tmp_path: Path, line: bytes, code: str, text: str
) -> None:
    async with served(tmp_path), Client(tmp_path) as client:
        reply = await client.ask(line)
        after = await client.ask(request("echo", words=["still here"]))

    assert (reply["ok"], reply["code"]) == (False, code)
    assert text in reply["error"]
    assert after["result"]["words"] == ["still here"]


async def test_a_request_that_is_too_large_is_refused_and_ends_the_connection(tmp_path: Path) -> None:
    async with served(tmp_path):
        async with Client(tmp_path) as client:
            reply = await client.ask(b"x" * (3 * MAX_LINE_BYTES))
            assert reply["code"] == "bad_request"
            assert f"at most {MAX_LINE_BYTES} bytes" in reply["error"]
            assert await client.ended()
        async with Client(tmp_path) as other:
            assert (await other.ask(request("echo")))["ok"]


async def test_a_verb_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_VERB_S", 0.01)
    async with served(tmp_path), Client(tmp_path) as client:
        reply = await client.ask(request("hang"))

    assert reply["code"] == "timeout"


async def test_a_verb_that_does_not_let_go_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_VERB_S", 0.01)
    monkeypatch.setattr(server, "_CLOSE_S", 0.1)
    released = asyncio.Event()

    async def cling(_actor: Actor, _asked: Words) -> object:
        with suppress(asyncio.CancelledError):
            await released.wait()
        await released.wait()
        return None

    monkeypatch.setitem(VERBS, "cling", Verb(Words, cling, changes=lambda _: False))
    async with served(tmp_path), Client(tmp_path) as client:
        assert (await client.ask(request("cling")))["code"] == "timeout"
        assert (await client.ask(request("echo")))["ok"]
    released.set()


async def test_a_client_that_sends_nothing_whole_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_LINE_S", 0.05)
    async with served(tmp_path), Client(tmp_path) as client:
        client.writer.write(b'{"v":1,')

        assert await client.ended()


async def test_a_client_that_reads_nothing_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patience_s = server._LINE_S
    monkeypatch.setattr(server, "_LINE_S", 0.1)
    loop = asyncio.get_running_loop()

    async def flood(deaf: socket.socket) -> None:
        while True:
            await loop.sock_sendall(deaf, request("echo", words=["x" * 60_000]))

    with structlog.testing.capture_logs():
        async with served(tmp_path):
            with socket.socket(socket.AF_UNIX) as deaf, address(tmp_path) as path:
                deaf.setblocking(False)
                await loop.sock_connect(deaf, path)
                with pytest.raises(ConnectionError):
                    await asyncio.wait_for(flood(deaf), 30)

            monkeypatch.setattr(server, "_LINE_S", patience_s)  # this one may be as slow as the machine
            async with Client(tmp_path) as other:
                assert (await other.ask(request("echo")))["ok"]


async def test_clients_beyond_the_bound_are_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CLIENTS", 2)
    async with served(tmp_path), Client(tmp_path) as first, Client(tmp_path) as second:
        assert (await first.ask(request("echo")))["ok"]
        assert (await second.ask(request("echo")))["ok"]

        async with Client(tmp_path) as third:
            reply = json.loads(await asyncio.wait_for(third.reader.readline(), _WAIT_S))
            assert reply["code"] == "busy"
            assert await third.ended()
        assert (await first.ask(request("echo")))["ok"]


async def test_a_hundred_clients_at_once_are_all_answered(tmp_path: Path) -> None:
    async def one(number: int) -> dict[str, Any]:
        async with Client(tmp_path) as client:
            try:
                return await client.ask(request("echo", words=[str(number)]))
            except (ConnectionError, json.JSONDecodeError):  # refused before it had written all
                return {"code": "busy"}

    async with served(tmp_path):
        replies = await asyncio.gather(*(one(number) for number in range(100)))

    done = [reply["result"]["words"][0] for reply in replies if reply.get("ok")]
    assert len(done) >= server.MAX_CLIENTS
    assert len(set(done)) == len(done)
    assert {reply["code"] for reply in replies if not reply.get("ok")} <= {"busy"}


async def test_the_socket_is_for_user_and_group_and_goes_with_the_daemon(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        async with served(tmp_path):
            made = (tmp_path / NAME).stat()
            assert stat.S_ISSOCK(made.st_mode)
            assert stat.S_IMODE(made.st_mode) == 0o660
    finally:
        os.umask(old)

    assert not (tmp_path / NAME).exists()


async def test_what_a_killed_daemon_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left, address(tmp_path) as path:
        left.bind(path)

    async with served(tmp_path), Client(tmp_path) as client:
        assert (await client.ask(request("echo")))["ok"]


async def test_a_state_directory_may_have_any_path(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["a" * 100] * 5)
    folder.mkdir(parents=True)

    async with served(folder), Client(folder) as client:
        assert (await client.ask(request("echo")))["ok"]


async def test_a_place_that_is_taken_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()

    with pytest.raises(ConfigError, match=r"cannot create the socket .*control\.sock: .* use another folder"):
        await Control(tmp_path, VERBS).start()


async def test_a_directory_service_that_hangs_costs_a_name_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr(server, "_NAME_S", 0.02)
    monkeypatch.setattr("pwd.getpwuid", lambda _uid: released.wait(20))
    try:
        async with served(tmp_path):
            for _ in range(3):
                async with Client(tmp_path) as client:
                    assert (await client.ask(request("echo")))["result"]["actor"] == f"uid {os.getuid()}"
    finally:
        released.set()


async def test_closing_ends_whoever_is_connected(tmp_path: Path) -> None:
    async with served(tmp_path):
        client = await Client(tmp_path).__aenter__()
        client.writer.write(request("hang"))

    assert await client.ended()
    client.writer.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400))
def test_hostile_bytes_end_nothing_but_their_own_connection(tmp_path: Path, data: bytes) -> None:
    async def attack() -> dict[str, Any]:
        async with served(tmp_path):
            async with Client(tmp_path) as client:
                client.writer.write(data)
                client.writer.write_eof()
                replies = await asyncio.wait_for(client.reader.read(), _WAIT_S)
                assert all(not json.loads(line)["ok"] for line in replies.splitlines())
                assert len(replies.splitlines()) == data.count(b"\n")
            async with Client(tmp_path) as other:
                return await other.ask(request("echo"))

    assert asyncio.run(attack())["ok"]
