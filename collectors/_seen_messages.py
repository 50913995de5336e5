"""Which messages the journal has that the broker may not know to be acknowledged, and so may send again.

A broker repeats what it saw no acknowledgement of, under the same number (packet identifier) and marked DUP (MQTT 5.0,
section 4.4). It has at most `in_flight` such messages, and acknowledgements go out in the order of receipt, so they are
among the last `in_flight` that came: whatever is older the broker has let go. A number is used again after that, which
the digest tells apart.
"""

from collections.abc import Iterator
from hashlib import blake2b

_VERSION = b"\x01"
_NUMBER_BYTES = 2
_DIGEST_BYTES = 8
_ENTRY_BYTES = _NUMBER_BYTES + _DIGEST_BYTES
_MOST = 65_535  # numbers there are


def digest_of(topic: str, payload: bytes) -> bytes:
    """What tells one message from another of the same number."""
    made = blake2b(topic.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES)
    made.update(b"\0")  # no topic has one
    made.update(payload)
    return made.digest()


class SeenMessages:
    """Numbers and digests of the last messages in the journal, in the order of their receipt."""

    def __init__(self) -> None:
        self._digests: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._digests)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        yield from self._digests.items()

    @classmethod
    def decode(cls, position: bytes | None) -> "SeenMessages":
        """What `encode` wrote; nothing, where that cannot be read: a message twice is better than one not at all."""
        seen = cls()
        body = (position or _VERSION).removeprefix(_VERSION)
        if position and (position[:1] != _VERSION or len(body) % _ENTRY_BYTES or len(body) > _MOST * _ENTRY_BYTES):
            return seen
        for at in range(0, len(body), _ENTRY_BYTES):
            number = int.from_bytes(body[at : at + _NUMBER_BYTES], "big")
            seen.add(number, body[at + _NUMBER_BYTES : at + _ENTRY_BYTES])
        return seen

    def encode(self) -> bytes:
        """As the position of a record."""
        entries = (number.to_bytes(_NUMBER_BYTES, "big") + digest for number, digest in self._digests.items())
        return _VERSION + b"".join(entries)

    def has(self, number: int, digest: bytes) -> bool:
        """Whether the journal has this message."""
        return self._digests.get(number) == digest

    def add(self, number: int, digest: bytes) -> None:
        """The journal has this message, the last one that came."""
        self._digests.pop(number, None)
        self._digests[number] = digest

    def keep(self, last: int) -> None:
        """Forget all but the `last` ones."""
        for number in list(self._digests)[: max(0, len(self._digests) - last)]:
            del self._digests[number]

    def clear(self) -> None:
        """The broker has no session of ours, so it will repeat nothing."""
        self._digests.clear()
