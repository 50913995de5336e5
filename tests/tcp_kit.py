"""Senders of syslog over TCP, and a collector for them on a free port."""

import asyncio
import socket
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Self

from harness import LIMIT_S, FakeContext
from listening_kit import listens, where

from collectors.syslog_tcp import SyslogTcpCollector, SyslogTcpSettings

TcpContext = FakeContext[SyslogTcpSettings]


def tcp_context(**options: Any) -> TcpContext:
    return FakeContext(SyslogTcpSettings(**{"port": 0, **options}), name="net")


def numbered(first: int, last: int) -> list[bytes]:
    return [b"<38>Nov 22 10:00:%02d web1 sshd[%d]: message %d" % (n % 60, n, n) for n in range(first, last + 1)]


def lines(*messages: bytes) -> bytes:
    """Framed by newlines."""
    return b"".join(message + b"\n" for message in messages)


def counted(*messages: bytes) -> bytes:
    """Framed by octet counts."""
    return b"".join(b"%d %b" % (len(message), message) for message in messages)


def listening(context: TcpContext) -> AbstractAsyncContextManager[SyslogTcpCollector]:
    """A collector that runs, and listens, while the body does."""
    return listens(SyslogTcpCollector(context), context)


class Sender:
    """A connection to the collector, unbuffered, of which the test sees all."""

    def __init__(self, context: TcpContext, *, source: str = "", target: str = "") -> None:
        address, port = where(context)
        family = socket.AF_INET6 if ":" in (target or address) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(LIMIT_S)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((target or address, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    async def send(self, data: bytes) -> None:
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(self.socket, data), LIMIT_S)

    async def ended(self) -> None:
        """Wait until the collector has closed, in order or by a reset."""
        with suppress(ConnectionResetError):
            assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.socket, 1), LIMIT_S) == b""

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close by RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
