"""What the start of every segment repeats of all that came before it: last positions and settled sources."""

from collections.abc import Sequence
from threading import Lock
from typing import TypeVar

import msgspec
from msgspec import Struct

from socmon.event import Record, Source

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

MAX_SOURCES = 10_000
MAX_POSITIONS = 20_000


class _Stored(Struct, array_like=True, frozen=True):
    """As written; the least recent first."""

    positions: list[tuple[str, str, bytes]]
    sources: list[Source]


class Carry:
    """Last position of each (collector, stream), last settled Source of each (collector, peer); safe from any thread.

    Bounded: the ones written least recently are forgotten.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._positions: dict[tuple[str, str], bytes] = {}
        self._sources: dict[tuple[str, str], Source] = {}

    @classmethod
    def decode(cls, data: bytes) -> "Carry":
        """The carry that `encode` wrote. Raises msgspec.MsgspecError, ValueError or RecursionError if it is none."""
        stored = msgspec.msgpack.decode(data, type=_Stored)
        carry = cls()
        carry._positions = {(collector, stream): at for collector, stream, at in stored.positions}
        carry._sources = {(source.collector, source.peer): source for source in stored.sources}
        return carry

    def encode(self) -> bytes:
        """As bytes for the head of a segment."""
        with self._lock:
            positions = [(collector, stream, at) for (collector, stream), at in self._positions.items()]
            return msgspec.msgpack.encode(_Stored(positions, list(self._sources.values())))

    def update(self, records: Sequence[Record]) -> None:
        """Take in records that were written; a source that is still "auto" has settled nothing."""
        moved = {
            (record.source.collector, record.position[0]): record.position[1]
            for record in records
            if record.position is not None
        }
        # From the end, so that the last word on a peer stands; by identity, as many records share a source.
        distinct = {id(record.source): record.source for record in reversed(records)}
        settled = {
            (source.collector, source.peer): source for source in reversed(distinct.values()) if source.format != "auto"
        }
        with self._lock:
            _renew(self._positions, moved, MAX_POSITIONS)
            _renew(self._sources, settled, MAX_SOURCES)

    def position(self, collector: str, stream: str) -> bytes | None:
        """The last position written for `stream`; None if there is none."""
        with self._lock:
            return self._positions.get((collector, stream))

    def sources(self) -> dict[tuple[str, str], Source]:
        """A copy: (collector, peer) → Source, the least recent first."""
        with self._lock:
            return dict(self._sources)


def _renew(held: dict[KeyT, ValueT], newer: dict[KeyT, ValueT], bound: int) -> None:
    for key, value in newer.items():
        held.pop(key, None)
        held[key] = value
    while len(held) > bound:
        del held[next(iter(held))]
