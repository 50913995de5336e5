"""What one journal frame holds: a batch of records in arrival order, drops, or a tick."""

from msgspec import Struct

from socmon.event import Record


class Drop(Struct, frozen=True):
    """Records that were lost before the journal: a ledger entry.

    Attributes:
        collector: the component's name in the configuration.
        reason: from the collector's fixed list.
        count: records as collected.
    """

    collector: str
    reason: str
    count: int


class Batch(Struct, frozen=True):
    """One journal frame.

    Attributes:
        number: of the frame, from 1, without holes.
        first_seq: sequence of `records[0]`; without records, the next sequence to come.
        written_us: received time of the frame; never less than that of the frame before.
        records: with `seq` set, in arrival order.
        drops: records lost since the last drops were written.
        tick: True for an entry that says only that time has passed.
    """

    number: int
    first_seq: int
    written_us: int
    records: list[Record]
    drops: list[Drop]
    tick: bool

    @property
    def next_seq(self) -> int:
        """The sequence of the first record after this batch."""
        return self.first_seq + len(self.records)
