"""What one value of a rule, with its modifiers, asks of one text of an event: Sigma's modifiers appendix, read plainly.

A value is a list of tokens: characters, and the wildcards `*` and `?`. Modifiers are applied in the order in which they
are written, and turn it into others.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import product
from typing import Any, NamedTuple

Wanted = Callable[[str], bool]


class Wildcard(NamedTuple):
    sign: str


MANY, ONE = Wildcard("*"), Wildcard("?")
Tokens = list[str | Wildcard]

ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
}
DASHES = "-/\N{EN DASH}\N{EM DASH}\N{HORIZONTAL BAR}"
CODECS = {"wide": "utf-16-le", "utf16le": "utf-16-le", "utf16": "utf-16-le", "utf16be": "utf-16-be"}
WHEN = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
    r"(?:[T ](?P<hour>\d\d):(?P<minute>\d\d)(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
PARTS = ("minute", "hour", "day", "week", "month", "year")


def text_of(value: Any) -> str:
    """As a log shows it: `true`, `5` also for 5.0, `2.5`."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


@lru_cache(maxsize=10_000)
def folded(text: str) -> str:
    """Each letter in lower case by itself; the sigma at a word's end is a sigma."""
    return "".join(letter.lower() for letter in text).replace("ς", "\N{GREEK SMALL LETTER SIGMA}")


@lru_cache(maxsize=100_000, typed=True)  # typed: 1 is not true
def wanted_of(value: Any, modifiers: tuple[str, ...], *, anywhere: bool) -> list[Wanted]:
    """What is asked of a text, any of it.

    Args:
        anywhere: it is a keyword, which may stand anywhere in a text.
    """
    if "re" in modifiers:
        return [expression(value, modifiers)]
    if "cidr" in modifiers:
        return [lambda text: within(text, value)]
    part = next((one for one in modifiers if one in PARTS), None)
    order = next((ORDER[one] for one in modifiers if one in ORDER), None)
    if part:
        return [lambda text: (read := part_of(text, part)) is not None and (order or int.__eq__)(read, value)]
    if order:
        return [lambda text: (read := number_of(text)) is not None and order(read, Decimal(str(value)))]
    forms: list[Tokens] = [tokens_of(value) if isinstance(value, str) else list(text_of(value))]
    data: bytes | None = None
    for modifier in modifiers:
        if modifier in CODECS:
            mark = "\ufeff" if modifier == "utf16" else ""
            data = (mark + plain(forms[0])).encode(CODECS[modifier])
            forms = [list((mark.encode() + plain(forms[0]).encode(CODECS[modifier])).decode())]
        elif modifier in ("base64", "base64offset"):
            data = plain(forms[0]).encode() if data is None else data
            shifts = (0, 1, 2) if modifier == "base64offset" else (0,)
            forms = [list(shifted(data, shift, cut=modifier == "base64offset")) for shift in shifts]
        else:
            forms = [form for one in forms for form in changed(one, modifier)]
    cased = "cased" in modifiers
    around = [MANY] if anywhere else []
    return [matcher([*around, *form, *around], cased=cased) for form in forms]


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def tokens_of(text: str) -> Tokens:
    r"""`\*` and `\?` are plain, `\\` is one backslash, and any other backslash is itself."""
    found: Tokens = []
    for escaped, sign in re.findall(r"(?s)\\([*?\\])|(.)", text):
        found.append(escaped or {"*": MANY, "?": ONE}.get(sign, sign))
    return found


def plain(tokens: Tokens) -> str:
    return "".join(token for token in tokens if isinstance(token, str))


def changed(tokens: Tokens, modifier: str) -> Iterator[Tokens]:
    if modifier == "windash":
        yield from dashed(tokens)
    else:
        before = [MANY] if modifier in ("contains", "endswith") else []
        behind = [MANY] if modifier in ("contains", "startswith") else []
        yield [*before, *tokens, *behind]


def dashed(tokens: Tokens) -> Iterator[Tokens]:
    """Each dash or slash that begins a word is any of the dashes."""

    def is_word(place: int) -> bool:
        token = tokens[place] if 0 <= place < len(tokens) else ""
        return isinstance(token, str) and re.match(r"\w", token) is not None

    begins = [
        token in ("-", "/") and is_word(place + 1) and not is_word(place - 1) for place, token in enumerate(tokens)
    ]
    choices = [DASHES if begin else [token] for token, begin in zip(tokens, begins, strict=True)]
    yield from map(list, product(*choices))


def shifted(data: bytes, shift: int, *, cut: bool) -> str:
    """Base64 of `data` behind `shift` other bytes; `cut` to the characters that depend on `data` alone."""
    whole = b64encode(b"\0" * shift + data).decode()
    if not cut:
        return whole
    bits = 8 * (shift + len(data))
    return whole[-(-8 * shift // 6) : bits // 6]


def matcher(tokens: Tokens, *, cased: bool) -> Wanted:
    normal = str if cased else folded
    flat: Tokens = []
    for token in tokens:
        flat += [token] if isinstance(token, Wildcard) else normal(token)
    return lambda text: fits(flat, normal(text))


def fits(tokens: Tokens, text: str) -> bool:
    """By dynamic programming: at which places of `text` the tokens so far can end."""
    ends = {0}
    for token in tokens:
        if token is MANY:
            ends = set(range(min(ends), len(text) + 1)) if ends else ends
        elif token is ONE:
            dotted = {end + 2 for end in ends if text[end : end + 2] == "i\u0307"}  # what İ is in lower case
            ends = {end + 1 for end in ends if end < len(text)} | dotted
        else:
            ends = {end + 1 for end in ends if text[end : end + 1] == token}
    return len(text) in ends


# ── what is more than text ───────────────────────────────────────────────────────────────────────────────────────────


def expression(pattern: Any, modifiers: Sequence[str]) -> Wanted:
    """Found anywhere, by case unless `i`. PCRE: `$` is the end, or before a newline there; `\\w` is ASCII."""
    flags = re.RegexFlag(0)
    for names, flag in (
        (("i", "ignorecase"), re.IGNORECASE),
        (("m", "multiline"), re.MULTILINE),
        (("s", "dotall"), re.DOTALL),
    ):
        if set(names) & set(modifiers):
            flags |= flag
    inline = re.match(r"\(\?[a-z]*i", pattern)
    if not flags & re.IGNORECASE and not inline:
        flags |= re.ASCII  # with `i` Python would fold ASCII letters only
    compiled = re.compile(pattern, flags)
    return lambda text: compiled.search(text) is not None


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def within(text: str, network: str) -> bool:
    address = address_of(text)
    return address is not None and address in ip_network(network)


def number_of(text: str) -> Decimal | None:
    whole = re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?", text)
    return Decimal(text) if whole else None


def part_of(text: str, part: str) -> int | None:
    """A number of a date as it is written, without regard to zones."""
    read = WHEN.fullmatch(text)
    if read is None:
        return None
    try:
        day = date(int(read["year"]), int(read["month"]), int(read["day"]))
    except ValueError:
        return None
    if part == "week":
        return day.isocalendar().week
    return None if read[part] is None else int(read[part])
