r"""Regular expressions in linear time, by RE2, else Hyperscan: rules come from many hands and values from attackers.

The flavour is the specification's subset of PCRE, so `$` also matches before a newline that ends the value, and `\w` is
ASCII. What both refuse (look-around, back-references) is a load error.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import cast

import re2
from sigma.policy import SigmaPolicy
from sigma.policy.regex_engine import RegexEngine, RegexPattern

# Flags beyond those that ignore case; RE2 alone lets `^` hold behind the newline that ends a text.
_OWN_FLAGS = re.compile(r"\(\?(?!:|i\)|s\)|is\))|\\[CQKRXNpPAzZGEk]|\[\[:|\(\*")
_INLINE: Mapping[re.RegexFlag, str] = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s"}


class _RefusedError(ValueError):
    """Neither RE2 nor Hyperscan takes an expression."""


class _Engine(RegexEngine):
    """What pySigma compiles names with wildcards by, and checks a rule's expressions with."""

    def compile(self, pattern: str, flags: int = 0) -> RegexPattern:
        letters = "".join(letter for flag, letter in _INLINE.items() if flags & flag)
        whole = f"(?{letters}){pattern}" if letters else pattern
        try:
            compiled: RegexPattern = re2.compile(whole, _options())
        except re2.error as error:
            _second_choice(whole, _reason(error))
            return cast(RegexPattern, None)  # it is only checked
        return compiled

    @property
    def error(self) -> type[Exception]:
        return _RefusedError


def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    return options


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


POLICY = SigmaPolicy(regex_engine=_Engine())


def searcher(pattern: str) -> Callable[[str], bool]:
    """Whether `pattern` is found anywhere in a text.

    Raises:
        ValueError: neither RE2 nor Hyperscan takes the pattern.
    """
    try:
        return _search_of(pattern)
    except _RefusedError as error:
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
        raise _RefusedError(told) from error


class Prefilter:
    """Many expressions put to one text: those that cannot be found in it are excluded by one pass of Hyperscan.

    Hyperscan says which may be found, RE2 which are: so what is found is exactly what `searcher` finds. Where the two
    could read a text differently (beyond ASCII, and with a vertical tab, which is a space to one of them only), and for
    expressions with flags of their own, all are tried.

    Args:
        patterns: by number.
    """

    def __init__(self, patterns: Mapping[int, str]) -> None:
        self._tests = {number: searcher(pattern) for number, pattern in patterns.items()}
        usable = {number: pattern.encode() for number, pattern in patterns.items() if _is_read_alike(pattern)}
        self._untold = list(patterns)
        self._candidates: list[int] = []
        self._look: Callable[[bytes], object] | None = None
        if usable:
            from socmon.sigma.hyperscan_search import scanner  # noqa: PLC0415  as above

            try:
                self._look = scanner(usable, self._candidates, prefilter=True)
            except ValueError:
                return
            self._untold = [number for number in patterns if number not in usable]

    def found_in(self, text: str) -> Iterator[int]:
        """Numbers of the expressions that are found in `text`."""
        numbers: Iterable[int] = self._tests
        if self._look is not None and text.isascii() and "\v" not in text:
            self._look(text.encode())
            numbers = (*self._candidates, *self._untold)
            self._candidates.clear()
        return (number for number in numbers if self._tests[number](text))


def _is_read_alike(pattern: str) -> bool:
    """Whether Hyperscan finds `pattern` wherever RE2 does, in text of ASCII without vertical tabs."""
    return pattern.isascii() and _OWN_FLAGS.search(pattern) is None
