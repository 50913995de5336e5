"""A small service manager: hears what a daemon says over NOTIFY_SOCKET, in an order that tests can wait for."""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from field import wait_for

Message = dict[str, str]


class FakeManager:
    """Hears everything until closed.

    Args:
        name: where it listens; with `@` first in the abstract name space.

    Attributes:
        heard: the messages, in order; each as its assignments.
        environment: what a process must be started with to speak to it.
    """

    def __init__(self, name: str, watchdog_s: float | None = None) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        self.heard: list[Message] = []
        self.environment = {"NOTIFY_SOCKET": name}
        if watchdog_s is not None:
            self.environment["WATCHDOG_USEC"] = str(round(watchdog_s * 1e6))

    def listen(self) -> list[Message]:
        """All that was heard by now."""
        while True:
            try:
                text = self._socket.recv(65_536).decode()
            except BlockingIOError:
                return self.heard
            self.heard.append(dict(line.split("=", 1) for line in text.splitlines()))

    def wait(self, what: Callable[[Message], object], after: int = 0, timeout_s: float = 40.0) -> int:
        """Wait for a message from number `after` on; its number."""
        found: list[int] = []

        def heard() -> bool:
            found[:] = [number for number, each in enumerate(self.listen()) if number >= after and what(each)]
            return bool(found)

        wait_for(heard, f"a message; the last ones were {self.heard[-3:]}", timeout_s)
        return found[0]

    def close(self) -> None:
        self._socket.close()


@contextmanager
def manager_in(watchdog_s: float | None = None, *, abstract: bool = False) -> Iterator[FakeManager]:
    # A short name of its own: the kernel takes 107 bytes, and folders of tests have long ones.
    with tempfile.TemporaryDirectory(prefix="socmon-") as folder:
        manager = FakeManager(f"@{folder}-{os.getpid()}" if abstract else f"{folder}/notify", watchdog_s)
        try:
            yield manager
        finally:
            manager.close()
