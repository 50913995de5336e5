"""Which of many tests of one field are true of a text: all in a few passes over it, however many there are."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from functools import cached_property
from typing import TypeVar

import ahocorasick_rs
from ahocorasick_rs import Implementation

from socmon.sigma.ir import Atom
from socmon.sigma.matcher import value_test
from socmon.sigma.prefilter import Prefilter
from socmon.sigma.values import fold

_TextTest = Callable[[str], bool]
_ItemT = TypeVar("_ItemT")
_ByPlace = defaultdict[int, list[_ItemT]]

# A glob is an expression made of these (socmon.sigma.terms): an escaped character, a wildcard, or a character.
_GLOB_PIECE = re.compile(r"\\x[0-9a-f]{2}|\\(?P<escaped>.)|(?P<wild>\.\*|\.|\(\?:[^)]*\))|(?P<plain>.)", re.DOTALL)
_GLOB_FRAME = re.compile(r"\(\?s\)\\A(.*)\\z", re.DOTALL)
_FEW = 32  # short texts, in which literals are looked for one by one: to make an automaton takes as long as seventy
_LONG = 512  # characters
_MOST_FOR_LONG = 2_000  # literals, for which Hyperscan needs a quarter of a second before it begins


class Scanner:
    """The atoms of one field, put to a text at once.

    Equal texts are a lookup; literals are found by one automaton over the folded text (Aho and Corasick 1975), which is
    made once there were some texts; globs are tried where their longest literal stands; of the regular expressions
    those are tried that a prefilter does not exclude; all else, such as networks and numbers, is tried one by one.

    Args:
        atoms: by their numbers; of no other op than those that look at one text.
    """

    def __init__(self, atoms: Iterable[tuple[int, Atom]]) -> None:
        self._true: list[int] = []
        self._equal: dict[str, list[int]] = defaultdict(list)
        self._equal_cased: dict[str, list[int]] = defaultdict(list)
        self._others: list[tuple[int, _TextTest]] = []
        # Of each literal the place; by it, numbers of atoms that are true wherever it stands, where it begins a text,
        # where it ends one; and atoms that must be looked at, each with its test, which takes text and folded text.
        self._literals: dict[str, int] = {}
        self._anywhere: _ByPlace[int] = defaultdict(list)
        self._first: _ByPlace[int] = defaultdict(list)
        self._last: _ByPlace[int] = defaultdict(list)
        self._perhaps: _ByPlace[tuple[int, Callable[[str, str], bool]]] = defaultdict(list)
        patterns: dict[int, str] = {}
        for number, atom in atoms:
            if atom.op == "re":
                patterns[number] = atom.arg
            else:
                self._add(number, atom)
        self._equal, self._equal_cased = dict(self._equal), dict(self._equal_cased)
        self._seen: list[int] = []
        self._scanned = 0
        self._regexes = Prefilter(patterns) if patterns else None

    def _add(self, number: int, atom: Atom) -> None:
        if atom.op == "any":
            self._true.append(number)
        elif atom.op == "eq":
            (self._equal_cased if atom.cased else self._equal)[atom.arg].append(number)
        elif atom.op == "glob":
            self._add_glob(number, atom)
        elif atom.op in ("starts", "ends", "has") and atom.arg:
            self._add_literal(number, atom)
        else:
            self._others.append((number, value_test(atom)))

    def _add_literal(self, number: int, atom: Atom) -> None:
        place = self._place(fold(atom.arg))
        if atom.cased:
            test = value_test(atom)
            self._perhaps[place].append((number, lambda text, _folded: test(text)))
        elif atom.op == "has":
            self._anywhere[place].append(number)
        else:
            (self._first if atom.op == "starts" else self._last)[place].append(number)

    def _add_glob(self, number: int, atom: Atom) -> None:
        test = value_test(atom)
        if not (literal := fold(longest_literal(atom.arg))):
            folds = str if atom.cased else fold
            self._others.append((number, lambda text: test(folds(text))))
        elif atom.cased:
            self._perhaps[self._place(literal)].append((number, lambda text, _folded: test(text)))
        else:
            self._perhaps[self._place(literal)].append((number, lambda _text, folded: test(folded)))

    def _place(self, literal: str) -> int:
        return self._literals.setdefault(literal, len(self._literals))

    def true_of(self, text: str) -> list[int]:
        """Numbers of the atoms that are true of `text`, some of them more than once."""
        folded = fold(text)
        found = [*self._true, *self._equal.get(folded, ())]
        if self._equal_cased:
            found += self._equal_cased.get(text, ())
        if self._literals:
            self._scan(text, folded, found)
        if self._regexes is not None:
            found += self._regexes.found_in(text)
        for number, test in self._others:
            if test(text):
                found.append(number)
        return found

    def _scan(self, text: str, folded: str, found: list[int]) -> None:
        """Add the atoms that are true because of a literal."""
        self._scanned += 1
        if self._scanned <= _FEW and len(folded) < _LONG:
            places = self._placed_one_by_one(folded, found)
        elif len(folded) < _LONG or self._look is None:
            places = self._placed(folded, found)
        else:
            self._seen.clear()
            self._look(folded.encode(errors="surrogatepass"))
            places = self._placed_at(folded, self._seen, found)
        if self._perhaps and (perhaps := self._perhaps.keys() & places):
            each = (test for place in perhaps for test in self._perhaps[place])
            found += [number for number, test in each if test(text, folded)]

    def _placed(self, folded: str, found: list[int]) -> Collection[int]:
        try:
            matches = self._automaton.find_matches_as_indexes(folded, overlapping=True)
        except UnicodeEncodeError:  # a half of a pair of surrogates
            return self._placed_one_by_one(folded, found)
        length, anywhere, first, last = len(folded), self._anywhere, self._first, self._last
        for place, start, end in matches:
            found += anywhere.get(place, ())
            if not start:
                found += first.get(place, ())
            if end == length:
                found += last.get(place, ())
        return [place for place, _, _ in matches]

    def _placed_one_by_one(self, folded: str, found: list[int]) -> Collection[int]:
        return self._placed_at(folded, [place for text, place in self._literals.items() if text in folded], found)

    def _placed_at(self, folded: str, places: Collection[int], found: list[int]) -> Collection[int]:
        """The same of literals that are known to stand in `folded`."""
        for place in places:
            found += self._anywhere.get(place, ())
            if place in self._first and folded.startswith(self._texts[place]):
                found += self._first[place]
            if place in self._last and folded.endswith(self._texts[place]):
                found += self._last[place]
        return places

    @cached_property
    def _texts(self) -> list[str]:
        return list(self._literals)

    @cached_property
    def _automaton(self) -> ahocorasick_rs.AhoCorasick:
        # Over values as short as these a DFA is no faster, and takes four times as long to make.
        return ahocorasick_rs.AhoCorasick(self._texts, implementation=Implementation.ContiguousNFA)

    @cached_property
    def _look(self) -> Callable[[bytes], object] | None:
        """What adds the places of literals to `_seen`, faster in long text than the automaton, and longer to make."""
        # To Hyperscan a literal ends at its first NUL, and has a greatest length.
        if len(self._texts) > _MOST_FOR_LONG or any("\0" in text or len(text) > _LONG for text in self._texts):
            return None
        from socmon.sigma.hyperscan_search import literal_scanner  # noqa: PLC0415  5 MB that not all rules need

        return literal_scanner([text.encode() for text in self._texts], self._seen)


def longest_literal(glob: str) -> str:
    r"""The longest text that whatever a glob matches must hold; "" if there is none.

    Args:
        glob: an expression as `socmon.sigma.terms` makes it, `(?s)\A…\z`.
    """
    framed = _GLOB_FRAME.fullmatch(glob)
    literals = [""]
    for piece in _GLOB_PIECE.finditer(framed[1] if framed else ""):
        if letter := piece["escaped"] or piece["plain"]:
            literals[-1] += letter
        else:
            literals.append("")
    return max(literals, key=len)
