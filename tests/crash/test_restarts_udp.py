"""Kills (-9) of a daemon whose sockets a service manager holds: what is sent while it is down arrives afterwards."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from datagram_kills import WHILE_DOWN, Kill, Kills, check
from field import Field, field_in
from manager_kit import tcp_socket, udp_socket
from numbered_datagrams import NumberedDatagrams
from numbered_sender import arrived

UDP, TCP = "equipment", "network"
KILLS = 4

WHILE_DOWN_BY_TCP = "<38>Nov 22 10:00:00 web1 app: sent while nobody was there"


@contextmanager
def sending(port: int) -> Iterator[NumberedDatagrams]:
    sender = NumberedDatagrams("udp-steady", port)
    sender.start()
    try:
        yield sender
    finally:
        sender.finish()


def restart_and_kill(place: Field, sender: NumberedDatagrams, sockets: Mapping[str, socket.socket], kills: int) -> None:
    def send_by_tcp() -> None:
        if TCP in sockets:  # the kernel takes the connection for the daemon that is to come
            with socket.create_connection(sockets[TCP].getsockname(), timeout=60) as early:
                early.sendall(f"{WHILE_DOWN_BY_TCP}\n".encode())

    Kills(place, sender, UDP, partial(arrived, host=sender.host)).run(sockets, kills, send_by_tcp)


def configure(place: Field, port: int) -> None:
    kinds = {UDP: {"kind": "syslog_udp", "port": port}, TCP: {"kind": "syslog_tcp", "port": 0}}
    place.configure([], collectors=kinds, forwarders={})


@pytest.mark.timeout(900)
def test_kills_lose_nothing_that_is_sent_while_it_is_down(tmp_path: Path) -> None:
    with closing(udp_socket()) as udp, closing(tcp_socket()) as tcp, field_in(tmp_path / "province") as place:
        configure(place, 0)
        with sending(udp.getsockname()[1]) as sender:
            restart_and_kill(place, sender, {UDP: udp, TCP: tcp}, KILLS)
        assert place.journalled()[TCP] == [WHILE_DOWN_BY_TCP]


@pytest.mark.timeout(480)
def test_a_daemon_with_a_socket_of_its_own_would_be_found_to_lose_messages(tmp_path: Path) -> None:
    with closing(udp_socket()) as free:
        port = free.getsockname()[1]
    with field_in(tmp_path / "province") as place, sending(port) as sender:
        configure(place, port)

        with pytest.raises(AssertionError, match="messages are missing that nothing explains") as caught:
            restart_and_kill(place, sender, {}, 1)

        assert int(str(caught.value).split(maxsplit=1)[0]) >= WHILE_DOWN


ALL = list(range(100))


@pytest.mark.parametrize(
    "numbers",
    [
        [n for n in ALL if n != 55],  # sent while it was down
        [n for n in ALL if n not in (30, 45)],  # two runs of one kill
        [n for n in ALL if n != 20],  # it was in the journal before
        [n for n in ALL if n != 90],  # after the last kill
        [n for n in ALL if not 45 <= n < 52],  # a run that reaches into the time it was down
        [*ALL, 99],  # one doubled
        [1, 0, *ALL[2:]],  # two changed about
    ],
)
def test_any_other_loss_would_be_noticed(numbers: list[int]) -> None:
    kills = [Kill(journalled=25, down=50, up=70)]
    check([n for n in ALL if not 40 <= n < 45], kills, sent=100, kernel_drops=0)
    check([n for n in ALL if not 60 <= n < 65], kills, sent=100, kernel_drops=5)

    with pytest.raises(AssertionError):
        check(numbers, kills, sent=100, kernel_drops=0)
