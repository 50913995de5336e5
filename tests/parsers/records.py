"""Records for tests of parsers."""

from datetime import UTC, datetime

from socmon.event import Event, Record, Source, to_us
from socmon.parsers import parse

NOW_US = to_us(datetime(2026, 11, 23, 12, 0, tzinfo=UTC))


def record(data: bytes | str, *, anchor: datetime | None = None, zone: str = "UTC", format_: str = "rfc3164") -> Record:
    """A record received at NOW_US, or at `anchor`."""
    source = Source(collector="auth", peer="/var/log/auth.log", format=format_, zone=zone)
    raw = data if isinstance(data, bytes) else data.encode()
    return Record(raw, source, NOW_US if anchor is None else to_us(anchor))


def event(data: bytes | str, format_: str = "rfc3164") -> Event:
    """The event of `data`, received at NOW_US."""
    return parse(record(data, format_=format_))


def sshd(message: str) -> Event:
    """The event of a line that sshd wrote."""
    return event(f"Nov 23 10:00:02 web01 sshd[812]: {message}")
