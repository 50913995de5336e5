"""Texts of 64 KB that are meant to keep one regular expression busy: they hold its own literals, and nearly match."""

import re
from collections.abc import Iterator
from functools import cache
from random import Random

BYTES = 64 * 1024  # in UTF-8
_NOTHING = re.compile(r"\(\?[a-zA-Z]+\)|\\[AzZbB]")  # flags, and what takes no character
_ANY = "(?:i\u0307|.)"  # how a `?` of a rule is written in what is made of it
# An escaped character, a class, a quantifier, or a bracket, bar or plain character.
_TOKEN = re.compile(r"\\(.)|\[(\^?)\]?((?:\\.|[^\]\\])+)\]|([*+?]|\{[0-9,]+\})|([()|^$])|(.)", re.DOTALL)
_CLASSES = {"d": "1", "w": "a", "s": " ", "S": "a", "W": " ", "D": "a", "h": " ", "n": "\n", "t": "\t"}
_SINGLES = ("a", "0", " ", "\\", "/", "-", ".", "\n", '"', "=", "%", "\x00")


def hostile(pattern: str) -> Iterator[tuple[str, str]]:
    """(What it is, the text), of each kind one, by what stands in `pattern`; then texts that do not depend on it."""
    parts = literals(pattern)
    for part in dict.fromkeys(parts):
        yield f"{part!r} again and again", _filled(part)
    for sign in dict.fromkeys(part[0] for part in parts):
        yield f"{sign!r} again and again", _filled(sign)
    if parts:
        whole, most = "x".join(parts), "x".join(parts[:-1])
        yield "all its parts again and again", _filled(whole)
        yield "all its parts but for the last character", _filled(whole[:-1] or "a")
        yield "all its parts but for the last one", _filled(most or "a")
        yield "its first part, then nothing", cut(parts[0] + _filled("x"))
        yield "nothing, then all its parts but for the last character", _filled("x")[len(whole.encode()) :] + whole[:-1]
        share = BYTES // len(parts)
        yield "each of its parts many times", cut("".join(part * (share // len(part.encode()) + 1) for part in parts))
    yield from _always()


def literals(pattern: str) -> list[str]:
    """The texts that stand between the wildcards, brackets and repetitions of `pattern`; of a class one character."""
    found = [""]
    for escaped, negated, members, repeated, bracket, plain in _TOKEN.findall(
        _NOTHING.sub("", pattern.replace(_ANY, "."))
    ):
        if repeated or bracket or plain == ".":
            found.append("")
        elif members:
            found[-1] += "~" if negated else _CLASSES.get(members[1:2], "a") if members[0] == "\\" else members[0]
        else:
            found[-1] += _CLASSES.get(escaped, escaped) if escaped else plain
    return [text for text in found if text]


@cache
def _always() -> tuple[tuple[str, str], ...]:
    chance = Random(64)
    printable = "".join(map(chr, range(32, 127)))
    beyond = "đạẽơưĐİıßΣς\u0307\u200b\ufffd😀中\u2028"
    return (
        *((f"{sign!r} again and again", _filled(sign)) for sign in _SINGLES),
        ("random printable characters", "".join(chance.choices(printable, k=BYTES))),
        ("random small letters and blanks", "".join(chance.choices("abcdefghijklmnopqrstuvwxyz   ", k=BYTES))),
        ("random characters beyond ASCII", cut("".join(chance.choices(beyond, k=BYTES)))),
        ("random characters of all kinds", cut("".join(chance.choices(printable + beyond, k=BYTES)))),
    )


def _filled(part: str) -> str:
    return cut(part * (BYTES // len(part.encode()) + 1))


def cut(text: str) -> str:
    """The beginning of `text` that takes 64 KB at most."""
    return text.encode()[:BYTES].decode(errors="ignore")
