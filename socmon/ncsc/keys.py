"""The centre's certificate, key and authority, followed while it runs: what was renewed is used without a restart."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from socmon.errors import ConfigError
from socmon.expiring import Expiring
from socmon.log import get
from socmon.tls import Renewed, authority_expiry, expiry, server_context

_LOOK_S = 1.0
_TELL_AGAIN_S = 60.0

log = get("ncsc")


class ServerKeys:
    """Keeps the last keys that could be used.

    Attributes:
        context: for the listener, for as long as it listens. It hands each handshake to the context of today's keys.

    Raises:
        ConfigError: a file cannot be used, or its certificate not today.
    """

    def __init__(self, ca: Path, cert: Path, key: Path) -> None:
        self._ca = ca
        self._cert = cert
        self._refused: dict[str, float] = {}
        self._expiring = Expiring("ncsc", log)
        make = partial(server_context, ca, cert, key, self._refuse)
        self._renewed = Renewed(make, [cert, key], [ca])
        self._today = self._renewed.current()
        self.context = make()
        # Called in every handshake, with or without a server name; it moves certificate, key and authorities alike.
        self.context.sni_callback = self._hand_over
        self._problem = ""

    async def follow(self, renewed: Callable[[], Awaitable[None]]) -> None:
        """Look at the files until cancelled; `renewed` is awaited after other keys have taken effect."""
        while True:
            await asyncio.sleep(_LOOK_S)
            before = self._today
            await asyncio.to_thread(self._look)
            if self._today is not before:
                await renewed()  # first, so that whoever reads the log knows that nobody goes on with the old ones
                log.info("keys renewed", cert=self._cert, ca=self._ca)

    def _look(self) -> None:
        self._expiring.look({self._cert: expiry(self._cert), self._ca: authority_expiry(self._ca)})
        try:
            self._today = self._renewed.current()
        except ConfigError as error:
            if str(error) != self._problem:
                log.error("keys cannot be renewed, the last ones stay", error=str(error))  # noqa: TRY400  the text says it
            self._problem = str(error)
        else:
            self._problem = ""

    def _hand_over(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _outer: ssl.SSLContext) -> None:
        connection.context = self._today

    def _refuse(self, reason: str, said: str) -> None:
        """Tell of a client that was not let in; the same reason at most once a minute, whoever hammers at the door."""
        now_s = time.monotonic()
        if now_s >= self._refused.get(reason, 0.0):
            self._refused[reason] = now_s + _TELL_AGAIN_S
            log.warning("client refused at the handshake", reason=reason, error=said)
