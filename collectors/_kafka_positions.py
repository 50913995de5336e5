"""Where a partition of Kafka is read on: the journal's positions against what the group and the brokers know."""

import re
from typing import Literal, NamedTuple

from socmon.errors import ComponentError
from socmon.kafka import TOPIC

Trouble = Literal["", "expired", "ahead"]
_MAX_OFFSET = 2**63 - 1
_STREAM = re.compile(rf"({TOPIC})/(\d{{1,10}})")


class Known(NamedTuple):
    """What is known of a partition; offsets are those of the next record.

    Attributes:
        journalled: behind the last record in our journal; None if there is none.
        committed: what the group has committed; None if nothing.
        first, end: the first record that the brokers still have, and behind the last one.
    """

    journalled: int | None
    committed: int | None
    first: int
    end: int


class Start(NamedTuple):
    """Where to read on.

    Attributes:
        trouble: expired: records between the position and `offset` are gone; ahead: the position is behind the end,
            so that the partition is another one, or has lost its end.
    """

    offset: int
    trouble: Trouble = ""
    lost: int = 0


def start_of(known: Known, *, unknown_at: Literal["beginning", "end"]) -> Start:
    """Where to read on: behind what is in our journal, or in that of another socmon of the group.

    What one of us commits is in its journal and safe there. So a committed offset beyond our position was journalled by
    another one that had the partition in between, or was set by an operator who wants records passed over.
    """
    positions = [each for each in (known.journalled, known.committed) if each is not None]
    if not positions:
        return Start(known.first if unknown_at == "beginning" else known.end)
    offset = max(positions)
    if offset > known.end:
        return Start(known.first, "ahead")
    if offset < known.first:
        return Start(known.first, "expired", known.first - offset)
    return Start(offset)


def stream_of(topic: str, partition: int) -> str:
    """The stream of a partition, and its peer."""
    return f"{topic}/{partition}"


def partition_of(stream: str) -> tuple[str, int] | None:
    """What `stream_of` was made from; None where that was something else."""
    found = _STREAM.fullmatch(stream)
    return (found[1], int(found[2])) if found else None


def encode(offset: int) -> bytes:
    """The position behind a record: the offset of the next one."""
    return b"%d" % offset


def decode(data: bytes, stream: str) -> int:
    """Raises ComponentError: not a position of this version."""
    text = data[:20].decode("ascii", "replace")
    if len(data) > 19 or not (text.isascii() and text.isdigit()) or int(text) > _MAX_OFFSET:
        raise ComponentError(
            f"cannot go on in {stream}: its position {data[:20]!r} was written by another version of socmon; "
            "run that version, or rename the collector to start afresh",
            retry=False,
        )
    return int(text)
