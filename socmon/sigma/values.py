"""How an event's values compare with a rule's: as text without case, as numbers, as addresses.

A list or mapping stands for the values in it, of which any may match. Null and the missing field have no text.
"""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

_FINAL_SIGMA, _SIGMA = "\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}"
DECIMAL = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?", re.ASCII)
_EXACT_DIGITS = 310  # with the sign: a rule cannot hold a longer one; such a number is compared as floating point
_ADDRESS_CHARS = 64
_PRINTED_BITS = 10_000  # Python refuses to print much larger integers in decimal


def fold(text: str) -> str:
    """Text for comparison without case: lower case, with one form of the Greek sigma wherever it stands in a word.

    It may be longer than the original (`İ` becomes two characters), so positions are those of the folded text.
    """
    return text.lower() if text.isascii() else text.lower().replace(_FINAL_SIGMA, _SIGMA)


def text_of(value: Any) -> str:
    """A single value as the text that a log would show: `true`, `5` (also for 5.0), `2.5`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and value.bit_length() > _PRINTED_BITS:
        return hex(value)
    return str(value)


def texts_of(value: Any) -> list[str]:
    """The text of a value, or of every value that a list or mapping holds, however deep; [] for null."""
    if isinstance(value, str):
        return [value]
    found: list[str] = []
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, (list, tuple)):
            pending += reversed(one)
        elif isinstance(one, dict):
            pending += reversed(one.values())
        elif one is not None:
            found.append(text_of(one))
    return found


def number_of(text: str) -> int | float | None:
    """The decimal number that `text` is, exact where it is an integer that a rule can hold; None if it is none."""
    if DECIMAL.fullmatch(text) is None:
        return None
    is_integer = len(text) <= _EXACT_DIGITS and text.lstrip("+-").isdigit()
    return int(text) if is_integer else float(text)


@lru_cache(maxsize=8192)
def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """The IP address that `text` is; None if it is none. `::ffff:192.0.2.1` is the IPv4 address in it."""
    return _parsed(text) if len(text) <= _ADDRESS_CHARS else None
