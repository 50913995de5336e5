"""Keywords: what may stand in any field. Nearly no event has one, and one look at all of it tells that."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from socmon.sigma.ir import Atom
from socmon.sigma.matcher import reader
from socmon.sigma.scanner import Scanner, longest_literal
from socmon.sigma.signatures import FieldMemo, Memory, Signature
from socmon.sigma.values import texts_of

# In JSON the others may be written otherwise; and text that the parser joins has a space between.
_SAME_EVERYWHERE = re.compile(r"[!#-.0-\[\]-~]+")
# So that no number, which has several forms, holds it: `1e3` is 1000.
_LETTER = re.compile("[a-df-z]")
# Escapes of JSON for characters of ASCII, and for the two beyond it that fold to such, which are there as UTF-8 too.
_ASCII_ESCAPED = rb"(?i)\\u(?:00[0-7]|0130|212a)"
_FOLD_TO_ASCII = "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}|\N{KELVIN SIGN}".encode()


class Keywords:
    """The keyword atoms of a plan, put to all values of an event that were logged.

    Args:
        atoms: by their numbers.

    Attributes:
        look: adds to `seen` if the bytes that it is given may hold a keyword; None where there is no keyword.
        seen: what `look` has added to; whoever looks empties it.
    """

    def __init__(self, atoms: Mapping[int, Atom], memory: Memory) -> None:
        self._memo = FieldMemo(Scanner(atoms.items()).true_of, (), memory)
        self._read = reader(())
        self.seen: list[Any] = []
        self.look = _prefilter(atoms.values(), self.seen) if atoms else None

    def signature(self, fields: Mapping[str, Any]) -> Signature:
        """Which of them an event holds."""
        return self._memo.of(self._read(fields))


def text_of_all(fields: Mapping[str, Any]) -> bytes:
    """What all values of an event have in them."""
    texts = [value if type(value) is str else _text_of_other(value) for value in fields.values()]
    return "\n".join(texts).encode(errors="replace")


def _text_of_other(value: Any) -> str:
    return str(value) if type(value) is int else "\n".join(texts_of(value))


def _prefilter(atoms: Iterable[Atom], seen: list[Any]) -> Callable[[bytes], object]:
    literals = {_literal(atom) for atom in atoms}
    if "" in literals:  # a keyword may be in any bytes
        return seen.append
    from socmon.sigma.hyperscan_search import scanner  # noqa: PLC0415  5 MB that only some rules need

    expressions = [_ASCII_ESCAPED, _FOLD_TO_ASCII, *(f"(?i){re.escape(literal)}".encode() for literal in literals)]
    try:
        return scanner(dict(enumerate(expressions)), seen)
    except ValueError:
        return seen.append


def _literal(atom: Atom) -> str:
    """A text without regard to case that stands in every event that has `atom`; "" if none is known."""
    text = longest_literal(atom.arg) if atom.op == "glob" else atom.arg if atom.op in ("eq", "has") else ""
    parts = [part for part in _SAME_EVERYWHERE.findall(text.lower()) if _LETTER.search(part)]
    return max(parts, key=len, default="")
