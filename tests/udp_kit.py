"""Senders of syslog over UDP, and a collector for them on a free port."""

import socket
from contextlib import AbstractAsyncContextManager
from typing import Any

from harness import FakeContext
from listening_kit import listens, where

from collectors.syslog_udp import SyslogUdpCollector, SyslogUdpSettings

UdpContext = FakeContext[SyslogUdpSettings]


def udp_context(**options: Any) -> UdpContext:
    return FakeContext(SyslogUdpSettings(**{"port": 0, **options}), name="net")


def numbered(first: int, last: int) -> list[bytes]:
    return [b"<38>Nov 22 10:00:%02d web1 sshd[%d]: message %d" % (n % 60, n, n) for n in range(first, last + 1)]


def listening(context: UdpContext) -> AbstractAsyncContextManager[SyslogUdpCollector]:
    """A collector that runs, and listens, while the body does."""
    return listens(SyslogUdpCollector(context), context)


def send(context: UdpContext, *messages: bytes, source: str = "", target: str = "") -> None:
    """Send each message as a datagram to the collector; on loopback it is in the collector's socket afterwards."""
    address, port = where(context)
    family = socket.AF_INET6 if ":" in (target or address) else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        if source:
            sender.bind((source, 0))
        for message in messages:
            sender.sendto(message, (target or address, port))
