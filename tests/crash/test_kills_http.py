"""Kills (-9) of a daemon that takes records over HTTP, and of its clients: with a key nothing is lost or doubled.

Without one, a request comes twice only as a whole and only if it was sent twice, and socmon says so.
"""

import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import msgspec
import numbered_poster
import pytest
from field import Field, field_in, wait_for
from manager_kit import tcp_socket
from numbered_poster import lines_of, numbers_of

from socmon.errors import JournalError

WEB = "web"
TOKENS = {"keyed": "k" * 32, "bare": "b" * 32}
KILLS = [
    *("http.journalled", "http.journalled:2", "http.journalled:3", "http.journalled:2", "http.journalled:4"),
    *("journal.appended:2", "journal.write:2:100", "journal.write:3:700"),
    *("", ""),  # at no failpoint: wherever the daemon is
]
CLIENT_RESTARTS = 5


class Client:
    """The process of one client."""

    def __init__(self, root: Path, port: int, name: str, *, keyed: bool) -> None:
        self.name, self.keyed = name, keyed
        self.answered, self.tried = root / f"{name}.answered", root / f"{name}.tried"
        self._command = [sys.executable, numbered_poster.__file__, str(root), str(port), name, TOKENS[name]]
        self._command.append("keyed" if keyed else "bare")
        self._stop = root / f"{name}.stop"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)

    def finish(self) -> None:
        """Let it end when the request at hand is answered."""
        assert self._process is not None
        self._stop.touch()
        assert self._process.wait(60) == 0

    def has(self, answers: int) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} has given up"
        return len(lines_of(self.answered)) >= answers


@contextmanager
def clients_of(root: Path, port: int) -> Iterator[list[Client]]:
    clients = [Client(root, port, "keyed", keyed=True), Client(root, port, "bare", keyed=False)]
    try:
        for client in clients:
            client.start()
        yield clients
    finally:
        for client in clients:
            client.kill()


def configure(place: Field) -> None:
    for name, token in TOKENS.items():
        (place.root / f"{name}.token").write_text(token)
    tokens = {name: f"file:{place.root / name}.token" for name in TOKENS}
    web = {"kind": "http", "port": 0, "tokens": tokens, "quota_per_s": 0}
    place.configure([], collectors={WEB: web}, forwarders={})


def numbers(place: Field, name: str) -> list[int]:
    """What the journal has of a client, in its order."""
    try:
        found = map(msgspec.json.decode, place.journalled().get(WEB, []))
    except JournalError:  # the daemon is still making it
        return []
    return [each["number"] for each in found if each["client"] == name]


def live_and_die(
    place: Field, failpoint: str, listener: socket.socket, clients: Sequence[Client], *, kill: bool = False
) -> None:
    wanted = [len(lines_of(client.answered)) + 1 for client in clients]
    place.start_daemon(failpoint, sockets={WEB: listener})
    daemon = place.daemon
    assert daemon is not None
    if kill or not failpoint:
        for client, answers in zip(clients, wanted, strict=True):
            wait_for(partial(client.has, answers), f"{client.name} has answers")
        daemon.kill()
    wait_for(lambda: daemon.poll() is not None, f"the daemon dies at {failpoint}")
    assert daemon.returncode == -9, (place.root / "daemon.log").read_text()[-3000:]


def check(client: Client, journalled: list[int]) -> int:
    """How many requests of `client` the journal has more than once; all else is an error."""
    answered, tries = lines_of(client.answered), Counter(lines_of(client.tried))
    assert answered == list(range(len(answered)))
    everything = [number for request in answered for number in numbers_of(request)]
    if client.keyed:
        assert journalled == everything
        return 0
    times = Counter(journalled)
    assert sorted(times) == everything
    twice = [request for request in answered if times[numbers_of(request)[0]] > 1]
    for request in answered:
        each = {times[number] for number in numbers_of(request)}
        assert len(each) == 1, f"request {request} was journalled in part more than once"
        assert max(each) <= tries[request], f"request {request} was sent {tries[request]} times"
    return len(twice)


@pytest.mark.timeout(1200)
def test_ten_kills_and_five_restarts_of_the_clients(tmp_path: Path) -> None:
    assert len(KILLS) == 10
    with closing(tcp_socket()) as listener, field_in(tmp_path / "province") as place:
        configure(place)
        with clients_of(place.root, listener.getsockname()[1]) as clients:
            for turn, failpoint in enumerate(KILLS):
                live_and_die(place, failpoint, listener, clients)
                if turn < CLIENT_RESTARTS:
                    for client in clients:
                        client.kill()
                        client.start()
            place.start_daemon(sockets={WEB: listener})
            for client in clients:
                wait_for(partial(client.has, len(lines_of(client.answered)) + 2), "the last daemon answers")
                client.finish()
        total = sum(len(numbers(place, client.name)) for client in clients)
        wait_for(lambda: place.account(WEB).evaluated == total, "all of it is matched")
        place.stop_daemon()

        account = place.account(WEB)
        assert (account.received, account.dropped, account.in_flight) == (total, {}, 0)
        found = {client.name: numbers(place, client.name) for client in clients}
        repeated = [check(client, found[client.name]) for client in clients]
        told = place.events("daemon.log", "the same request came again without a key, it is taken as new")
        tried = {client.name: len(lines_of(client.tried)) for client in clients}
        print(f"requests sent: {tried}; records journalled: { {name: len(each) for name, each in found.items()} }; "
              f"twice, of the client without keys: {repeated[1]} requests, told {len(told)} times")  # fmt: skip
        assert repeated[0] == 0
        assert (repeated[1] > 0) == bool(told)
        assert {entry["client"] for entry in told} <= {"bare"}


@pytest.mark.timeout(1200)
def test_keys_that_are_only_remembered_in_memory_would_be_found_to_double_records(tmp_path: Path) -> None:
    with closing(tcp_socket()) as listener, field_in(tmp_path / "province") as place:
        configure(place)
        with clients_of(place.root, listener.getsockname()[1]) as clients:
            client = clients[0]
            live_and_die(place, "http.forget", listener, clients, kill=True)
            for each in clients:
                each.kill()
            client.answered.write_text("".join(f"{n}\n" for n in lines_of(client.answered)[:-1]))  # not noted any more
            place.start_daemon("http.forget", sockets={WEB: listener})
            client.start()
            wait_for(partial(client.has, len(lines_of(client.answered)) + 1), "it is answered")
            client.finish()
        place.stop_daemon()

        with pytest.raises(AssertionError):
            check(client, numbers(place, client.name))
