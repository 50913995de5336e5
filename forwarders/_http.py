"""What forwarders over HTTP share: name look-ups that hold up nobody, bounded answers, the wait that is asked for."""

import socket
from email.utils import parsedate_to_datetime
from functools import partial
from math import isfinite
from time import time

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from forwarders._own_thread import in_own_thread

_MAX_WAIT_S = 3600.0


class Resolver(AbstractResolver):
    """Looks names up in a thread of its own: aiohttp's would take one of the pool that all of socmon shares."""

    def __init__(self, forwarder: str) -> None:
        self._forwarder = forwarder

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of `host`.

        Raises:
            ComponentError: the last lookup still hangs.
            OSError: there is no such name, or nobody to ask.
        """
        look = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        name = f"name lookup of {host} by {self._forwarder}"
        found = await in_own_thread(look, name=name, remedy="check the name servers in /etc/resolv.conf")
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=proto, flags=socket.AI_NUMERICHOST
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


async def bounded(content: aiohttp.StreamReader, max_bytes: int) -> bytes:
    """All of an answer.

    Raises:
        ClientPayloadError: it is longer than `max_bytes`.
    """
    body = bytearray()
    while chunk := await content.read(65536):
        body += chunk
        if len(body) > max_bytes:
            raise aiohttp.ClientPayloadError(f"the answer is larger than {max_bytes} bytes")
    return bytes(body)


def wait_s(retry_after: str) -> float:
    """Seconds that `Retry-After` asks for, as a number or as a date (RFC 9110, section 10.2.3); at most an hour."""
    try:
        asked_s = float(retry_after)
    except ValueError:
        try:
            asked_s = parsedate_to_datetime(retry_after).timestamp() - time()
        except (ValueError, OverflowError):
            return 0.0
    return min(max(asked_s, 0.0), _MAX_WAIT_S) if isfinite(asked_s) else 0.0


async def answer(response: aiohttp.ClientResponse, max_bytes: int) -> tuple[int, bytes, float]:
    """Status, body, and the wait in seconds that was asked for.

    Raises:
        ClientPayloadError: the body is longer than `max_bytes`.
    """
    body = await bounded(response.content, max_bytes)
    return response.status, body, wait_s(response.headers.get("Retry-After", ""))
