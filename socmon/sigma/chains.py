"""Correlations of a rule set in the order of what they refer to: rules first, then correlations of correlations.

A chain has one level (docs/semantics.md, "Correlation"): what is longer, or goes round in a circle, is refused.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from msgspec import structs
from sigma.correlations import SigmaCorrelationRule

from socmon.event import LogSource
from socmon.sigma.correlations import correlation_of, references
from socmon.sigma.documents import Document, RefusedError
from socmon.sigma.metadata import describe
from socmon.sigma.rule import Rule

_Find = Callable[[str], Rule | SigmaCorrelationRule | None]
_Stated = tuple[Document, SigmaCorrelationRule]


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
        self._named = {id(parsed): self._references(document) for document, parsed in stated}
        self._rules: dict[int, Rule | None] = {}  # None: refused
        chained = [bool(self._named[id(parsed)]) for _, parsed in stated]
        for level in (False, True):
            self._rules |= dict(self._made(one for one, higher in zip(stated, chained, strict=True) if higher is level))

    def rule(self, parsed: SigmaCorrelationRule) -> Rule | None:
        """What a correlation became; None if it was refused."""
        return self._rules[id(parsed)]

    def _references(self, document: Document) -> list[SigmaCorrelationRule]:
        """The correlations that one refers to."""
        section = document.data["correlation"]
        found = [self._find(name) for name, _ in references(section) if isinstance(name, str)]
        return [rule for rule in found if isinstance(rule, SigmaCorrelationRule)]

    def _made(self, stated: Iterable[_Stated]) -> list[tuple[int, Rule | None]]:
        made: list[tuple[int, Rule | None]] = []
        for document, parsed in stated:
            try:
                correlation, bases = correlation_of(document, parsed, partial(self._base, parsed))
                rule = describe(document, parsed, LogSource(), bases=bases)
            except RefusedError as error:
                self.refused.append((document, error))
                made.append((id(parsed), None))
            else:
                made.append((id(parsed), structs.replace(rule, correlation=correlation)))
        return made

    def _base(self, of: SigmaCorrelationRule, reference: str) -> Rule | None:
        """The rule or correlation that `of` refers to.

        Raises:
            RefusedError: it may not be referred to.
        """
        base = self._find(reference)
        if not isinstance(base, SigmaCorrelationRule):
            return base
        told = repr(reference[:60])
        if id(base) in self._rules:
            if (rule := self._rules[id(base)]) is None:
                raise RefusedError(f"the correlation {told} is refused itself; mend it first", ())
            return rule
        if self._reaches(base, of):
            raise RefusedError(f"{told} refers to this correlation in turn; a chain must not go round in a circle", ())
        raise RefusedError(f"{told} refers to correlations itself; a chain has one level, refer to what it counts", ())

    def _reaches(self, start: SigmaCorrelationRule, goal: SigmaCorrelationRule) -> bool:
        pending, seen = [start], {id(start)}
        while pending:
            one = pending.pop()
            if one is goal:
                return True
            following = [base for base in self._named[id(one)] if id(base) not in seen]
            seen.update(map(id, following))
            pending += following
        return False
