"""A sender of syslog over TCP as they are: no answer, a new connection after a break. It numbers its messages."""

import re
import socket
import threading
from collections.abc import Callable
from typing import NamedTuple

from field import failure_line

_NUMBER = re.compile(r" (\S+) sshd\[(\d+)\]:")
_BURST = 5
_PAUSE_S = 0.02


class Connection(NamedTuple):
    """The numbers that one connection was given to carry, both ends included."""

    first: int
    last: int


class NumberedSender:
    """Sends failures number 0, 1, 2, … of `host`, each once, from `start` to `finish`; a thread of its own.

    Attributes:
        host: what its messages say; names it in the journal.
        connections: in their order; each goes on after the last number that was tried on the one before.
    """

    def __init__(self, host: str, port: Callable[[], int | None], *, counted: bool) -> None:
        self.host = host
        self.connections: list[Connection] = []
        self._port = port
        self._counted = counted
        self._number = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=host)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Close the last connection in order."""
        self._ending.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def sent_since(self, connections: int) -> int:
        """How many messages went out over connections after the first `connections` of them."""
        return sum(each.last - each.first + 1 for each in self.connections[connections:])

    def _line(self) -> str:
        """Of addresses of its own: each sender has its own time, and events that are late for an address cost much."""
        network = "198.51.100." if self._counted else "192.0.2."
        return failure_line(self._number, self.host).replace("203.0.113.", network)

    def _run(self) -> None:
        while not self._ending.wait(_PAUSE_S):
            port = self._port()
            if port is None:
                continue
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                    self._send(connection)
            except OSError:
                pass  # a break: what was not read is lost, and nobody says what that is

    def _send(self, connection: socket.socket) -> None:
        first = self._number
        while not self._ending.wait(_PAUSE_S):
            for _ in range(_BURST):
                # Noted before it is sent: where a message is whose sending failed, nobody knows.
                if self._number == first:
                    self.connections.append(Connection(first, first))
                self.connections[-1] = Connection(first, self._number)
                message = f"<38>{self._line()}".encode()
                self._number += 1
                connection.sendall(b"%d %b" % (len(message), message) if self._counted else message + b"\n")


def arrived(journalled: list[str], host: str) -> list[int]:
    """The numbers of `host` in the order of the journal."""
    found = (_NUMBER.search(line) for line in journalled)
    return [int(each[2]) - 100 for each in found if each and each[1] == host]
