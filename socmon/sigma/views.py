"""Plans for events whose values stand in a tuple, where their layout says: most match nothing, and need no fields."""

from collections.abc import Callable, Mapping, Sequence
from operator import getitem, itemgetter
from typing import Any, Protocol

from socmon.sigma.ir import Atom, FieldRef
from socmon.sigma.matcher import BESIDES, Test
from socmon.sigma.plan import Plan
from socmon.sigma.signatures import NOTHING, FieldMemo, Signature

Values = tuple[Any, ...]
Read = Callable[[Values, bytes], tuple[str, ...] | None]

_LEAST_PICKED = 2  # so that itemgetter gives a tuple
_NO_TESTS: Mapping[Any, Signature] = {None: NOTHING}


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
    def exact(self) -> frozenset[str]:
        """Names of fields whose values are text, whole numbers or None, so that equal ones are the same."""


class View:
    """The plans of one route for events of one layout.

    Attributes:
        routing: the values by which the route leads to plans, at least two.
        readers: by these, where nothing else is the same key to a dictionary.
        typed: by these and their types.
        is_exact: nothing else is the same key for any of the layout's events.
    """

    def __init__(self, names: tuple[str, ...], layout: Layout) -> None:
        self._layout = layout
        self._of_plan: dict[Plan, Read] = {}
        self._is_said = layout.unplaced.isdisjoint(names)
        self.routing = picker([layout.places.get(name, layout.nothing) for name in names], layout)
        self.is_exact = layout.exact.issuperset(names)
        self.readers: dict[tuple[Any, ...], Read] = {}
        self.typed: dict[tuple[Any, ...], Read] = {}

    def reader(self, plan: Plan) -> Read:
        """As the function `reader`; one for each plan."""
        read = self._of_plan.get(plan)
        if read is None:
            read = self._of_plan[plan] = reader(plan, self._layout) if self._is_said else _ask_the_fields
        return read


def reader(plan: Plan, layout: Layout) -> Read:
    """What says as `plan.match` does which rules match an event; None where its fields have to be asked.

    It takes the event's values and the bytes that all of them stand in. The fields have to be asked where the event may
    hold a keyword, where a value is a list, and where null may differ from no field at all.
    """
    aside = layout.unplaced | BESIDES
    columns = [_Column(names, memo, layout) for names, memo in zip(plan.names, plan.memos, strict=True)]
    asked = [_Asked(atom, test, true, layout) for atom, (test, true) in zip(plan.asked_atoms, plan.asked, strict=True)]
    named = {name for names in plan.names for name in names}.union(*(one.names for one in asked))
    if not named.isdisjoint(aside) or not all(one.is_said for one in asked):
        return _ask_the_fields
    return _reader(plan, layout, columns, [one for one in asked if one.there])


def _ask_the_fields(_values: Values, _raw: bytes) -> None:
    """What cannot be said of values."""


class _Column:
    """Where a field stands, by the names that a layout has of it, and the field's memo."""

    def __init__(self, names: tuple[str, ...], memo: FieldMemo, layout: Layout) -> None:
        self.memo = memo
        self.places = [layout.places[name] for name in names if name in layout.places]


class _Asked:
    """An atom that looks at more than one value, or whether there is one; false where a layout has no such field."""

    def __init__(self, atom: Atom, test: Test, true: Signature, layout: Layout) -> None:
        self.test, self.true = test, true
        self.exists = atom.op == "exists"
        each = [atom.names, atom.arg.names if isinstance(atom.arg, FieldRef) else ()]
        self.names = {name for names in each for name in names}
        self.there = [(name, layout.places[name]) for name in self.names if name in layout.places]
        # Of several names the first counts that an event has, be it null.
        self.is_said = self.exists or all(sum(name in layout.places for name in names) < 2 for names in each)

    def told(self, values: Values) -> Signature | None:
        """What is true of an event; None if its fields have to be asked."""
        if self.exists:
            return self.true if any(values[place] is not None for _, place in self.there) else None
        return self.true if self.test({name: values[place] for name, place in self.there}) else NOTHING


def _reader(plan: Plan, layout: Layout, columns: list[_Column], asked: list[_Asked]) -> Read:
    there = [one for one in columns if one.places]
    absent = [one.memo[None] for one in columns if not one.places]
    others = [(one.places[0], one.places[1:]) for one in there if len(one.places) > 1]
    pick = picker([one.places[0] for one in there], layout)
    memos = [*(one.memo for one in there), *[_NO_TESTS] * (_LEAST_PICKED - len(there))]
    look, seen, known = plan.look, plan.seen, plan.combinations
    mine = Signature(())

    def read(values: Values, raw: bytes) -> tuple[str, ...] | None:
        for first, rest in others:
            if values[first] is None and any(values[place] is not None for place in rest):
                return None
        try:
            signatures = (mine, *map(getitem, memos, pick(values)))
        except TypeError:
            return None
        if look is not None:
            look(raw)
            if seen:
                seen.clear()
                return None
        for one in asked:
            told = one.told(values)
            if told is None:
                return None
            signatures = (*signatures, told)
        matched = known.get(signatures)
        return plan.settled(signatures, absent) if matched is None else matched

    return read


def picker(places: Sequence[int], layout: Layout) -> Callable[[Values], Values]:
    """What picks values by their places; None after them where they are fewer than two."""
    return itemgetter(*places, *[layout.nothing] * (_LEAST_PICKED - len(places)))
