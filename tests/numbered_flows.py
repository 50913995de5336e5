"""An exporter of NetFlow v9 that numbers its flows, never learns what came of them, and tells its template once."""

import json
import socket
import threading
from collections.abc import Sequence

from netflow_kit import FIELDS4, a_set, flow, records, template, v9

FLOWS = 3  # in a datagram
_PAUSE_S = 0.01


class NumberedFlows:
    """Sends flows number 0, 1, 2, … to a port of this machine, each once, from `start` to `finish`.

    Attributes:
        sent: how many were sent; the next one's number.
        begun: how many may have been sent: those of one datagram more while that is at hand.
    """

    def __init__(self, port: int) -> None:
        self.sent = self.begun = 0
        self._port = port
        self._datagrams = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="exporter")

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        self._ending.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", self._port))
            sender.send(v9(a_set(0, template(256, FIELDS4))))
            while not self._ending.wait(_PAUSE_S):
                flows = [flow(7, _2=self.sent + number) for number in range(FLOWS)]
                self._datagrams += 1
                self.begun = self.sent + FLOWS
                sender.send(v9(a_set(256, records(FIELDS4, *flows)), sequence=self._datagrams))
                self.sent += FLOWS


def flows_of(lines: Sequence[str]) -> list[int]:
    """The numbers of the flows in `lines`, in their order."""
    return [json.loads(line)["orig_pkts"] for line in lines]
