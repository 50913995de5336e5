"""Fuzz target: messages of any kind and positions of any bytes, as the `kafka` collector reads them."""

from msgspec import Struct

from collectors._kafka_messages import records_of
from collectors._kafka_positions import Known, decode, encode, partition_of, start_of, stream_of
from socmon.errors import ComponentError
from socmon.event import Source

MAX_BYTES = 300
_SOURCE = Source("bus", stream_of("logs", 3))


class Message(Struct):
    """One as aiokafka gives it."""

    offset: int
    value: bytes | None


def one_input(values: list[tuple[int, bytes | None]], position: bytes, stream: str) -> None:
    """Each message is a record or counted; a position is one of ours or refused; a stream is a partition or nothing."""
    messages, offset = [], 0
    for step, value in values:
        offset += 1 + step
        messages.append(Message(offset, value))
    records, found = records_of(messages, _SOURCE, received_us=1, max_bytes=MAX_BYTES)
    wanted = [(each.offset, (each.value or b"").rstrip(b"\r\n\0")) for each in messages]
    assert len(records) + found["empty"] == len(messages)
    assert [record.data for record in records] == [data[:MAX_BYTES] for _, data in wanted if data]
    assert found["too_long"] == sum(len(data) > MAX_BYTES for _, data in wanted)
    positions = [record.position for record in records]
    assert positions == [(_SOURCE.peer, encode(at + 1)) for at, data in wanted if data]
    if (part := partition_of(stream)) is not None:
        assert partition_of(stream_of(*part)) == part
    try:
        at = decode(position, "logs/3")
    except ComponentError as error:
        assert not error.retry  # noqa: PT017  told or read, nothing else
        return
    assert decode(encode(at), "logs/3") == at


def one_start(journalled: int | None, committed: int | None, first: int, more: int) -> None:
    """Reading goes on within what the brokers have, and passes over nothing without a word."""
    known = Known(journalled, committed, first, first + more)
    start = start_of(known, unknown_at="beginning")
    behind = max(-1 if journalled is None else journalled, -1 if committed is None else committed)
    assert first <= start.offset <= first + more
    assert start.offset <= max(behind, first)  # no record that is there and unread is passed over
    assert start.trouble or start.offset >= behind  # none is read twice without a word
    assert start.lost == (first - behind if start.trouble == "expired" else 0)
