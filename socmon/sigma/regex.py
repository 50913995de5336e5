r"""Regular expressions in linear time, by RE2, else Hyperscan: rules come from many hands and values from attackers.

The flavour is the specification's subset of PCRE, so `$` also matches before a newline that ends the value, and `\w` is
ASCII. What both refuse (look-around, back-references) is a load error.
"""

from collections.abc import Callable
from typing import Any

import re2


class RefusedRegexError(ValueError):
    """Neither RE2 nor Hyperscan takes an expression."""


def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    return options


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


def checked(pattern: str) -> Any:
    """RE2's form of `pattern`; None where Hyperscan takes it instead.

    Raises:
        RefusedRegexError: neither takes it.
    """
    try:
        return re2.compile(pattern, _options())
    except re2.error as error:
        _second_choice(pattern, _reason(error))
        return None


def searcher(pattern: str) -> Callable[[str], bool]:
    """Whether `pattern` is found anywhere in a text.

    Raises:
        ValueError: neither RE2 nor Hyperscan takes the pattern.
    """
    try:
        return _search_of(pattern)
    except RefusedRegexError as error:
        raise ValueError(f"regular expression {pattern[:80]!r} is invalid: {error}") from error


def _search_of(pattern: str) -> Callable[[str], bool]:
    try:
        # Bytes in, so that a lone surrogate in a value is replaced instead of raising.
        search = re2.compile(pattern.encode(errors="replace"), _options()).search
    except re2.error as error:
        return _second_choice(pattern, _reason(error))

    def found(text: str) -> bool:
        return search(text.encode(errors="replace")) is not None

    def found_with_dollar(text: str) -> bool:
        data = text.encode(errors="replace")
        return search(data) is not None or (data.endswith(b"\n") and search(data[:-1]) is not None)

    return found_with_dollar if "$" in pattern else found


def _second_choice(pattern: str, reason: str) -> Callable[[str], bool]:
    from socmon.sigma.hyperscan_search import hyperscan_searcher  # noqa: PLC0415  5 MB that nearly no rule needs

    try:
        return hyperscan_searcher(pattern)
    except ValueError as error:
        told = f"RE2 says: {reason}; Hyperscan: {error}; write it with what RE2 knows"
        raise RefusedRegexError(told) from error
