"""Kills (-9) at every named failpoint: no line, alert or acknowledgement is lost or doubled, and no state is torn.

Of messages over TCP each kill takes at most the last ones of each connection (docs/semantics.md, "Ledger").
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest
from field import Field, field_in, wait_for
from numbered_sender import Connection, NumberedSender, arrived
from unkilled_kit import check_against_unkilled

FILES = ["vpubnd", "lgsp"]
TCP = "network"
KILLS = [
    *("journal.appended", "journal.appended:3", "journal.appended:2", "journal.appended:5"),
    *("alerts.committed", "alerts.committed:2", "alerts.committed:3", "alerts.committed"),
    *("outbox.replied", "outbox.replied:2", "outbox.replied:3", "outbox.replied"),
    *("journal.write:1:{}", "journal.write:2:{}", "journal.write:3:{}", "journal.write:1:{}", "journal.write:4:{}"),
    *("", "", ""),  # at no failpoint: wherever the daemon is
]
CENTRE_KILLS = ["centre.committed", "centre.committed:2", "centre.committed"]


def stream_until_killed(place: Field, number: int, *, process: str) -> int:
    """Write to both files in turn until the process dies by SIGKILL; return the number of the next line."""
    victim = getattr(place, process)
    first = number

    def dead() -> bool:
        nonlocal number
        if victim.poll() is None and number < first + 4000:
            place.write(FILES[number % 2], number, 5)
            number += 5
        return victim.poll() is not None

    wait_for(dead, f"{process} was not killed: its failpoint was never hit", timeout_s=120)
    assert victim.returncode == -9, (place.root / f"{process}.log").read_text()[-3000:]
    return number


@pytest.mark.timeout(1200)
def test_twenty_kills_lose_no_line_and_double_nothing(tmp_path: Path) -> None:
    rng = random.Random(20)
    kills = [name.format(rng.randrange(0, 900)) for name in rng.sample(KILLS, len(KILLS))]
    assert len(kills) == 20
    with field_in(tmp_path / "cut") as cut, sending_to(cut) as senders:
        cut.start_centre()
        cut.configure(FILES, tcp=[TCP])
        number = 0
        for turn, failpoint in enumerate(kills):
            cut.start_daemon(failpoint)
            if not failpoint:
                wait_for(partial(cut.events, "daemon.log", "started", cut.log_start), "start")
                cut.write(FILES[turn % 2], number, 200)
                number += 200
                assert cut.daemon is not None
                cut.daemon.kill()
            number = stream_until_killed(cut, number, process="daemon")
        number = kill_the_centre(cut, number)
        cut.start_daemon()
        end_sending(cut, senders)
        wait_for(cut.settled, "everything journalled, matched and acknowledged", timeout_s=180)
        cut.stop_daemon()

        assert cut.journalled() == cut.sent
        for sender in senders:
            check_losses(sender, arrived(cut.sent[TCP], sender.host), kills=len(kills) + 1)
        check_against_unkilled(cut, tmp_path / "uncut")


@contextmanager
def sending_to(place: Field) -> Iterator[list[NumberedSender]]:
    """Two senders over TCP, one of each framing, that go on through all kills."""
    port = partial(place.port, TCP)
    senders = [NumberedSender("tcp-counts", port, counted=True), NumberedSender("tcp-lines", port, counted=False)]
    for sender in senders:
        sender.start()
    try:
        yield senders
    finally:
        for sender in senders:
            sender.finish()


def end_sending(place: Field, senders: list[NumberedSender]) -> None:
    """Let each sender close its connection to the last daemon in order; what the journal has then is what came in."""
    before = [len(sender.connections) for sender in senders]
    for sender, connections in zip(senders, before, strict=True):
        wait_for(lambda: sender.sent_since(connections) > 100, f"{sender.host} sends to the last daemon")  # noqa: B023  awaited in its round
        sender.finish()

    def all_in() -> bool:
        journalled = place.journalled().get(TCP, [])
        return all(arrived(journalled, sender.host)[-1:] == [sender.connections[-1].last] for sender in senders)

    wait_for(all_in, "the last message of each sender journalled")
    place.sent[TCP] = place.journalled()[TCP]


class _Sender(Protocol):
    @property
    def host(self) -> str: ...

    @property
    def connections(self) -> Sequence[Connection]: ...


def check_losses(sender: _Sender, numbers: list[int], *, kills: int) -> None:
    """Nothing doubled or reordered; of each connection only its end is lost, of the last one nothing."""
    connections = sender.connections
    assert [each.first for each in connections[1:]] == [each.last + 1 for each in connections[:-1]]
    assert numbers == sorted(set(numbers))
    lost: list[int] = []
    for connection in connections:
        came = [number for number in numbers if connection.first <= number <= connection.last]
        assert came == list(range(connection.first, connection.first + len(came)))
        lost += range(connection.first + len(came), connection.last + 1)
    runs = sum(number - 1 not in lost for number in lost)
    print(f"{sender.host}: {len(numbers)} of {connections[-1].last + 1} arrived over {len(connections)} connections; "
          f"{len(lost)} lost in {runs} runs")  # fmt: skip
    assert len(numbers) + len(lost) == connections[-1].last + 1
    assert runs <= kills
    assert connections[-1].last not in lost
    assert len(connections) > kills // 2


class _Sent:
    """Two connections of a sender: numbers 0 to 4, 5 to 9."""

    host = "h"
    connections = (Connection(0, 4), Connection(5, 9))


@pytest.mark.parametrize(
    "numbers",
    [
        [0, 1, 2, 2, 5, 6, 7, 8, 9],  # one doubled
        [0, 2, 1, 5, 6, 7, 8, 9],  # two changed about
        [0, 2, 3, 4, 5, 6, 7, 8, 9],  # lost in the middle of a connection
        [0, 1, 2, 6, 7, 8, 9],  # lost after the break
        [0, 1, 2, 3, 4, 5, 6, 7, 8],  # lost from the last connection, which no kill broke
    ],
)
def test_any_other_loss_would_be_noticed(numbers: list[int]) -> None:
    check_losses(_Sent(), [0, 1, 2, 5, 6, 7, 8, 9], kills=1)

    with pytest.raises(AssertionError):
        check_losses(_Sent(), numbers, kills=1)


def kill_the_centre(cut: Field, number: int) -> int:
    """Kill the centre between its commit and its reply, with the daemon alive."""
    assert cut.centre is not None
    cut.start_daemon()
    for failpoint in CENTRE_KILLS:
        cut.centre.terminate()
        cut.centre.wait(60)
        cut.start_centre(failpoint)
        number = stream_until_killed(cut, number, process="centre")
        cut.start_centre()
    assert cut.daemon is not None
    cut.daemon.kill()
    cut.daemon.wait(60)
    return number
