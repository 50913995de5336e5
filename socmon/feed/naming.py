"""Names that are known, found in a line however they are spelt there: a user's and a host's, whole and in short."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from socmon.feed.folding import Folded, fold

_WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_BACKSLASHES = re.compile(r"\\+")


def short_user(name: str) -> Iterator[str]:
    r"""Without the domain: `bao` of `CORP\bao`, `bao@tinh.example`, `tinh/bao`; `web-01` of a machine's `web-01$`."""
    bare = re.split(r"[\\/]", name.strip())[-1].partition("@")[0]
    for short in (bare, bare.rstrip("$")):
        if short.strip() and short != name:
            yield short


def short_host(name: str) -> Iterator[str]:
    """A host's name without the domain: `web-01` of `web-01.tinh.example`. A label of digits alone names nothing."""
    short = re.split(r"[.\u3002\uff0e\uff61]", name.strip())[0]
    if short.strip() and short != name and not short.isdecimal():
        yield short


class Names:
    """Names, and what is to stand in their place.

    Args:
        instead: by name; of two that are read alike the first counts.
    """

    def __init__(self, instead: Mapping[str, str]) -> None:
        self._plain: dict[str, str] = {}
        self._of_domains: dict[str, str] = {}
        for name, words in instead.items():
            read = _BACKSLASHES.sub(r"\\", fold(name).text.lower().strip())
            if read:
                (self._of_domains if "\\" in read else self._plain).setdefault(read, words)

    def places(self, line: str, folded: Folded) -> Iterator[tuple[int, int, str]]:
        """(start, end, words) in `line`, which was folded: each name, where it stands as a word."""
        text = folded.text.lower()
        for name, words in self._plain.items():
            start = text.find(name)
            while start >= 0:
                end = start + len(name)
                # The backslash of a domain and those of an escape that follows it are undone as one.
                begins = (
                    text[start - 1 : start] not in _WORD or "\\\\" in line[folded.starts[start] : folded.ends[start]]
                )
                if begins and text[end : end + 1] not in _WORD:
                    yield (*folded.span(start, end), words)
                start = text.find(name, start + 1)
        if self._of_domains and "\\" in text:
            for name, words in self._of_domains.items():
                for match in _of_a_domain(name).finditer(text):
                    yield (*folded.span(*match.span()), words)


@lru_cache(maxsize=512)
def _of_a_domain(name: str) -> re.Pattern[str]:
    """JSON doubles the backslash of a domain's user, and doubles it again where it is wrapped once more."""
    written = re.escape(name).replace(r"\\", r"\\+")
    return re.compile(rf"(?<![a-z0-9]){written}(?![a-z0-9])")
