"""Templates of NetFlow v9 and IPFIX, compiled to one `struct.Struct` each (RFC 3954, 5.2; RFC 7011, 3.4).

The numbers are IANA's registry "IPFIX Information Elements"; those up to 127 are NetFlow v9's field types too.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from socmon.errors import ParseError

MAX_FIELDS = 512
_LONGEST_BYTES = 65_535  # of a datagram, and so of a record
_VARIABLE = 65_535
_REVERSE = 29_305  # the enterprise whose elements are those of the other direction (RFC 5103, section 6.1)
_NUMBERS = {1: "B", 2: "H", 4: "I", 8: "Q"}
_FIELD, _ENTERPRISE, _TOLD = struct.Struct("!HH"), struct.Struct("!I"), struct.Struct("!HHI")

Values = tuple[Any, ...]  # numbers, addresses as bytes, and None for what a template does not have


class Field(NamedTuple):
    """A field specifier; `enterprise` is 0 for IANA's own elements."""

    element: int
    length: int
    enterprise: int = 0


# What we read, and under which name; of elements of one name the first that a template has counts.
ELEMENTS: dict[str, tuple[int, ...]] = {
    "source4": (8,),
    "target4": (12,),
    "source6": (27,),
    "target6": (28,),
    "source_port": (7, 182, 180),
    "target_port": (11, 183, 181),
    "protocol": (4,),
    "flags": (6,),
    "start": (156, 154, 152, 150, 158, 22, 323),
    "end": (157, 155, 153, 151, 159, 21),
    "icmp": (32, 139),
    "sampling": (34, 50),
    "sampler": (48, 302),
    "packets": (2, 86, 298),
    "octets": (1, 85, 231),
    "back_packets": (299,),
    "back_octets": (232,),
    "tos": (5,),
    "in_if": (10,),
    "out_if": (14,),
    "boot_ms": (160,),
    "sampled_packets": (305,),
    "skipped_packets": (306,),
}
# These stand in a line as they are, where the template has them.
AS_TOLD = {
    "packets": "orig_pkts",
    "octets": "orig_ip_bytes",
    "back_packets": "resp_pkts",
    "back_octets": "resp_ip_bytes",
    "flags": "netflow.tcp_flags",
    "tos": "netflow.tos",
    "in_if": "netflow.in_if",
    "out_if": "netflow.out_if",
}
_PLACES = {name: place for place, name in enumerate(ELEMENTS)}
_ADDRESSES = {"source4": 4, "target4": 4, "source6": 16, "target6": 16}
_REVERSED = {"back_packets": (2, 86), "back_octets": (1, 85)}
_NAMES = {
    **{(0, element): name for name, elements in ELEMENTS.items() for element in elements},
    **{(_REVERSE, element): name for name, elements in _REVERSED.items() for element in elements},
}
_RANK = {(0, element): rank for elements in ELEMENTS.values() for rank, element in enumerate(elements)}


class Template:
    """One template, ready to read data records.

    Attributes:
        start: the element that `start` is, 0 for none: it says in which unit; and `end` the same.
        size_bytes: of one record; of one with fields of variable length, the least.
        is_flow: a record says from where to where.
        options: its records tell of the exporter, not of flows.
        both_ways: a record counts both directions.
        told: the fields as we write them down, for `again`.
        form: what the line of a record says as it is told, to be filled in by `as_told`.
    """

    def __init__(self, fields: Sequence[Field], *, options: bool = False) -> None:
        self.told = b"".join(_TOLD.pack(*field) for field in fields)
        self.options = options
        named = _named(fields)
        self.size_bytes = sum(1 if field.length == _VARIABLE else field.length for field in fields)
        if not 0 < self.size_bytes <= _LONGEST_BYTES or len(fields) > MAX_FIELDS:
            raise ParseError(f"template of {len(fields)} fields and {self.size_bytes} bytes")
        self.start, self.end = (fields[named[name]].element if name in named else 0 for name in ("start", "end"))
        self.is_flow = not options and (
            {"source4", "target4"} <= named.keys() or {"source6", "target6"} <= named.keys()
        )
        self._parts, places, self._odd = _compiled(fields, named)
        missing = len(places)  # the None that `_in_order` puts behind the values
        self._get: Callable[[Values], Values] = itemgetter(*(places.get(name, missing) for name in ELEMENTS))
        self.both_ways = not {"back_packets", "back_octets"}.isdisjoint(named)
        self.form = "".join(f',"{field}":%d' for name, field in AS_TOLD.items() if name in named)
        asked = [_PLACES[name] for name in AS_TOLD if name in named]
        self.as_told: Callable[[Values], Values] = _getter(asked)

    @classmethod
    def again(cls, told: bytes, *, options: bool) -> "Template":
        """The template of which `told` was written down.

        Raises:
            ParseError: it was not.
        """
        if len(told) % _TOLD.size:
            raise ParseError("no template that we wrote")
        return cls([Field(*each) for each in _TOLD.iter_unpack(told)], options=options)

    def records(self, body: bytes, start: int, end: int) -> Iterator[tuple[int, Values]]:
        """(offset, values in the order of ELEMENTS) of each whole record between the two offsets; padding is left.

        Raises:
            ParseError: a field of variable length reaches beyond the end.
        """
        if len(self._parts) > 1:
            yield from self._variable(body, start, end)
            return
        size_bytes, get, odd = self.size_bytes, self._get, self._odd
        whole = end - (end - start) % size_bytes
        values: Values
        for offset, values in zip(
            range(start, whole, size_bytes), self._parts[0].iter_unpack(memoryview(body)[start:whole]), strict=True
        ):
            yield offset, get((*(_whole(values, odd) if odd else values), None))

    def _variable(self, body: bytes, start: int, end: int) -> Iterator[tuple[int, Values]]:
        offset = start
        while end - offset >= self.size_bytes:
            at, values = offset, list[Any]()
            for number, part in enumerate(self._parts):
                if number:
                    at = _after_variable(body, at, end)
                if at + part.size > end:
                    raise ParseError("a field of variable length reaches beyond its set")
                values += part.unpack_from(body, at)
                at += part.size
            yield offset, self._get((*_whole(tuple(values), self._odd), None))
            offset = at


