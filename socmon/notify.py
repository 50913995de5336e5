"""What is said to the service manager over `NOTIFY_SOCKET` (sd_notify(3)); it never waits for it, and never fails."""

import os
import socket
import threading
import time
from collections.abc import Mapping

from socmon import log
from socmon.text import printable

_MAX_STATUS_CHARS = 200
_RELOADING = ("RELOADING", "MONOTONIC_USEC")

_log = log.get("notify")


class Manager:
    """The service manager, or nobody where none started this process. May be told of things from any thread.

    What it does not take at once, because its queue is full, goes with what is said next.

    Attributes:
        watchdog_s: seconds within which it wants to hear from us; None if it does not (sd_watchdog_enabled(3)).
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name  # abstract, unix(7)
        self._socket: socket.socket | None = None
        if name:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._lock = threading.Lock()
        self._unsent: dict[str, str] = {}
        self._told = False
        self.watchdog_s = _watchdog_s(environment) if name else None

    def ready(self) -> None:
        """All is up, or up again after `reloading`."""
        self._say({"READY": "1"})

    def reloading(self) -> None:
        """The configuration is being read anew; `ready` must follow."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._say({"RELOADING": "1", "MONOTONIC_USEC": str(now_us)})

    def stopping(self) -> None:
        """The orderly stop has begun."""
        self._say({"STOPPING": "1"})

    def status(self, sentence: str) -> None:
        """Say how things are, as `systemctl status` shows it."""
        self._say(_status(sentence))

    def alive(self, sentence: str) -> None:
        """As `status`, and everything moves."""
        self._say({"WATCHDOG": "1"} | _status(sentence))

    def close(self) -> None:
        """Say nothing more."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = None

    def _say(self, state: dict[str, str]) -> None:
        with self._lock:
            if self._socket is None:
                return
            whole = self._unsent | state
            if "READY" in state:
                whole = {name: value for name, value in whole.items() if name not in _RELOADING}
            try:
                self._socket.sendto("".join(f"{key}={value}\n" for key, value in whole.items()).encode(), self._address)
            except OSError as error:
                self._unsent = {name: value for name, value in whole.items() if name != "WATCHDOG"}
                self._tell(error)
            else:
                self._unsent = {}

    def _tell(self, error: OSError) -> None:
        if not self._told and not isinstance(error, BlockingIOError):
            self._told = True
            _log.warning("the service manager cannot be told how we are", address=self._address, error=str(error))


def _status(sentence: str) -> dict[str, str]:
    return {"STATUS": printable(sentence)[:_MAX_STATUS_CHARS]}


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """As sd_watchdog_enabled(3) finds it out: `WATCHDOG_PID` says for whom `WATCHDOG_USEC` is meant."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    period_us = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    return period_us / 1e6 or None
