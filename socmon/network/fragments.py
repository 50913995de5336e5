"""Fragments put together (RFC 791, RFC 8200 section 4.5): bounded in number, size and time."""

from collections import OrderedDict

from socmon.network.limits import Counts, Limits

_MOST_PARTS = 64
_LARGEST = 65_535


class _Datagram:
    __slots__ = ("begun", "header", "parts", "total")

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.header = b""
        self.parts: list[tuple[int, bytes]] = []
        self.total = 0  # known when the last part is here


class Fragments:
    """Datagrams of which parts are here, in the order in which they began."""

    def __init__(self, limits: Limits, counts: Counts) -> None:
        self._open: OrderedDict[bytes, _Datagram] = OrderedDict()
        self._limits = limits
        self._counts = counts

    def add(
        self, key: bytes, header: bytes, offset: int, data: bytes, *, more: bool, ts: float
    ) -> tuple[bytes, bytes] | None:
        """Take a part; when it was the last one missing, return the first part's header and the whole payload.

        Where parts overlap, the one that begins first is believed; of two that begin together, the one that came first.
        """
        self._counts.fragments += 1
        datagram = self._open.get(key)
        if datagram is None:
            if len(self._open) >= self._limits.datagrams:
                self._give_up()
            datagram = self._open[key] = _Datagram(ts)
        if offset + len(data) > _LARGEST or len(datagram.parts) >= _MOST_PARTS:
            del self._open[key]
            self._counts.fragments_lost += 1
            return None
        if offset == 0 and not datagram.header:
            datagram.header = header
        if not more and not datagram.total:
            datagram.total = offset + len(data)
        datagram.parts.append((offset, data))
        whole = self._whole(datagram)
        if whole is None:
            return None
        del self._open[key]
        return datagram.header, whole

    @staticmethod
    def _whole(datagram: _Datagram) -> bytes | None:
        if not datagram.total or not datagram.header:
            return None
        payload = bytearray()
        for offset, data in sorted(datagram.parts, key=lambda part: part[0]):
            if offset > len(payload):
                return None
            payload += data[len(payload) - offset :]
        return bytes(payload[: datagram.total]) if len(payload) >= datagram.total else None

    def advance(self, ts: float) -> None:
        """Give up what waited for too long."""
        while self._open and next(iter(self._open.values())).begun + self._limits.fragment_s <= ts:
            self._give_up()

    def _give_up(self) -> None:
        self._open.popitem(last=False)
        self._counts.fragments_lost += 1

    def finish(self) -> None:
        """Give up all."""
        while self._open:
            self._give_up()
