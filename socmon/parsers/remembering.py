"""Readers that remember: PAM and sshd say the same few things of an attacker over and over."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

Reader = Callable[[str], dict[str, Any]]

_MOST_MESSAGES = 4096
_MOST_CHARS = 256  # so what one reader remembers is bounded: 8 MB at most, of messages that are all as long as that


def remembered(read: Reader) -> Reader:
    """`read`, a pure function of the message, which is not asked again about a short one that came lately.

    Whoever asks gets a dictionary of their own; values in it that could be changed must not be.
    """
    known = lru_cache(maxsize=_MOST_MESSAGES)(read)

    @wraps(read)
    def reading(message: str) -> dict[str, Any]:
        return known(message).copy() if len(message) <= _MOST_CHARS else read(message)

    return reading
