"""Correlations of a rule set in the order of what they refer to: rules first, then each correlation after all below it.

A chain may have any depth (docs/rules.md, "Chains"); what goes round in a circle is refused.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter

from msgspec import structs
from sigma.correlations import SigmaCorrelationRule

from socmon.event import LogSource
from socmon.sigma.correlations import correlation_of, references
from socmon.sigma.documents import Document, Place, RefusedError
from socmon.sigma.metadata import describe, rule_id
from socmon.sigma.rule import Rule

_Find = Callable[[str], Rule | SigmaCorrelationRule | None]
_Stated = tuple[Document, SigmaCorrelationRule]
_MAX_SHOWN = 6  # of the correlations in a circle


class Chains:
    """Makes rules of parsed correlations.

    Args:
        stated: every correlation that pySigma could parse, with its document.
        find: gives the loaded rule, or the parsed correlation, with an id or name.

    Attributes:
        refused: the documents that make no rule, and why.
    """

    def __init__(self, stated: Sequence[_Stated], find: _Find) -> None:
        self.refused: list[tuple[Document, RefusedError]] = []
        self._find = find
        self._stated = {id(parsed): (document, parsed) for document, parsed in stated}
        self._named = {id(parsed): self._references(document) for document, parsed in stated}
        self._rules: dict[int, Rule | None] = {}  # None: refused
        circling = set(self._named)
        for one in self._in_order():
            circling.discard(one)
            self._make(*self._stated[one])
        for document, parsed in stated:
            if id(parsed) in circling:
                self._refuse_circling(document, parsed)

    def rule(self, parsed: SigmaCorrelationRule) -> Rule | None:
        """What a correlation became; None if it was refused."""
        return self._rules[id(parsed)]

    def _references(self, document: Document) -> dict[int, tuple[str, Place]]:
        """The correlations that one refers to: what it calls them, and where."""
        found: dict[int, tuple[str, Place]] = {}
        for name, place in references(document.data["correlation"]):
            if isinstance(name, str) and isinstance(rule := self._find(name), SigmaCorrelationRule):
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

    def _make(self, document: Document, parsed: SigmaCorrelationRule) -> None:
        self._rules[id(parsed)] = None
        try:
            correlation, bases = correlation_of(document, parsed, self._base)
            rule = describe(document, parsed, LogSource(), bases=bases)
        except RefusedError as error:
            self.refused.append((document, error))
        else:
            self._rules[id(parsed)] = structs.replace(rule, correlation=correlation)

    def _base(self, reference: str) -> Rule | None:
        """The rule or correlation that is referred to.

        Raises:
            RefusedError: it was refused.
        """
        base = self._find(reference)
        if not isinstance(base, SigmaCorrelationRule):
            return base
        if (rule := self._rules[id(base)]) is None:
            raise RefusedError(f"the correlation {reference[:60]!r} is refused itself; mend it first", ())
        return rule

    def _refuse_circling(self, document: Document, parsed: SigmaCorrelationRule) -> None:
        """Refuse one that is in a circle, or above one, at what leads into it."""
        circle = self._circle(id(parsed))
        guilty = circle[1:2] or [base for base in self._named[id(parsed)] if self._rules.get(base) is None]
        name, place = self._named[id(parsed)][guilty[0]]
        told = repr(name[:60])
        if not circle:
            text = f"the correlation {told} is refused itself; mend it first"
        elif len(circle) == 2:
            text = f"{told} is this correlation itself; a chain must not go round in a circle"
        else:
            names = " → ".join(self._shown(circle))
            text = f"{told} refers to this correlation in turn; a chain must not go round in a circle: {names}"
        self.refused.append((document, RefusedError(text, place)))
        self._rules[id(parsed)] = None

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
            document, parsed = self._stated[one]
            names.append((parsed.name or rule_id(document, parsed))[:60])
        return names if len(names) <= _MAX_SHOWN else [*names[: _MAX_SHOWN - 2], "…", names[-1]]
