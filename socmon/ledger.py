"""The ledger: received = evaluated + unparsed + dropped(reason) + in flight, per collector, always.

The unit is one record as it was collected. The ledger is a function of the journal: each frame is counted once, in
order, and it is saved with the checkpoint, so it survives any kill.
"""

from collections.abc import Mapping

from msgspec import Struct


class Account(Struct):
    """One collector's records, since the journal began.

    Attributes:
        journalled: records that the journal holds or held.
        evaluated: of these, parsed and shown to every rule.
        unparsed: of these, not readable in their format; they stay in the journal.
        dropped: records lost before the journal, by reason.
    """

    journalled: int = 0
    evaluated: int = 0
    unparsed: int = 0
    dropped: dict[str, int] = {}

    @property
    def received(self) -> int:
        """All records that the collector took in."""
        return self.journalled + sum(self.dropped.values())

    @property
    def in_flight(self) -> int:
        """Journalled, but not yet accounted for; 0 at a batch boundary, or records were lost inside socmon."""
        return self.journalled - self.evaluated - self.unparsed


class Ledger(Struct):
    """Accounts by collector."""

    accounts: dict[str, Account] = {}

    def account(self, collector: str) -> Account:
        """The collector's account, opened at its first use."""
        return self.accounts.setdefault(collector, Account())

    def add_journalled(self, records: Mapping[str, int]) -> None:
        """Add records read from the journal, counted where they were read."""
        for collector, count in records.items():
            self.account(collector).journalled += count

    def add_matched(self, evaluated: Mapping[str, int], unparsed: Mapping[str, int]) -> None:
        """Add what matching says it has done."""
        for collector, count in evaluated.items():
            self.account(collector).evaluated += count
        for collector, count in unparsed.items():
            self.account(collector).unparsed += count

    def add_dropped(self, collector: str, reason: str, count: int) -> None:
        """Add records lost before the journal."""
        dropped = self.account(collector).dropped
        dropped[reason] = dropped.get(reason, 0) + count
