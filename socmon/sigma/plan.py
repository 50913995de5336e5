"""The rules for one kind of event, made ready: remembered values, remembered combinations, and few rules looked at."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import getitem
from typing import Any

from socmon.sigma.ir import Op, names_in
from socmon.sigma.keywords import Keywords
from socmon.sigma.matcher import Compiler, Fields, Test, reader
from socmon.sigma.numbered import Condition, Numbers, holds, numbers_in, triggers
from socmon.sigma.scanner import Scanner
from socmon.sigma.signatures import NOTHING, FieldMemo, Memory, Signature

# What looks at more than the value of one field, and so is asked of each event.
_ASKED: frozenset[Op] = frozenset({"exists", "ref"})
_COMBINATION_BYTES = 170
_POINTER_BYTES = 8


class Shared:
    """What the plans of a rule set have together.

    Attributes:
        memory: what all memos may hold.
    """

    def __init__(self, memory_bytes: int) -> None:
        self.memory = Memory(memory_bytes)
        self.numbers = Numbers()
        self._compiler = Compiler()
        self._memos: dict[frozenset[int], FieldMemo] = {}
        self._keywords: dict[frozenset[int], Keywords] = {}

    def memo(self, numbers: Iterable[int]) -> FieldMemo:
        """The memo of a field with these atoms; plans that ask a field the same share it."""
        key = frozenset(numbers)
        memo = self._memos.get(key)
        if memo is None:
            asked = {number: self.numbers.atoms[number] for number in sorted(key)}
            absent = [number for number, atom in asked.items() if atom.op == "null"]
            scanner = Scanner((number, atom) for number, atom in asked.items() if atom.op != "null")
            memo = self._memos[key] = FieldMemo(scanner.true_of, absent, self.memory)
        return memo

    def keywords(self, numbers: Iterable[int]) -> Keywords:
        """What looks for these keywords."""
        key = frozenset(numbers)
        found = self._keywords.get(key)
        if found is None:
            asked = {number: self.numbers.atoms[number] for number in sorted(key)}
            found = self._keywords[key] = Keywords(asked, self.memory)
        return found

    def asked(self, number: int) -> tuple[Test, Signature]:
        """The test of an atom that looks at more than one value, and the signature of an event for which it is true."""
        return self._compiler.test_for(self.numbers.atoms[number]), Signature((number,))


class Plan:
    """Says which rules match events of one kind.

    A value is looked at once: its memo knows which of the field's atoms are true of it, its signature. Equal signatures
    of all fields are the same rules. A combination of them that was not met yet is settled by looking at the rules that
    one of the true atoms triggers.

    Args:
        rules: in load order, each with its condition for such events.

    Attributes:
        reads: names of all fields that are looked at.
        keywords: those that rules look for, if any do.
        combinations: the rules that a combination of signatures comes to, as far as it was met.
        memory: which accounts for them.
    """

    reads: frozenset[str]
    keywords: Keywords | None

    def __init__(self, rules: Sequence[tuple[str, Condition]], shared: Shared) -> None:
        self.held = 0
        self.memory = shared.memory
        self.memory.add(self)
        self.combinations: dict[tuple[Signature, ...], tuple[str, ...]] = {}
        self._rules = rules
        self._always: list[int] = []
        self._triggered: dict[int, list[int]] = defaultdict(list)
        self._asked: list[tuple[Test, Signature]] = []
        numbers: set[int] = set()
        for place, (_, condition) in enumerate(rules):
            numbers |= numbers_in(condition)
            wanted = triggers(condition, shared.numbers.atoms)
            if wanted is None:
                self._always.append(place)
            for number in wanted or ():
                self._triggered[number].append(place)
        self._look_at(numbers, shared)

    def _look_at(self, numbers: set[int], shared: Shared) -> None:
        """Choose what is read of an event: values of fields, keywords, and what asks for more than one value."""
        by_names: dict[tuple[str, ...], list[int]] = defaultdict(list)
        asked = []
        for number in sorted(numbers):
            atom = shared.numbers.atoms[number]
            if atom.op in _ASKED:
                asked.append(atom)
                self._asked.append(shared.asked(number))
            else:
                by_names[atom.names].append(number)
        keywords = by_names.pop((), None)
        self.keywords = shared.keywords(keywords) if keywords else None
        self.reads = frozenset(chain(*by_names, *map(names_in, asked)))
        self._names = [names[0] for names in by_names]
        self._memos = [shared.memo(each) for each in by_names.values()]
        self._others = [(place, reader(names)) for place, names in enumerate(by_names) if len(names) > 1]

    def match(self, fields: Fields, raw: bytes | None) -> tuple[str, ...]:
        """Ids of the rules that an event matches, in load order; `raw` as in `RuleSet.match`."""
        signatures = self._signatures(fields)
        if self.keywords is not None and self.keywords.may_stand_in(fields, raw):
            signatures = (*signatures, self.keywords.signature(fields))
        matched = self.combinations.get(signatures)
        return self._settled(signatures) if matched is None else matched

    def without_keywords(self, fields: Fields) -> tuple[str, ...]:
        """As `match`, of an event that holds no keyword."""
        signatures = self._signatures(fields)
        matched = self.combinations.get(signatures)
        return self._settled(signatures) if matched is None else matched

    def _signatures(self, fields: Fields) -> tuple[Signature, ...]:
        values = self._values(fields) if self._others else map(fields.get, self._names)
        try:
            signatures = (*map(getitem, self._memos, values),)
        except TypeError:  # a list or an object
            signatures = (*map(FieldMemo.of, self._memos, self._values(fields)),)
        if self._asked:
            signatures = (*signatures, *(true if test(fields) else NOTHING for test, true in self._asked))
        return signatures

    def _values(self, fields: Fields) -> list[Any]:
        """Values of the fields, by another name of theirs where the event has not the first one."""
        values = [*map(fields.get, self._names)]
        for place, read in self._others:
            if values[place] is None:
                values[place] = read(fields)
        return values

    def _settled(self, signatures: tuple[Signature, ...]) -> tuple[str, ...]:
        """What a combination comes to that was not met before."""
        true = {number for signature in signatures for number in signature.atoms}
        places = set(self._always).union(*(self._triggered.get(number, ()) for number in true))
        candidates = [self._rules[place] for place in sorted(places)]
        matched = (*(rule_id for rule_id, condition in candidates if holds(condition, true)),)
        # Its signatures hold their atoms, though their memo may forget them; what several hold is counted for each.
        held = sum(len(signature.atoms) for signature in signatures)
        self.memory.take(self, _COMBINATION_BYTES + _POINTER_BYTES * (len(signatures) + len(matched) + held))
        self.combinations[signatures] = matched
        return matched

    def forget(self) -> None:
        """Forget the combinations."""
        self.combinations.clear()
