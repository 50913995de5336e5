"""Many regular expressions put to one text: one pass excludes those that cannot be found in it."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from socmon.sigma.regex import searcher

# What the two may read differently: flags but (?i) and (?s) (to RE2 alone `^` holds behind a text's last newline), some
# escapes (`\\v` is one character to RE2, any vertical space to Hyperscan), classes by name, and verbs.
_OWN_FLAGS = re.compile(r"\(\?(?!:|i\)|s\)|is\))|\\[CQKRXNpPAzZGEkv]|\[\[:|\(\*")


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
        self._candidates: list[int] = []
        self._look: Callable[[bytes], object] | None = None
        if usable:
            from socmon.sigma.hyperscan_search import scanner  # noqa: PLC0415  5 MB that only some rules need

            try:
                self._look = scanner(usable, self._candidates, prefilter=True)
            except ValueError:
                usable = {number: pattern for number, pattern in usable.items() if _is_taken(pattern)}
                self._look = scanner(usable, self._candidates, prefilter=True) if usable else None
        self._untold = [number for number in patterns if number not in usable]

    def found_in(self, text: str) -> Iterator[int]:
        """Numbers of the expressions that are found in `text`."""
        numbers: Iterable[int] = self._tests
        if self._look is not None and text.isascii() and "\v" not in text:
            self._candidates.clear()
            self._look(text.encode())
            numbers = (*self._candidates, *self._untold)
        return (number for number in numbers if self._tests[number](text))


def _is_read_alike(pattern: str) -> bool:
    """Whether Hyperscan finds `pattern` wherever RE2 does, in text of ASCII without vertical tabs."""
    return pattern.isascii() and "\0" not in pattern and _OWN_FLAGS.search(pattern) is None


def _is_taken(pattern: bytes) -> bool:
    """Whether Hyperscan takes it: some of what RE2 takes it refuses, such as `^*`."""
    from socmon.sigma.hyperscan_search import scanner  # noqa: PLC0415  as above

    try:
        scanner({0: pattern}, [], prefilter=True)
    except ValueError:
        return False
    return True
