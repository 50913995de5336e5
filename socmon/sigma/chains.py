"""Correlations of a rule set in the order of what they refer to: rules first, then each correlation after all below it.

A chain may have any depth (docs/rules.md, "Chains"); what goes round in a circle is refused.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter

from msgspec import structs

from socmon.sigma.correlations import correlation_of, references
from socmon.sigma.rule import Rule
from socmon.sigma.stated import Origin, Place, RefusedError, StatedCorrelation, content_hash

_Find = Callable[[str], Rule | StatedCorrelation | None]
_MAX_SHOWN = 6  # of the correlations in a circle


class Chains:
    """Makes rules of stated correlations.

    Args:
        stated: every correlation that could be read.
        find: gives the loaded rule, or the stated correlation, with an id or name.

    Attributes:
        refused: where those stand that make no rule, and why.
    """

    def __init__(self, stated: Sequence[StatedCorrelation], find: _Find) -> None:
        self.refused: list[tuple[Origin, RefusedError]] = []
        self._find = find
        self._stated = {id(one): one for one in stated}
        self._named = {id(one): self._references(one) for one in stated}
        self._rules: dict[int, Rule | None] = {}  # None: refused
        circling = set(self._named)
        for one in self._in_order():
            circling.discard(one)
            self._make(self._stated[one])
        for each in stated:
            if id(each) in circling:
                self._refuse_circling(each)

    def rule(self, stated: StatedCorrelation) -> Rule | None:
        """What a correlation became; None if it was refused."""
        return self._rules[id(stated)]

    def _references(self, stated: StatedCorrelation) -> dict[int, tuple[str, Place]]:
        """The correlations that one refers to: what it calls them, and where."""
        found: dict[int, tuple[str, Place]] = {}
        for name, place in references(stated.section):
            if isinstance(name, str) and isinstance(rule := self._find(name), StatedCorrelation):
                found.setdefault(id(rule), (name, place))
        return found

    def _in_order(self) -> Iterator[int]:
        """Each correlation after all that it refers to; without those that are in a circle or above one."""
        sorter = TopologicalSorter(self._named)
        with suppress(CycleError):  # it goes on as far as circles let it
            sorter.prepare()
        while ready := sorter.get_ready():
            yield from ready
            sorter.done(*ready)

    def _make(self, stated: StatedCorrelation) -> None:
        self._rules[id(stated)] = None
        try:
            correlation, bases = correlation_of(stated, self._base)
        except RefusedError as error:
            self.refused.append((stated.origin, error))
        else:
            covering = content_hash(stated.content, *(base.hash for base in bases))
            self._rules[id(stated)] = structs.replace(stated.rule, hash=covering, correlation=correlation)

    def _base(self, reference: str) -> Rule | None:
        """The rule or correlation that is referred to.

        Raises:
            RefusedError: it was refused.
        """
        base = self._find(reference)
        if not isinstance(base, StatedCorrelation):
            return base
        if (rule := self._rules[id(base)]) is None:
            raise RefusedError(f"the correlation {reference[:60]!r} is refused itself; mend it first", ())
        return rule

    def _refuse_circling(self, stated: StatedCorrelation) -> None:
        """Refuse one that is in a circle, or above one, at what leads into it."""
        circle = self._circle(id(stated))
        guilty = circle[1:2] or [base for base in self._named[id(stated)] if self._rules.get(base) is None]
        name, place = self._named[id(stated)][guilty[0]]
        told = repr(name[:60])
        if not circle:
            text = f"the correlation {told} is refused itself; mend it first"
        elif len(circle) == 2:
            text = f"{told} is this correlation itself; a chain must not go round in a circle"
        else:
            names = " → ".join(self._shown(circle))
            text = f"{told} refers to this correlation in turn; a chain must not go round in a circle: {names}"
        self.refused.append((stated.origin, RefusedError(text, place)))
        self._rules[id(stated)] = None

    def _circle(self, start: int) -> list[int]:
        """The shortest way from a correlation to itself, both ends included; [] if there is none."""
        came_from: dict[int, int] = {}
        pending = deque([start])
        while pending:
            one = pending.popleft()
            for base in self._named[one]:
                if base == start:
                    way = [base, one]
                    while way[-1] != start:
                        way.append(came_from[way[-1]])
                    return way[::-1]
                if base not in came_from:
                    came_from[base] = one
                    pending.append(base)
        return []

    def _shown(self, circle: Sequence[int]) -> list[str]:
        names = []
        for one in circle:
            rule = self._stated[one].rule
            names.append((rule.name or rule.id)[:60])
        return names if len(names) <= _MAX_SHOWN else [*names[: _MAX_SHOWN - 2], "…", names[-1]]
