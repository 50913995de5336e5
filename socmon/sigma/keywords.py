"""Keywords: what may stand in any field. Nearly no event has one, and one look at all of it tells that."""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from socmon.sigma.ir import Atom
from socmon.sigma.matcher import BESIDES
from socmon.sigma.scanner import Scanner, longest_literal
from socmon.sigma.signatures import FieldMemo, Memory, Signature
from socmon.sigma.values import text_of, texts_of

# In JSON the others may be written otherwise; and text that the parser joins has a space between.
_SAME_EVERYWHERE = re.compile(r"[!#-.0-\[\]-~]+")
_ASCII = re.compile(r"[\x01-\x7f]+")
# So that no number, which has several forms, holds it: `1e3` is 1000.
_LETTER = re.compile("[a-df-z]")
# The two characters beyond ASCII that fold to such; and escapes of JSON for these, and for characters of ASCII.
_FOLD_TO_ASCII = ["\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}".encode(), "\N{KELVIN SIGN}".encode()]
_ASCII_ESCAPED = [*(rb"\u00%d" % digit for digit in range(8)), rb"\u0130", rb"\u212a"]
# The characters of real events, from frequent to seldom; a colon stands between quotes, and beside others seldom.
_FREQUENT = '"eas0\\otcidrnw2mb,l-31ug4fyp5v 86.97hxqk'
_LOOKED_AT = 3  # last characters of a literal, by which Hyperscan finds it first


class Keywords:
    """The keyword atoms of a plan, put to all values of an event that were logged.

    Args:
        atoms: by their numbers.

    Attributes:
        look: adds to `seen` if the event whose JSON it is given may hold a keyword.
        seen: what has been added to; whoever looks empties it.
    """

    def __init__(self, atoms: Mapping[int, Atom], memory: Memory) -> None:
        self._memo = FieldMemo(Scanner(atoms.items()).true_of, (), memory)
        self._literals = [_literal(atom) for atom in atoms.values()]
        self.seen: list[Any] = []
        self.look = self._looking(_part_in_json, [*_ASCII_ESCAPED, *_FOLD_TO_ASCII])

    def may_stand_in(self, fields: Mapping[str, Any], raw: bytes | None) -> bool:
        """Whether an event may hold one, by its JSON, or by its fields where there is none."""
        if raw is None:
            texts = [
                value if type(value) is str else text_of(value) if type(value) is int else "\n".join(texts_of(value))
                for value in fields.values()
            ]
            self._look_in_text("\n".join(texts).encode(errors="replace"))
        else:
            self.look(raw)
        found = bool(self.seen)
        self.seen.clear()
        return found

    @cached_property
    def _look_in_text(self) -> Callable[[bytes], object]:
        return self._looking(_part_in_ascii, _FOLD_TO_ASCII)

    def _looking(self, part_of: Callable[[str], str], besides: list[bytes]) -> Callable[[bytes], object]:
        parts = {part_of(literal) for literal in self._literals}
        if "" in parts:  # a keyword may be in any bytes
            return self.seen.append
        from socmon.sigma.hyperscan_search import literal_scanner  # noqa: PLC0415  5 MB that only some rules need

        try:
            return literal_scanner([*besides, *map(str.encode, parts)], self.seen, without_case=True)
        except ValueError:
            return self.seen.append

    def signature(self, fields: Mapping[str, Any]) -> Signature:
        """Which of them an event holds."""
        return self._memo.of([value for name, value in fields.items() if name not in BESIDES])


def _literal(atom: Atom) -> str:
    """A text without regard to case that stands in every value that has `atom`; "" if none is known."""
    text = longest_literal(atom.arg) if atom.op == "glob" else atom.arg if atom.op == "has" else ""
    return str(text).lower()


def _part_in_json(literal: str) -> str:
    """The seldomest part that JSON writes as it is."""
    parts = [part for part in _SAME_EVERYWHERE.findall(literal) if _LETTER.search(part)]
    return _seldomest(parts)


def _part_in_ascii(literal: str) -> str:
    """The seldomest part whose case Hyperscan disregards as we do."""
    return _seldomest(_ASCII.findall(literal))


def _seldomest(parts: list[str]) -> str:
    """One of the parts, or its beginning, that ends in characters that stand together seldom; "" of no parts."""
    found = [part[: end + 1] for part in parts for end in range(_LOOKED_AT, len(part))] or parts
    return max(found, key=lambda part: sum(map(_seldomness, part[-_LOOKED_AT:])), default="")


def _seldomness(character: str) -> int:
    place = _FREQUENT.find(character)
    return len(_FREQUENT) if place < 0 else place
