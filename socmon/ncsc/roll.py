"""Who may send, when and under whom, as one moment of the centre's register has it; nothing in here waits."""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

MAX_DEPTH = 16


class Period(Struct, frozen=True):
    """An organisation's entry in the register, from `from_us` until before `to_us`.

    Attributes:
        parent: the organisation above it; "" if it stands at the top.
        to_us: None where no end is known.
    """

    org_id: str
    name: str
    parent: str
    from_us: int
    to_us: int | None

    def holds(self, at_us: int) -> bool:
        """Whether it is in force then."""
        return self.from_us <= at_us and (self.to_us is None or at_us < self.to_us)


class Roll:
    """Every entry, and the certificates that are revoked one by one.

    Attributes:
        revoked: serial numbers as `serial` writes them.
    """

    def __init__(self, periods: Iterable[Period] = (), revoked: Iterable[str] = ()) -> None:
        self._periods: dict[str, list[Period]] = {}
        for period in sorted(periods, key=lambda each: each.from_us):
            self._periods.setdefault(period.org_id, []).append(period)
        self.revoked = frozenset(revoked)

    @property
    def known(self) -> Mapping[str, list[Period]]:
        """Everyone who ever had an entry: those in force, those that ended, those that are to begin; oldest first."""
        return self._periods

    def at(self, org_id: str, at_us: int) -> Period | None:
        """The entry that is in force."""
        return next((each for each in self._periods.get(org_id, ()) if each.holds(at_us)), None)

    def enrolled(self, at_us: int) -> Iterator[Period]:
        """The entries that are in force, by organisation."""
        for org_id in sorted(self._periods):
            if period := self.at(org_id, at_us):
                yield period

    def path(self, org_id: str, at_us: int) -> list[str]:
        """Organisations from the top down to this one, as it was then; at most `MAX_DEPTH` of them."""
        found: list[str] = []
        while org_id and org_id not in found and len(found) < MAX_DEPTH:
            found.append(org_id)
            period = self.at(org_id, at_us)
            org_id = period.parent if period else ""
        return found[::-1]


def serial(text: str) -> str:
    """A certificate's serial number as OpenSSL prints it, with or without colons: upper case, no zeros before it.

    Raises:
        ValueError: it is no hexadecimal number of at most 20 octets (RFC 5280, section 4.1.2.2).
    """
    plain = text.replace(":", "").lstrip("0").upper()
    if not plain or len(plain) > 40 or not set(plain) <= set("0123456789ABCDEF"):
        raise ValueError(f"{text[:60]!r} is no serial number; write hexadecimal digits, as `openssl x509 -serial` does")
    return plain