def _getter(places: Sequence[int]) -> Callable[[Values], Values]:
    """As `itemgetter`, which gives no tuple for one place and takes none for no place."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple(values[place] for place in places)


def _named(fields: Sequence[Field]) -> dict[str, int]:
    """The place of the field that each of our names stands for."""
    named: dict[str, int] = {}
    for place, field in enumerate(fields):
        key = (field.enterprise, field.element)
        name = _NAMES.get(key)
        if name is None or (field.length != _ADDRESSES[name] if name in _ADDRESSES else not 1 <= field.length <= 8):
            continue
        before = fields[named[name]] if name in named else None
        if before is None or _RANK.get(key, 9) < _RANK.get((before.enterprise, before.element), 9):
            named[name] = place
    return named


def _compiled(
    fields: Sequence[Field], named: dict[str, int]
) -> tuple[list[struct.Struct], dict[str, int], tuple[int, ...]]:
    """The structs between fields of variable length, where each name stands in their values, and odd-sized numbers."""
    names = {place: name for name, place in named.items()}
    parts, places, odd, skipped = [["!"]], dict[str, int](), list[int](), 0
    for place, field in enumerate(fields):
        name = names.get(place)
        if name is None and field.length != _VARIABLE:
            skipped += field.length
            continue
        if skipped:
            parts[-1].append(f"{skipped}x")
            skipped = 0
        if name is None:
            parts.append(["!"])
            continue
        if name not in _ADDRESSES and field.length not in _NUMBERS:
            odd.append(len(places))
        code = f"{field.length}s" if name in _ADDRESSES else _NUMBERS.get(field.length, f"{field.length}s")
        parts[-1].append(code)
        places[name] = len(places)
    if skipped:
        parts[-1].append(f"{skipped}x")
    return [struct.Struct("".join(part)) for part in parts], places, tuple(odd)


def _whole(values: Values, odd: tuple[int, ...]) -> Values:
    """With the numbers of 3, 5, 6 and 7 bytes as numbers (reduced-size encoding: RFC 7011, section 6.2)."""
    if not odd:
        return values
    changed = list(values)
    for place in odd:
        value = changed[place]
        if isinstance(value, bytes):
            changed[place] = int.from_bytes(value, "big")
    return tuple(changed)


def _after_variable(body: bytes, at: int, end: int) -> int:
    """Where a field of variable length ends (RFC 7011, section 7)."""
    length = body[at] if at < end else _LONGEST_BYTES
    if length == 255 and at + 3 <= end:
        return at + 3 + int.from_bytes(body[at + 1 : at + 3], "big")
    return at + 1 + length


def fields_of(body: bytes, at: int, count: int, *, enterprises: bool) -> tuple[list[Field], int]:
    """`count` field specifiers from offset `at` on, and where they end; only IPFIX has `enterprises`.

    Raises:
        ParseError: the bytes end before, or it is more than anybody has.
    """
    if count > MAX_FIELDS:
        raise ParseError(f"template of {count} fields")
    found: list[Field] = []
    try:
        for _ in range(count):
            element, length = _FIELD.unpack_from(body, at)
            at += _FIELD.size
            enterprise = 0
            if enterprises and element & 0x8000:
                (enterprise,) = _ENTERPRISE.unpack_from(body, at)
                at += _ENTERPRISE.size
            elif not enterprises and length == _VARIABLE:
                raise ParseError("template with a field of 65,535 bytes")
            found.append(Field(element & 0x7FFF if enterprises else element, length, enterprise))
    except struct.error as error:
        raise ParseError(f"template cut: {error}") from error
    return found, at
