"""What all readers of payload have in common, and the room that they share for what is not whole yet."""

from socmon.network.limits import Counts


class Reader:
    """Reads the payload of a flow; this one reads nothing."""

    __slots__ = ()

    def data(self, from_originator: bool, data: bytes, ts: float) -> None:  # noqa: FBT001 - per packet, by position
        """Take payload of one side: a datagram, or the next bytes of a stream."""

    def gap(self, from_originator: bool, size: int) -> None:  # noqa: FBT001 - as above
        """So many bytes of a stream are lost; `data` goes on behind them."""

    def end(self) -> None:
        """The flow is over: tell what is left to tell."""

    def drop(self) -> None:
        """Give back the room of what is held."""


class Budget:
    """How many bytes all flows together may still hold back."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


class Held:
    """What one reader holds of the budget."""

    __slots__ = ("_budget", "_counts", "_size")

    def __init__(self, budget: Budget, counts: Counts) -> None:
        self._budget = budget
        self._counts = counts
        self._size = 0

    def fits(self, size: int) -> bool:
        """Say how much is held now; whether there is room for it. If not, the reader lets go of its flow."""
        self._budget.left += self._size - size
        self._size = size
        if size == 0 or self._budget.left >= 0:
            return True
        self._counts.unbuffered += 1
        return False
