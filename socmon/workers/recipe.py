"""What a worker matches by: all of it comes from the parent, so both have the same rules and no file is read twice."""

import pickle
from typing import Self

from socmon.enrich import Assets
from socmon.matching import Matcher
from socmon.sigma import RuleSet
from socmon.sigma.packing import packed, unpacked


class Recipe:
    """Rules, the inventory, and how records are dated; see Matcher.

    Args:
        assets: those that `Pool.take` tells of hosts that it meets.
        live: False for replay.
        year: dates every stamp without a year.
    """

    def __init__(
        self, rules: RuleSet, assets: Assets | None = None, *, live: bool = True, year: int | None = None
    ) -> None:
        self.assets = assets
        self._rules = rules
        self._live = live
        self._year = year

    def matcher(self, *, undated: bool = False, kind: type[Matcher] = Matcher) -> Matcher:
        """A matcher by it."""
        return kind(self._rules, live=self._live, year=self._year, undated=undated, assets=self.assets)

    def apart(self) -> Self:
        """The same with an inventory of its own: the parent's is told of hosts in the order of the journal alone."""
        assets = Assets(self.assets.inventory) if self.assets else None
        return type(self)(self._rules, assets, live=self._live, year=self._year)

    def pack(self) -> bytes:
        """As bytes, for `unpack` in a worker of this very program. Takes a second for thousands of rules."""
        inventory = self.assets.inventory if self.assets else None
        return pickle.dumps((packed(self._rules), inventory, self._live, self._year), pickle.HIGHEST_PROTOCOL)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """What `pack` packed; never to be asked for bytes that anybody but the parent has written."""
        rules, inventory, live, year = pickle.loads(data)  # noqa: S301  from the parent, over a pipe of its own
        return cls(unpacked(rules), Assets(inventory) if inventory else None, live=live, year=year)
