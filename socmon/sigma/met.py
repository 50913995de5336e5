"""What events came to, remembered by all that their plan reads of them: in real logs most are like one before."""

import sys
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from operator import itemgetter
from typing import Any, Protocol

from socmon.event import LogSource
from socmon.sigma.matcher import Fields
from socmon.sigma.plan import Plan
from socmon.sigma.signatures import ENTRY_BYTES

Values = tuple[Any, ...]

# Equal values of these types are the same, and of no others: 1 and true are equal. And whoever chooses numbers can
# choose tuples of them that have one hash, which nobody can of texts.
_KEPT = frozenset({str, type(None)})


class Layout(Protocol):
    """What events have together that have the same fields."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields that each of them has, be it null, in the order of their values."""

    @property
    def besides(self) -> AbstractSet[str]:
        """Names of those that they have besides, or may have with other values."""

    @property
    def telling(self) -> Sequence[str]:
        """Names of the fields by which `logsource` tells."""

    def logsource(self, fields: Fields) -> LogSource | None:
        """The log source of an event, None if it is not known. Where it is, values that tell it are short.

        Of these equal ones are the same (1 and true are not), and lead to the same log source in all layouts.
        """


class Met(dict[Values, tuple[str, ...]]):
    """The rules that events match which hold none of the plan's keywords, by the values that the plan reads.

    Args:
        names: of the fields that these events have of those that the plan reads.
        telling: names of fields of which equal values are the same.

    Attributes:
        picked: names of the fields by whose values events are told apart.
    """

    def __init__(self, plan: Plan, names: AbstractSet[str], telling: Sequence[str]) -> None:
        super().__init__()
        self.held = 0
        self.keywords = plan.keywords
        self.picked = sorted(names)
        self._plan = plan
        self._unsure = [name for name in self.picked if name not in telling]
        plan.memory.add(self)

    def forget(self) -> None:
        """Forget all."""
        self.clear()

    def found(self, fields: Fields) -> tuple[str, ...]:
        """What an event comes to that was not met before."""
        matched = self._plan.without_keywords(fields)
        if _KEPT.issuperset(map(type, map(fields.__getitem__, self._unsure))):
            picked = (*map(fields.__getitem__, self.picked),)
            size = ENTRY_BYTES + sys.getsizeof(picked) + sum(map(sys.getsizeof, picked))
            self._plan.memory.take(self, size)
            self[picked] = matched
        return matched


def picker(names: Sequence[str], layout: Layout) -> Callable[[Values], Values]:
    """What picks the values of these fields."""
    places = [*map(layout.names.index, names)]
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: (*map(values.__getitem__, places),)
