"""A sender of syslog over UDP as they are: it sends, and never learns what came of it. It numbers its messages."""

import socket
import threading

from field import failure_line

_BURST = 5
_PAUSE_S = 0.01


class NumberedDatagrams:
    """Sends failures number 0, 1, 2, … of `host` to a port of this machine, each once, from `start` to `finish`.

    Attributes:
        host: what its messages say; names it in the journal.
        sent: how many were sent; the next one's number.
        begun: how many may have been sent: one more while that is at hand.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.sent = self.begun = 0
        self._port = port
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=host)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        self._ending.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not self._ending.wait(_PAUSE_S):
                for _ in range(_BURST):
                    message = f"<38>{failure_line(self.sent, self.host)}".encode()
                    self.begun = self.sent + 1
                    sender.sendto(message, ("127.0.0.1", self._port))
                    self.sent += 1
