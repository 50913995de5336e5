"""Text as a reader takes it, in ASCII: escapes undone, marks and invisible characters dropped (Unicode: NFKD, UAX #44).

What is found in the folded text is cut out of the text itself: each folded character knows where it came from.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

OTHER = "\x01"
"""Stands for a sign that is neither a letter, a digit, a dash nor a space."""

MOST_WRAPPINGS = 4
"""Escapes within escapes that are undone; text that is wrapped deeper is not read."""

# A percent sign that is itself escaped any number of times is undone at once.
_ESCAPES = re.compile(
    r"(?:%(?:25)*[0-9A-Fa-f]{2})+|(?:\\{1,8}u[0-9A-Fa-f]{4})+|\\{1,8}(?:u\{[0-9A-Fa-f]{1,6}\}|U[0-9A-Fa-f]{8})|(?:\\{1,8}x[0-9A-Fa-f]{2})+|"
    r"&#(?:[xX][0-9A-Fa-f]{1,6}|[0-9]{1,7});|&(?:commat|period|lowbar|hyphen|nbsp|amp|lt|gt|quot|apos|equals|colon);"
)
_PERCENT = re.compile(r"%(?:25)*([0-9A-Fa-f]{2})")
_HEX = re.compile(r"[xuU]\{?([0-9A-Fa-f]+)")
_ENTITIES = {"&commat;": "@", "&period;": ".", "&lowbar;": "_", "&hyphen;": "-", "&nbsp;": " ", "&amp;": "&"}
_ENTITIES |= {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&equals;": "=", "&colon;": ":"}
_INVISIBLE = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # letters and signs by category, blank by sight
_DOTS = frozenset(
    "\u3002\uff61\u06d4\u00b7\u2022\u2027\u30fb\u22c5"
)  # IDNA's full stops (UTS #46), and dots in the middle
_AS_IT_IS = frozenset(chr(code) for code in (*range(0x20, 0x7F), 0x09, 0x0A, 0x0D))
_ALL_AS_IT_IS = re.compile(r"[\x20-\x7e\t\n\r]*")


class Folded(Struct, frozen=True):
    """A text's folded form.

    Attributes:
        text: ASCII.
        starts, ends: of each of its characters, where that stands in the text itself.
        whole: False where escapes lie within escapes more than MOST_WRAPPINGS deep: `text` does not show all.
    """

    text: str
    starts: Sequence[int]
    ends: Sequence[int]
    whole: bool = True

    def span(self, first: int, end: int) -> tuple[int, int]:
        """Where the folded characters from `first` to before `end` stand in the text itself."""
        return self.starts[first], self.ends[end - 1]


def fold(text: str) -> Folded:
    """The folded form of `text`; takes a time that grows with its length alone."""
    starts: Sequence[int] = range(len(text))
    ends: Sequence[int] = range(1, len(text) + 1)
    for _ in range(MOST_WRAPPINGS):
        if not _escaped(text):
            break
        text, starts, ends = _unwrapped(text, starts, ends)
    whole = not _escaped(text)
    if _ALL_AS_IT_IS.fullmatch(text):
        return Folded(text, starts, ends, whole)
    signs = [*map(_ascii, text)]
    joined = "".join(signs)
    if len(joined) == len(text) and all(signs):  # one for one: each stands where it stood
        return Folded(joined, starts, ends, whole)
    places = [at for at, sign in enumerate(signs) for _ in sign]
    return Folded(joined, [starts[at] for at in places], [ends[at] for at in places], whole)


def _escaped(text: str) -> bool:
    # Most texts have none of the signs, which is seen sooner than that the pattern does not match.
    return ("%" in text or "\\" in text or "&" in text) and _ESCAPES.search(text) is not None


def _unwrapped(text: str, starts: Sequence[int], ends: Sequence[int]) -> tuple[str, list[int], list[int]]:
    """One layer of escapes undone."""
    parts: list[str] = []
    new_starts: list[int] = []
    new_ends: list[int] = []
    done = 0
    for found in _ESCAPES.finditer(text):
        first, end = found.span()
        plain = _plain(found[0])
        parts += (text[done:first], plain)
        new_starts += (*starts[done:first], *[starts[first]] * len(plain))
        new_ends += (*ends[done:first], *[ends[end - 1]] * len(plain))
        done = end
    parts.append(text[done:])
    new_starts += starts[done:]
    new_ends += ends[done:]
    return "".join(parts), new_starts, new_ends


def _plain(escape: str) -> str:
    if escape.startswith("%"):
        return bytes(int(pair, 16) for pair in _PERCENT.findall(escape)).decode("utf-8", "replace")
    if escape.startswith("&#"):
        digits = escape[2:-1]
        return _char(int(digits[1:], 16) if digits[0] in "xX" else int(digits))
    if escape.startswith("&"):
        return _ENTITIES[escape]
    codes = [int(code, 16) for code in _HEX.findall(escape)]
    if escape.lstrip("\\")[0] == "x":
        return bytes(codes).decode("utf-8", "replace")
    # JSON writes a sign beyond U+FFFF as two surrogates (RFC 8259, section 7).
    return "".join(map(_char, codes)).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _char(code: int) -> str:
    return chr(code) if code <= 0x10FFFF else OTHER


@lru_cache(maxsize=8192)
def _ascii(char: str) -> str:
    """The ASCII that is read for `char`: none for a mark or what is invisible, several for a ligature."""
    return "".join(map(_sign, unicodedata.normalize("NFKD", char)))


def _sign(char: str) -> str:
    category = unicodedata.category(char)
    if char in _AS_IT_IS:
        return char
    if char in _INVISIBLE or category in {"Mn", "Me", "Cf", "Cc"}:
        return ""
    if (digit := unicodedata.decimal(char, None)) is not None:
        return str(digit)
    if char in _DOTS:
        return "."
    if category[0] in "LN":
        return "d" if char in "đĐ" else "x"
    return {"Pd": "-", "Pc": "_", "Zs": " ", "Zl": " ", "Zp": " "}.get(category, OTHER)
