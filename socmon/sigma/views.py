"""Events whose values stand in a tuple, where their layout says: most match nothing, and need no fields."""

import sys
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from operator import getitem, itemgetter
from typing import Any, Protocol

from socmon.event import LogSource
from socmon.sigma.ir import Atom, FieldRef
from socmon.sigma.keywords import Keywords
from socmon.sigma.matcher import BESIDES, Test
from socmon.sigma.plan import Plan
from socmon.sigma.signatures import ENTRY_BYTES, NOTHING, Memory, Signature

Values = tuple[Any, ...]
# The rules that an event matches, if it holds none of these keywords; None where its fields have to be asked.
Found = tuple[tuple[str, ...] | None, Keywords | None]

ASK_THE_FIELDS: Found = (None, None)
_LEAST_PICKED = 2  # so that itemgetter gives a tuple
_FOUND_BYTES = 56


class Layout(Protocol):
    """Where the fields of events of one kind stand in their values; what an event lacks is None there."""

    @property
    def places(self) -> Mapping[str, int]:
        """By name."""

    @property
    def nothing(self) -> int:
        """Where each event has None."""

    @property
    def unplaced(self) -> frozenset[str]:
        """Names of fields that events have besides."""

    @property
    def telling(self) -> tuple[str, ...]:
        """Names of the fields that `logsource` reads; of their values equal ones are the same."""

    def logsource(self, values: Values) -> LogSource | None:
        """The log source of the event with these values; None if its fields have to be asked."""


class Met(dict[Values, Found]):
    """What events came to, by the values that were picked of them: in real logs most are like one before."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self.held = 0
        self._memory = memory
        memory.add(self)

    def forget(self) -> None:
        """Forget all."""
        self.clear()

    def keep(self, picked: Values, found: Found) -> None:
        """Keep what an event came to."""
        size = ENTRY_BYTES + _FOUND_BYTES + sys.getsizeof(picked) + sum(map(sys.getsizeof, picked))
        self._memory.take(self, size)
        self[picked] = found


class Mets:
    """What events came to, by the names of what is picked of them; layouts that rules cannot tell apart share it.

    Args:
        names: of all fields that rules read.
    """

    def __init__(self, names: AbstractSet[str], memory: Memory) -> None:
        self._names = names
        self._memory = memory
        self._met: dict[tuple[tuple[str, ...], frozenset[str]], Met] = {}

    def of(self, picked: tuple[str, ...], layout: Layout) -> Met:
        """What events came to of which `picked` is picked."""
        key = picked, frozenset(self._names & layout.places.keys())
        met = self._met.get(key)
        if met is None:
            met = self._met[key] = Met(self._memory)
        return met


class View:
    """How events of one layout are told apart.

    Args:
        routed_by: names of fields that may say more of a log source.

    Attributes:
        kind: the values that tell an event's log source and its plan.
        is_exact: of these equal ones are the same.
        asking: what asks for the events of a kind, by these values, and their types where that has to be.
        pick: the values that tell all that rules read of an event.
        besides: those of them that the log source says nothing of.
        met: what they came to.
    """

    pick: Callable[[Values], Values]
    met: Met
    besides: Callable[[Values], Values]

    def __init__(self, layout: Layout, routed_by: Sequence[str], mets: Mets) -> None:
        self.layout = layout
        self._mets = mets
        self._names = {name for name in (*layout.telling, *routed_by) if name in layout.places}
        self.kind = picker(sorted(self._names), layout)
        self.is_exact = self._names.issubset(layout.telling)
        self.asking: dict[tuple[Any, ...], Asking | None] = {}
        self.tell_apart(())

    def tell_apart(self, names: Sequence[str]) -> None:
        """Tell events apart by these fields too."""
        self._names.update(names)
        picked = (*sorted(self._names),)
        self.pick, self.met = picker(picked, self.layout), self._mets.of(picked, self.layout)
        self.besides = picker(sorted(self._names.difference(self.layout.telling)), self.layout)


class Asking:
    """Says as `plan.match` does which rules match an event of a layout, by its values.

    Its fields have to be asked where it may hold a keyword, and where null may differ from no field at all.

    Attributes:
        is_said: its values can say it.
        names: of the fields that it reads and the layout has.
    """

    def __init__(self, plan: Plan, layout: Layout) -> None:
        self._plan, places = plan, layout.places
        atoms = zip(plan.asked_atoms, plan.asked, strict=True)
        self._asked = [_Asked(atom, test, true, places) for atom, (test, true) in atoms]
        named = {name for names in (*plan.names, *(one.names for one in self._asked)) for name in names}
        self.is_said = named.isdisjoint(layout.unplaced | BESIDES) and all(one.is_said for one in self._asked)
        self.names = [name for name in named if name in places]
        self._memos = plan.memos
        columns = [[*(places[name] for name in names if name in places), layout.nothing] for names in plan.names]
        self._firsts = itemgetter(*(first for first, *_ in columns), *[layout.nothing] * _LEAST_PICKED)
        self._others = [(first, others) for first, *others in columns if len(others) > 1]

    def found(self, values: Values) -> Found:
        """What an event comes to that was not met before; a list among the values raises TypeError."""
        for first, others in self._others:
            if values[first] is None and any(values[place] is not None for place in others):
                return ASK_THE_FIELDS
        signatures = (*map(getitem, self._memos, self._firsts(values)),)
        for atom in self._asked:
            true = atom.told(values)
            if true is None:
                return ASK_THE_FIELDS
            signatures = (*signatures, true)
        matched = self._plan.combinations.get(signatures)
        return self._plan.settled(signatures) if matched is None else matched, self._plan.keywords


class _Asked:
    """An atom that looks at more than one value, or whether there is one; false where a layout has no such field."""

    def __init__(self, atom: Atom, test: Test, true: Signature, places: Mapping[str, int]) -> None:
        self.test, self.true = test, true
        self.exists = atom.op == "exists"
        each = [atom.names, atom.arg.names if isinstance(atom.arg, FieldRef) else ()]
        self.names = {name for names in each for name in names}
        self.there = [(name, places[name]) for name in self.names if name in places]
        # Of several names the first counts that an event has, be it null.
        self.is_said = self.exists or all(sum(name in places for name in names) < 2 for names in each)

    def told(self, values: Values) -> Signature | None:
        """What is true of an event; None if its fields have to be asked."""
        if not self.there:
            return NOTHING
        if self.exists:
            return self.true if any(values[place] is not None for _, place in self.there) else None
        return self.true if self.test({name: values[place] for name, place in self.there}) else NOTHING


def picker(names: Sequence[str], layout: Layout) -> Callable[[Values], Values]:
    """What picks the values of these fields; None after them where they are fewer than two."""
    places = [layout.places[name] for name in names]
    return itemgetter(*places, *[layout.nothing] * (_LEAST_PICKED - len(places)))
