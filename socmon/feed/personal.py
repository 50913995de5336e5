"""Personal data in any text: e-mail addresses, Vietnamese telephone numbers, citizen ids, bank cards (ISO/IEC 7812).

Found as a reader would find them, also behind escapes, other scripts' digits, separators and invisible characters
(`socmon.feed.folding`). It is rather too much that is removed than too little: what leaves cannot be called back.
"""

import re
from collections.abc import Iterator, Sequence

import re2
from msgspec import Struct

from socmon.feed.folding import OTHER, Folded, fold

EMAIL = "email"
PHONE = "phone"
CITIZEN_ID = "citizen_id"
BANK_CARD = "bank_card"
KINDS = (EMAIL, PHONE, CITIZEN_ID, BANK_CARD)
UNREADABLE = "unreadable"
"""Told of a text that is removed whole, for it is wrapped deeper than it is read."""

_MOST_DIGITS = 19
_MOST_ROUNDS = 3
_LABEL_REACH = 40
_DIGITS = re.compile(r"[0-9]+")
_GAP = re.compile(rf"[ \t.,()+_/{OTHER}-]{{1,4}}")
# As people write them; RFC 5322 allows more, which would join an address to the words of a URL before it. One label
# is enough for the domain: `root@web-01` names a user, and a host.
_EMAIL = re2.compile(
    r"""(?:"[^"\n]{1,64}"|[A-Za-z0-9.!#$%'*+^_~-]+)\\*[ \t]{0,2}@[ \t]{0,2}\[?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"""
)
# National numbers (the plan of 2017-2018): mobile and fixed, and the mobile ones of eleven digits from before.
_PHONE = re.compile(r"(?:(?:00)?840?|0)(?:[35789][0-9]{8}|2[0-9]{9}|1[2689][0-9]{8})")
# Twelve digits of which the first three name a province (Decree 137/2015/ND-CP, Art. 13, in its forms since).
_CITIZEN_ID = re.compile(r"0(?:0[1-9]|[1-8][0-9]|9[0-6])[0-9]{9}")
# Nine digits are anything; these words before them say that they name a person.
_LABEL = re.compile(
    r"(?i)(?:cmnd|cmtnd|cmt|cccd|chung minh|can cuoc|dinh danh|so giay to|citizen|id[ _-]?card|national[ _-]?id|"
    r"identity)[^0-9\n]*\Z"
)
_CARD = re.compile(r"[2-69][0-9]{12,18}")
# Of Vietnamese banks (NAPAS); not all that were issued have a check digit.
_DOMESTIC_CARD = re.compile(r"9704[0-9]{12}(?:[0-9]{3})?")


class Found(Struct, frozen=True):
    """Personal data at [start, end) of a text; `kind` is one of KINDS."""

    start: int
    end: int
    kind: str


def find(text: str) -> list[Found]:
    """All personal data in `text`, in order; places may overlap."""
    return sorted(_found(fold(text)), key=lambda found: (found.start, found.end))


def without(text: str) -> tuple[str, list[str]]:
    """`text` with `[email]`, `[phone]`, … in the place of what was found, and which kinds there were.

    A text that is wrapped too deep to be read becomes `[unreadable]`, and so does one that names a person still after
    three rounds, which takes more art than a log line has.
    """
    kinds: dict[str, None] = {}
    for _ in range(_MOST_ROUNDS):
        folded = fold(text)
        if not folded.whole:
            return f"[{UNREADABLE}]", [*kinds, UNREADABLE]
        found = sorted(_found(folded), key=lambda each: (each.start, each.end))
        if not found:
            return text, [*kinds]
        kinds |= dict.fromkeys(each.kind for each in found)
        text = replaced(text, [(each.start, each.end, f"[{each.kind}]") for each in found])
    return f"[{UNREADABLE}]", [*kinds, UNREADABLE]


def replaced(text: str, places: Sequence[tuple[int, int, str]]) -> str:
    """`text` with other words at `places`, (start, end, words) in the order of their starts.

    Those that overlap go as one, under the words of the first.
    """
    parts: list[str] = []
    done = 0
    for start, end, words in places:
        if start >= done:
            parts += (text[done:start], words)
        done = max(done, end)
    return "".join([*parts, text[done:]])


def _found(folded: Folded) -> Iterator[Found]:
    text = folded.text
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield Found(*folded.span(*match.span()), EMAIL)
    groups = [match.span() for match in _DIGITS.finditer(text)]
    for first in range(len(groups)):
        yield from _numbers(folded, groups, first)


def _numbers(folded: Folded, groups: Sequence[tuple[int, int]], first: int) -> Iterator[Found]:
    """What the groups of digits from `first` on are, read as one number as far as only separators part them."""
    text, begin = folded.text, groups[first][0]
    digits = ""
    for at in range(first, min(first + _MOST_DIGITS, len(groups))):
        start, end = groups[at]
        if at > first and not _GAP.fullmatch(text, groups[at - 1][1], start):
            return
        if len(digits) + end - start > _MOST_DIGITS:
            return
        digits += text[start:end]
        if len(digits) >= 9 and (kind := _kind(digits, text, begin)):
            yield Found(*folded.span(begin, end), kind)


def _kind(digits: str, text: str, begin: int) -> str:
    """What `digits` name, which begin at `begin` of `text`; "" if nothing."""
    if _PHONE.fullmatch(digits):
        return PHONE
    if _CITIZEN_ID.fullmatch(digits):
        return CITIZEN_ID
    if len(digits) in {9, 12} and _LABEL.search(text[max(0, begin - _LABEL_REACH) : begin]):
        return CITIZEN_ID
    is_card = _DOMESTIC_CARD.fullmatch(digits) or (_CARD.fullmatch(digits) and _luhn(digits))
    return BANK_CARD if is_card else ""


def _luhn(digits: str) -> bool:
    """Whether the check digit is right (ISO/IEC 7812-1, annex B)."""
    doubled = (int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits)))
    return sum(number - 9 * (number > 9) for number in doubled) % 10 == 0
