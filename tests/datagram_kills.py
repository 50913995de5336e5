"""Kills (-9) of a daemon that takes datagrams, and the check of what may be lost by them, and what not."""

import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from field import Field, wait_for

from socmon.errors import JournalError

WHILE_DOWN = 150  # fit every receive buffer, also where 8 MiB cannot be forced
_LATEST = 1000  # of the lines, among which the last number is looked for


class Sender(Protocol):
    """Numbers what it sends; `sent` is the next number, `begun` the first one that was surely not sent yet."""

    sent: int
    begun: int

    def finish(self) -> None: ...


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


class Kills:
    """Lives and deaths of the daemon of `place`, while `sender` sends.

    Args:
        collector: its name.
        numbers: which of the sender's numbers are in the journalled lines, in their order.
        each: how many numbers one datagram has.
        ahead: how many more than were sent by its start are journalled before it is killed.
        down: how many are sent before it is started again.
    """

    def __init__(
        self,
        place: Field,
        sender: Sender,
        collector: str,
        numbers: Callable[[Sequence[str]], list[int]],
        *,
        each: int = 1,
        ahead: int = 200,
        down: int = WHILE_DOWN,
    ) -> None:
        self._place = place
        self._sender = sender
        self._collector = collector
        self._numbers = numbers
        self._each = each
        self._ahead = ahead
        self._down = down

    def run(self, sockets: Mapping[str, socket.socket], kills: int, before_the_last: Callable[[], None]) -> None:
        """Kill it `kills` times in the middle of the stream, end in order, and check all numbers."""
        place, sender, found = self._place, self._sender, list[Kill]()
        for _ in range(kills):
            journalled, down = self._live_and_die(sockets)
            wait_for(partial(self._sent, down + self._down), "messages are sent while it is down")
            found.append(Kill(journalled, down, sender.sent))
        before_the_last()
        place.start_daemon(sockets=sockets)
        wait_for(lambda: self._last() > found[-1].up, "the last daemon journals")
        sender.finish()
        wait_for(lambda: self._last() == sender.sent - 1, "the last message is journalled")
        place.stop_daemon()
        account = place.account(self._collector)
        numbers = self._numbers(place.journalled()[self._collector])
        assert len(numbers) == account.journalled == account.evaluated + account.unparsed
        assert account.dropped.keys() <= {"kernel"}
        check(numbers, found, sent=sender.sent, kernel_drops=account.dropped.get("kernel", 0) * self._each)

    def _live_and_die(self, sockets: Mapping[str, socket.socket]) -> tuple[int, int]:
        """Start the daemon, let it journal what waits and more, and kill it; what was journalled, and sent, by then."""
        self._place.start_daemon(sockets=sockets)
        daemon, enough = self._place.daemon, self._sender.sent + self._ahead
        assert daemon is not None
        wait_for(lambda: self._last() > enough, "what was sent meanwhile is journalled")
        journalled = self._last()
        daemon.kill()
        daemon.wait(30)
        # Not `sent`: the message at hand may have reached the process, though its sender has not noted it yet.
        return journalled, self._sender.begun

    def _last(self) -> int:
        try:
            journalled = self._place.journalled()
        except JournalError:  # the daemon is still making it
            return -1
        return max(self._numbers(journalled.get(self._collector, [])[-_LATEST:]), default=-1)

    def _sent(self, number: int) -> bool:
        return self._sender.sent > number
