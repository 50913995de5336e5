"""Syslog over UDP: a datagram is a message (RFC 5426). Plain, without DTLS."""

from typing import ClassVar

from pydantic import Field

from collectors._receiving import LARGEST_BYTES, DatagramCollector, DatagramSettings
from socmon.event import Record, Source


class SyslogUdpSettings(DatagramSettings):
    """Options of `kind: syslog_udp`."""

    max_bytes: int = Field(
        default=LARGEST_BYTES,
        ge=480,  # what every receiver must take (RFC 5426, section 3.2)
        le=LARGEST_BYTES,
        description="Longest message, in bytes. The rest of a longer one is cut off and the cut counted as too_long.",
    )


class SyslogUdpCollector(DatagramCollector[SyslogUdpSettings]):
    """Each datagram is a record."""

    settings_type: ClassVar[type[SyslogUdpSettings]] = SyslogUdpSettings

    def take(self, datagram: bytes, source: Source, now_us: int, records: list[Record]) -> None:
        """A record of the message, without the line ends and NULs that some senders put behind it."""
        message = datagram.rstrip(b"\r\n\0")
        if len(message) > self.settings.max_bytes:
            message = message[: self.settings.max_bytes]
            self._tell_cut(source.peer)
        if message:
            records.append(Record(message, source, now_us))
        else:
            self.context.counters.error("empty")

    def _tell_cut(self, peer: str) -> None:
        self.context.counters.error("too_long")
        if times := self.rarely.times("too_long"):
            self.context.log.warning("message cut at max_bytes", peer=peer, times=times)
