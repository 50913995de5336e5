"""What events came to, remembered by all that rules read of them: in real logs most are like one before."""

import sys
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from operator import itemgetter
from typing import Any, Protocol

from socmon.event import LogSource
from socmon.sigma.keywords import Keywords
from socmon.sigma.matcher import Fields
from socmon.sigma.plan import Plan
from socmon.sigma.signatures import ENTRY_BYTES, Memory

Values = tuple[Any, ...]
# The rules that an event matches, if it holds none of these keywords; None where its fields have to be asked.
Found = tuple[tuple[str, ...] | None, Keywords | None]

ASK_THE_FIELDS: Found = (None, None)
_FOUND_BYTES = 56


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


class Met(dict[Values, Found]):
    """What events came to, by the values that were picked of them.

    Attributes:
        memory: which accounts for it.
    """

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self.held = 0
        self.memory = memory
        memory.add(self)

    def forget(self) -> None:
        """Forget all."""
        self.clear()

    def keep(self, picked: Values, found: Found) -> None:
        """Keep what an event came to."""
        size = ENTRY_BYTES + _FOUND_BYTES + sys.getsizeof(picked) + sum(map(sys.getsizeof, picked))
        self.memory.take(self, size)
        self[picked] = found


class View:
    """Events that have the same of the fields that any rule reads.

    Args:
        names: of these fields, and of those that tell the log source.
        telling: names of the latter.

    Attributes:
        layouts: which such events have.
        kind: names of the fields that tell an event's log source, and so its plan.
        plans: by their values; None where fields tell it that do not tell the log source, or it reads what is besides.
        picked: names of the fields that tell all that rules read of an event.
        besides: those of them that the log source says nothing of.
        met: what they came to, by the values of those picked.
    """

    picked: list[str]
    besides: list[str]

    def __init__(self, names: frozenset[str], telling: Iterable[str], met: Met) -> None:
        self.layouts: list[Layout] = []
        self._names = names
        self.kind = sorted(names.intersection(telling))
        self.plans: dict[Values, Plan | None] = {}
        self.met = met
        self._pick(self.kind)

    def tell_apart(self, names: AbstractSet[str]) -> bool:
        """Tell events apart by these fields too, where they have them; whether that is new, and forgets what was."""
        more = (names & self._names) - {*self.picked}
        if more:
            self._pick([*self.picked, *more])
            self.met.memory.release(self.met)
        return bool(more)

    def _pick(self, names: Iterable[str]) -> None:
        self.picked = sorted(names)
        self.besides = [name for name in self.picked if name not in self.kind]


def picker(names: Sequence[str], layout: Layout) -> Callable[[Values], Values]:
    """What picks the values of these fields."""
    places = [*map(layout.names.index, names)]
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: (*map(values.__getitem__, places),)
