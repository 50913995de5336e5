"""Which of many tests of one field are true of a text: all in a few passes over it, however many there are."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import ahocorasick_rs
from ahocorasick_rs import Implementation

from socmon.sigma.ir import Atom
from socmon.sigma.matcher import value_test
from socmon.sigma.prefilter import Prefilter
from socmon.sigma.values import fold

_TextTest = Callable[[str], bool]

# A glob is an expression made of these (socmon.sigma.terms): an escaped character, a wildcard, or a character.
_GLOB_PIECE = re.compile(r"\\x[0-9a-f]{2}|\\(?P<escaped>.)|(?P<wild>\.\*|\.|\(\?:[^)]*\))|(?P<plain>.)", re.DOTALL)
_GLOB_FRAME = re.compile(r"\(\?s\)\\A(.*)\\z", re.DOTALL)
_MOST_FOR_DFA = 500  # literals; it is up to twice as fast as the other automaton, and takes much more memory and time
_LONG = 512  # characters
_MOST_FOR_LONG = 2_000  # literals, for which Hyperscan needs a quarter of a second before it begins


class _Literal(NamedTuple):
    """What is true of a text that holds a literal.

    Attributes:
        anywhere: numbers of atoms that are true wherever it stands; `first`, `last` where it begins or ends the text.
        perhaps: atoms that must be looked at, each with its test, which takes text and folded text.
    """

    text: str
    anywhere: list[int]
    first: list[int]
    last: list[int]
    perhaps: list[tuple[int, Callable[[str, str], bool]]]


class Scanner:
    """The atoms of one field, put to a text at once.

    Equal texts are a lookup; literals are found by one automaton over the folded text (Aho and Corasick 1975), globs
    are tried where their longest literal stands; of the regular expressions those are tried that a prefilter does not
    exclude; all else, such as networks and numbers, is tried one by one.

    Args:
        atoms: by their numbers; of no other op than those that look at one text.
    """

    def __init__(self, atoms: Iterable[tuple[int, Atom]]) -> None:
        self._true: list[int] = []
        self._equal: dict[str, list[int]] = defaultdict(list)
        self._equal_cased: dict[str, list[int]] = defaultdict(list)
        self._others: list[tuple[int, _TextTest]] = []
        self._literals: dict[str, _Literal] = {}
        patterns: dict[int, str] = {}
        for number, atom in atoms:
            if atom.op == "re":
                patterns[number] = atom.arg
            else:
                self._add(number, atom)
        self._equal, self._equal_cased = dict(self._equal), dict(self._equal_cased)
        self._anywhere = [literal.anywhere for literal in self._literals.values()]
        self._found = list(self._literals.values())
        self._seen: list[int] = []
        self._perhaps = {place for place, literal in enumerate(self._found) if literal.perhaps}
        self._automaton = ahocorasick_rs.AhoCorasick(
            list(self._literals),
            implementation=Implementation.DFA if len(self._literals) <= _MOST_FOR_DFA else Implementation.ContiguousNFA,
        )
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
        literal = self._literal(fold(atom.arg))
        if atom.cased:
            test = value_test(atom)
            literal.perhaps.append((number, lambda text, _folded: test(text)))
        else:
            {"starts": literal.first, "ends": literal.last, "has": literal.anywhere}[atom.op].append(number)

    def _add_glob(self, number: int, atom: Atom) -> None:
        test = value_test(atom)
        if not (literal := fold(longest_literal(atom.arg))):
            folds = str if atom.cased else fold
            self._others.append((number, lambda text: test(folds(text))))
        elif atom.cased:
            self._literal(literal).perhaps.append((number, lambda text, _folded: test(text)))
        else:
            self._literal(literal).perhaps.append((number, lambda _text, folded: test(folded)))

    def _literal(self, text: str) -> _Literal:
        return self._literals.setdefault(text, _Literal(text, [], [], [], []))

    def true_of(self, text: str) -> list[int]:
        """Numbers of the atoms that are true of `text`, some of them more than once."""
        folded = fold(text)
        found = [*self._true, *self._equal.get(folded, ())]
        if self._equal_cased:
            found += self._equal_cased.get(text, ())
        if self._found:
            self._scan(text, folded, found)
        if self._regexes is not None:
            found += self._regexes.found_in(text)
        for number, test in self._others:
            if test(text):
                found.append(number)
        return found

    def _scan(self, text: str, folded: str, found: list[int]) -> None:
        """Add the atoms that are true because of a literal."""
        if len(folded) < _LONG or self._look is None:
            places = self._placed(folded, found)
        else:
            self._seen.clear()
            self._look(folded.encode(errors="surrogatepass"))
            places = self._placed_at(folded, self._seen, found)
        if self._perhaps and (perhaps := self._perhaps.intersection(places)):
            each = (test for place in perhaps for test in self._found[place].perhaps)
            found += [number for number, test in each if test(text, folded)]

    def _placed(self, folded: str, found: list[int]) -> Iterable[int]:
        try:
            matches = self._automaton.find_matches_as_indexes(folded, overlapping=True)
        except UnicodeEncodeError:  # a half of a pair of surrogates
            there = [place for place, literal in enumerate(self._found) if literal.text in folded]
            return self._placed_at(folded, there, found)
        length = len(folded)
        for place, start, end in matches:
            found += self._anywhere[place]
            if not start:
                found += self._found[place].first
            if end == length:
                found += self._found[place].last
        return [place for place, _, _ in matches]

    def _placed_at(self, folded: str, places: Sequence[int], found: list[int]) -> Sequence[int]:
        """The same of literals that are known to stand in `folded`."""
        for place in places:
            literal = self._found[place]
            found += literal.anywhere
            if literal.first and folded.startswith(literal.text):
                found += literal.first
            if literal.last and folded.endswith(literal.text):
                found += literal.last
        return places

    @cached_property
    def _look(self) -> Callable[[bytes], object] | None:
        """What adds the places of literals to `_seen`, faster in long text than the automaton, and longer to make."""
        texts = [literal.text for literal in self._found]
        # To Hyperscan a literal ends at its first NUL, and has a greatest length.
        if len(texts) > _MOST_FOR_LONG or any("\0" in text or len(text) > _LONG for text in texts):
            return None
        from socmon.sigma.hyperscan_search import literal_scanner  # noqa: PLC0415  5 MB that not all rules need

        return literal_scanner([text.encode() for text in texts], self._seen)


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
