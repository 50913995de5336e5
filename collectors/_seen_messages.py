"""Which messages the journal has that the broker may not know to be acknowledged, and so may send again.

A broker repeats what it saw no acknowledgement of, under the same number (packet identifier) and marked DUP (MQTT 5.0,
section 4.4). Numbers are used again after an acknowledgement, which the digest tells apart.
"""

from collections.abc import Sequence
from hashlib import blake2b

from msgspec import Struct

_VERSION = b"\x01"
_NUMBER_BYTES = 2
_DIGEST_BYTES = 8
_ENTRY_BYTES = _NUMBER_BYTES + _DIGEST_BYTES
_MOST = 65_536  # numbers there are


def digest_of(topic: str, payload: bytes) -> bytes:
    """What tells one message from another of the same number."""
    made = blake2b(topic.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES)
    made.update(b"\0")  # no topic has one
    made.update(payload)
    return made.digest()


class Seen(Struct, eq=False):
    """One message; `answered` once nothing but a lost acknowledgement can bring it again."""

    number: int
    digest: bytes
    answered: bool = False


class SeenMessages:
    """What the journal has and the broker may repeat; after a restart, from the position."""

    def __init__(self) -> None:
        self._by_number: dict[int, Seen] = {}

    def __len__(self) -> int:
        return len(self._by_number)

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
        entries = (each.number.to_bytes(_NUMBER_BYTES, "big") + each.digest for each in self._by_number.values())
        return _VERSION + b"".join(entries)

    def has(self, number: int, digest: bytes) -> bool:
        """Whether the journal has this message."""
        known = self._by_number.get(number)
        return known is not None and known.digest == digest

    def add(self, number: int, digest: bytes) -> None:
        """The journal has this message, or will have it when the position that tells of it is written."""
        self._by_number[number] = Seen(number, digest)

    def answer(self, number: int) -> None:
        """It was acknowledged, over the connection that is open now."""
        if number in self._by_number:
            self._by_number[number].answered = True

    def answer_all(self) -> None:
        """The broker sends new messages, so of these it repeats none, unless an acknowledgement is lost."""
        for each in self._by_number.values():
            each.answered = True

    @property
    def answered(self) -> list[Seen]:
        """What may be forgotten once the broker has read what we sent it until now."""
        return [each for each in self._by_number.values() if each.answered]

    def forget(self, done: Sequence[Seen]) -> None:
        """The broker has read the acknowledgements of `done`; a number that was given anew since stays."""
        for each in done:
            if self._by_number.get(each.number) is each:
                del self._by_number[each.number]

    def clear(self) -> None:
        """The broker has no session of ours, so it will repeat nothing."""
        self._by_number.clear()
