"""Fuzz target: datagrams as anybody may send them, through a real socket into the `syslog_udp` collector."""

import socket

from harness import FakeContext

from collectors._listening import listen_udp
from collectors.syslog_udp import SyslogUdpCollector, SyslogUdpSettings

MAX_BYTES = 500
_SETTINGS = SyslogUdpSettings(port=0, max_bytes=MAX_BYTES)


def one_input(datagrams: list[bytes]) -> None:
    """Each datagram is one record or counted as empty: its beginning, without what only ends it."""
    context = FakeContext(_SETTINGS)
    collector = SyslogUdpCollector(context)
    with listen_udp("127.0.0.1", 0) as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        collector._listener = listener
        for datagram in datagrams:
            sender.sendto(datagram, listener.getsockname())
        records, read = collector._read()
    expected = [datagram.rstrip(b"\r\n\0")[:MAX_BYTES] for datagram in datagrams]
    assert read == len(datagrams)
    assert [record.data for record in records] == [message for message in expected if message]
    assert context.counts["error.empty"] == expected.count(b"")
    assert context.counts["received"] == len(records)
    assert all(record.source.peer == "127.0.0.1" for record in records)
