"""Capture files: pcap with µs or ns, in both byte orders, and pcapng (the IETF drafts opsawg-pcap and -pcapng)."""

from collections.abc import Iterator
from struct import Struct
from typing import BinaryIO

from socmon.errors import ParseError

# No packet and no block is larger, whatever the file says; it is what tcpdump and Wireshark go by.
_LARGEST_PACKET = 262_144 + 65_536
_LARGEST_BLOCK = 16 * 1024 * 1024
_MOST_INTERFACES = 4_096

_PCAP = {  # the first four bytes: byte order, units of a second
    b"\xd4\xc3\xb2\xa1": ("<", 1_000_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1_000_000_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000_000),
}
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6


def read_capture(stream: BinaryIO) -> Iterator[tuple[float, int, bytes]]:
    """Each packet's time, LINKTYPE and frame.

    Raises:
        ParseError: the file is damaged or of another kind; it says at which byte. All packets before it have come out.
    """
    source = _Source(stream)
    magic = source.read(4, "the file's first bytes")
    if magic in _PCAP:
        return _pcap(source, *_PCAP[magic])
    if magic == _PCAPNG:
        return _pcapng(source)
    raise ParseError(f"this is no capture file: it begins with {magic.hex()}, neither as pcap nor as pcapng does")


class _Source:
    """Reads whole pieces, and knows where it is."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.offset = 0

    def read(self, size: int, what: str, begun: bytes = b"") -> bytes:
        """Exactly `size` bytes; `begun` of them have been read."""
        data = self.read_or_end(size, what, begun)
        if size and not data:
            raise ParseError(f"the file ends at byte {self.offset}, where {what} should be")
        return data

    def read_or_end(self, size: int, what: str, begun: bytes = b"") -> bytes:
        """As `read`, or none when the file ends here."""
        data = begun or self.stream.read(size)
        while 0 < len(data) < size and (more := self.stream.read(size - len(data))):
            data += more
        if 0 < len(data) < size:
            raise ParseError(f"the file ends at byte {self.offset + len(data)}, in the middle of {what}")
        self.offset += len(data)
        return data


def _pcap(source: _Source, order: str, units: int) -> Iterator[tuple[float, int, bytes]]:
    *_, link = Struct(f"{order}HHiIII").unpack(source.read(20, "the header of the file"))
    link &= 0xFFFF  # above stand the length of a checksum, and flags
    # This runs for every packet, so it asks the stream itself, and the source only where the stream gave less.
    unpack, read = Struct(f"{order}IIII").unpack, source.stream.read
    begun = source.offset
    while head := read(16):
        if len(head) < 16:
            source.offset = begun
            head = source.read(16, "the header of a packet", head)
        seconds, fraction, size, _ = unpack(head)
        if size > _LARGEST_PACKET:
            raise ParseError(f"the packet at byte {begun} is said to have {size} bytes")
        frame = read(size)
        if len(frame) < size:
            source.offset = begun + 16
            frame = source.read(size, "a packet", frame)
        begun += 16 + size
        yield seconds + fraction / units, link, frame


class _Interface:
    """What an interface description block says."""

    def __init__(self, order: str, body: bytes) -> None:
        self.link, self.cut = Struct(f"{order}HxxI").unpack_from(body)
        self.units, self.shift = 1_000_000, 0
        for code, value in _options(order, body, 8):
            if code == 9 and len(value) == 1:  # if_tsresol
                self.units = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** (value[0] & 0x7F)
            elif code == 14 and len(value) == 8:  # if_tsoffset
                (self.shift,) = Struct(f"{order}q").unpack(value)

    def time(self, high: int, low: int) -> float:
        """Seconds since 1970."""
        seconds, fraction = divmod(high << 32 | low, self.units)
        return seconds + self.shift + fraction / self.units


def _options(order: str, body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    head = Struct(f"{order}HH")
    while at + 4 <= len(body):
        code, length = head.unpack_from(body, at)
        if code == 0:
            return
        yield code, body[at + 4 : at + 4 + length]
        at += 4 + (length + 3 & ~3)


def _pcapng(source: _Source) -> Iterator[tuple[float, int, bytes]]:
    interfaces: list[_Interface] = []
    order = _section(source)
    last = 0.0  # a simple packet has no time: it gets that of the one before
    while data := source.read_or_end(8, "the header of a block"):
        begun = source.offset - 8
        kind, length = Struct(f"{order}II").unpack(data)
        if kind == _SECTION:
            order, interfaces = _section(source, data[4:]), []
            continue
        if length < 12 or length % 4 or length > _LARGEST_BLOCK:
            raise ParseError(f"the block at byte {begun} is said to have {length} bytes")
        body = source.read(length - 8, "a block")
        if body[-4:] != data[4:]:
            raise ParseError(f"the block at byte {begun} does not end with its length")
        if kind == _INTERFACE:
            interfaces.append(_interface(order, body[:-4], begun, len(interfaces)))
        elif kind in (_PACKET, _OLD_PACKET, _SIMPLE_PACKET):
            last, link, frame = _packet(order, kind, body[:-4], interfaces, begun, last)
            yield last, link, frame


def _section(source: _Source, length: bytes = b"") -> str:
    """The byte order of the section whose type has just been read."""
    begun = source.offset - 4 - len(length)
    length = length or source.read(4, "the length of a section header")
    mark = source.read(4, "the byte order of a section")
    order = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}.get(mark)
    if order is None:
        raise ParseError(f"the section at byte {begun} does not say its byte order: {mark.hex()}")
    (size,) = Struct(f"{order}I").unpack(length)
    if size < 28 or size % 4 or size > _LARGEST_BLOCK:
        raise ParseError(f"the section header at byte {begun} is said to have {size} bytes")
    source.read(size - 12, "a section header")
    return order


def _interface(order: str, body: bytes, begun: int, known: int) -> _Interface:
    if len(body) < 8 or known >= _MOST_INTERFACES:
        raise ParseError(f"the interface at byte {begun} is cut off, or one of too many")
    return _Interface(order, body)


def _packet(
    order: str, kind: int, body: bytes, interfaces: list[_Interface], begun: int, last: float
) -> tuple[float, int, bytes]:
    """Time, link type and frame of a block with a packet."""
    number, high, low, size, at = 0, 0, 0, 0, 20
    if kind == _SIMPLE_PACKET and len(body) >= 4:
        (size,), at = Struct(f"{order}I").unpack_from(body), 4
        size = min(size, len(body) - 4)
    elif kind != _SIMPLE_PACKET and len(body) >= 20:
        number, high, low, size, _ = Struct(f"{order}{'HxxIII' if kind == _OLD_PACKET else 'IIII'}I").unpack_from(body)
    else:
        raise ParseError(f"the packet at byte {begun} is cut off")
    if number >= len(interfaces) or at + size > len(body):
        raise ParseError(f"the packet at byte {begun} is cut off, or of interface {number}, which is not described")
    interface = interfaces[number]
    if kind == _SIMPLE_PACKET:
        return last, interface.link, body[at : at + min(size, interface.cut or size)]
    return interface.time(high, low), interface.link, body[at : at + size]
