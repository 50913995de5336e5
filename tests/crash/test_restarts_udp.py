"""Kills (-9) of a daemon whose sockets a service manager holds: what is sent while it is down arrives afterwards."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from field import Field, field_in, wait_for
from manager_kit import tcp_socket, udp_socket
from numbered_datagrams import NumberedDatagrams
from numbered_sender import arrived

from socmon.errors import JournalError

UDP, TCP = "equipment", "network"
KILLS = 4
WHILE_DOWN = 150  # fit every receive buffer, also where 8 MiB cannot be forced

WHILE_DOWN_BY_TCP = "<38>Nov 22 10:00:00 web1 app: sent while nobody was there"


class Kill(NamedTuple):
    """One kill, in numbers of messages.

    Attributes:
        journalled: the last one that was in the journal shortly before it.
        down: the first one of which it is sure that it was sent after the process had died.
        up: the first one that may have been sent after the next start began.
    """

    journalled: int
    down: int
    up: int


def check(numbers: list[int], kills: Sequence[Kill], *, sent: int, kernel_drops: int) -> None:
    """Nothing is doubled or reordered; what is lost was in a killed process, or the kernel has counted it."""
    assert numbers == sorted(set(numbers))
    lost = sorted(set(range(sent)) - {*numbers})
    runs: list[list[int]] = []
    for number in lost:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    in_memory = [_memory_of(kill, runs) for kill in kills]
    print(
        f"{sent} sent, {sum(kill.up - kill.down for kill in kills)} of them while it was down; "
        f"{len(numbers)} journalled; lost in the memory of {len(kills)} killed processes: "
        f"{[len(run) for run in in_memory]}; dropped by the kernel: {kernel_drops}"
    )
    unexplained = len(lost) - sum(map(len, in_memory)) - kernel_drops
    assert unexplained == 0, f"{unexplained} messages are missing that nothing explains"


def _memory_of(kill: Kill, runs: list[list[int]]) -> list[int]:
    """The one run that the killed process may have had in its hands."""
    held = [run for run in runs if kill.journalled < run[0] and run[-1] < kill.down]
    return held[0] if held else []


def last_journalled(place: Field, sender: NumberedDatagrams) -> int:
    try:
        journalled = place.journalled()
    except JournalError:  # the daemon is still making it
        return -1
    return max(arrived(journalled.get(UDP, []), sender.host), default=-1)


@contextmanager
def sending(port: int) -> Iterator[NumberedDatagrams]:
    sender = NumberedDatagrams("udp-steady", port)
    sender.start()
    try:
        yield sender
    finally:
        sender.finish()


def live_and_die(place: Field, sender: NumberedDatagrams, sockets: Mapping[str, socket.socket]) -> tuple[int, int]:
    """Start the daemon, let it journal what waits and more, and kill it; what was journalled, and sent, by then."""
    place.start_daemon(sockets=sockets)
    daemon, enough = place.daemon, sender.sent + 200
    assert daemon is not None
    wait_for(lambda: last_journalled(place, sender) > enough, "what was sent meanwhile is journalled")
    journalled = last_journalled(place, sender)
    daemon.kill()
    daemon.wait(10)
    return journalled, sender.sent


def restart_and_kill(place: Field, sender: NumberedDatagrams, sockets: Mapping[str, socket.socket], kills: int) -> None:
    """Kill it `kills` times in the middle of the stream, end in order, and check all numbers."""
    found: list[Kill] = []
    for _ in range(kills):
        journalled, down = live_and_die(place, sender, sockets)
        wait_for(partial(_sent, sender, down + WHILE_DOWN), "messages are sent while it is down")
        found.append(Kill(journalled, down, sender.sent))
    if TCP in sockets:  # the kernel takes the connection for the daemon that is to come
        with socket.create_connection(sockets[TCP].getsockname(), timeout=10) as early:
            early.sendall(f"{WHILE_DOWN_BY_TCP}\n".encode())
    place.start_daemon(sockets=sockets)
    wait_for(lambda: last_journalled(place, sender) > found[-1].up, "the last daemon journals")
    sender.finish()
    wait_for(lambda: last_journalled(place, sender) == sender.sent - 1, "the last message is journalled")
    place.stop_daemon()
    account = place.reading().ledger.accounts[UDP]
    numbers = arrived(place.journalled()[UDP], sender.host)
    assert len(numbers) == account.journalled == account.evaluated
    check(numbers, found, sent=sender.sent, kernel_drops=account.dropped.get("kernel", 0))


def _sent(sender: NumberedDatagrams, number: int) -> bool:
    return sender.sent > number


def configure(place: Field, port: int) -> None:
    kinds = {UDP: {"kind": "syslog_udp", "port": port}, TCP: {"kind": "syslog_tcp", "port": 0}}
    place.configure([], collectors=kinds, forwarders={})


@pytest.mark.timeout(240)
def test_kills_lose_nothing_that_is_sent_while_it_is_down(tmp_path: Path) -> None:
    with closing(udp_socket()) as udp, closing(tcp_socket()) as tcp, field_in(tmp_path / "province") as place:
        configure(place, 0)
        with sending(udp.getsockname()[1]) as sender:
            restart_and_kill(place, sender, {UDP: udp, TCP: tcp}, KILLS)
        assert place.journalled()[TCP] == [WHILE_DOWN_BY_TCP]


@pytest.mark.timeout(120)
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
