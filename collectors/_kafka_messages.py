"""Messages of a partition of Kafka as records."""

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from collectors._kafka_positions import encode
from socmon.event import Record, Source


class Message(Protocol):
    """What of aiokafka's ConsumerRecord is looked at."""

    offset: int
    value: bytes | None


def records_of(
    messages: Iterable[Message], source: Source, *, received_us: int, max_bytes: int
) -> tuple[list[Record], Counter[str]]:
    """A record for each message that says something; its stream is the source's peer.

    A value is taken without the line ends and NULs that some producers put behind it. Keys and headers are not kept.

    Returns:
        The records, and how many messages were empty (also those without a value, which tell a compacted topic to
        forget a key) and too_long.
    """
    records, found = [], Counter[str]()
    for message in messages:
        data = (message.value or b"").rstrip(b"\r\n\0")
        if not data:
            found["empty"] += 1
            continue
        if len(data) > max_bytes:
            data = data[:max_bytes]
            found["too_long"] += 1
        records.append(Record(data, source, received_us, (source.peer, encode(message.offset + 1))))
    return records, found
