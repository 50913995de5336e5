"""Which requests of a client the journal holds, by `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07).

What is known stands in the position of the client's last record and nowhere else: so it is true after a kill too.
"""

import re
import struct
from hashlib import sha256
from typing import Self

from msgspec import Struct

from collectors._http_refusals import RequestRefusedError

KEYS = 64  # requests of a client that are remembered, however long ago
_VERSION = b"\x01"
_BATCHES = struct.Struct(">Q")
_HEAD_BYTES = len(_VERSION) + _BATCHES.size
_ENTRY = struct.Struct(">12s12sI")
_NO_KEY = bytes(12)
_KEY = re.compile(r'"([\x20-\x21\x23-\x5b\x5d-\x7e]{1,255})"|([!#-\[\]-~]{1,255})')


class Asked(Struct, frozen=True):
    """One request as it is remembered.

    Attributes:
        key: digest of its `Idempotency-Key`; zeros where it has none.
        body: digest of what is in it.
    """

    key: bytes
    body: bytes

    @property
    def keyed(self) -> bool:
        """Whether it has a key."""
        return self.key != _NO_KEY

    @classmethod
    def of(cls, key: str, body: bytes) -> Self:
        """Of the text of a key, "" for none, and the digest of a body."""
        return cls(key=sha256(key.encode()).digest()[:12] if key else _NO_KEY, body=body[:12])


class Held:
    """What the journal holds of the last requests of one client.

    Args:
        position: of the client's stream; None if it never sent anything.
    """

    def __init__(self, position: bytes | None) -> None:
        self._batches = 0
        self._left: dict[Asked, int] = {}  # records that are not in the journal; the request that moved last is last
        if position is not None and position[:1] == _VERSION and len(position) >= _HEAD_BYTES:
            self._batches = _BATCHES.unpack_from(position, 1)[0]
            entries = position[_HEAD_BYTES:]
            usable = entries[: len(entries) - len(entries) % _ENTRY.size]
            self._left = {Asked(key=key, body=body): left for key, body, left in _ENTRY.iter_unpack(usable)}

    def left_of(self, asked: Asked, records: int) -> int:
        """How many of its `records`, the last ones, are not in the journal.

        Raises:
            RequestRefusedError: 422, its key was that of another body.
        """
        if asked.keyed and any(each.key == asked.key and each.body != asked.body for each in self._left):
            text = "this Idempotency-Key was that of another body; a new request needs a new key"
            raise RequestRefusedError(422, "key_reused", text)
        return min(self._left.get(asked, records), records)

    def repeats(self, asked: Asked) -> bool:
        """Whether it is a repeat that cannot be told from a new request: there is no key, and all of it is held."""
        return not asked.keyed and self._left.get(asked) == 0

    def after(self, asked: Asked, left: int) -> bytes:
        """The position when all but `left` records of `asked` are in the journal; no two are the same."""
        entries = {**self._left}
        entries.pop(asked, None)
        entries[asked] = left
        newest = list(entries.items())[-KEYS:]
        packed = b"".join(_ENTRY.pack(each.key, each.body, count) for each, count in newest)
        return _VERSION + _BATCHES.pack((self._batches + 1) % (1 << 64)) + packed


def key_of(header: str | None) -> str:
    """The key that a header states, quoted as the draft says or bare; "" for none.

    Raises:
        RequestRefusedError: 400, it is no key.
    """
    if header is None:
        return ""
    found = _KEY.fullmatch(header.strip())
    if found is None:
        text = 'Idempotency-Key must be 1 to 255 printable ASCII characters, such as "8e03978e-40d5-43dd-bc93"'
        raise RequestRefusedError(400, "bad_key", text)
    return found[1] or found[2]
