"""ClientHello and ServerHello (RFC 8446, section 4.1), and the fingerprints JA3 and JA4 (of TLS clients only).

Whatever is cut off raises IndexError or struct.error.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import md5, sha256
from itertools import filterfalse
from struct import Struct, pack, unpack_from

from msgspec import Struct as Fields

_short = Struct("!H").unpack_from
_pair = Struct("!HH").unpack_from

_is_grease = frozenset(value << 8 | value for value in range(0x0A, 0x100, 0x10)).__contains__  # RFC 8701
_SERVER_NAME, _GROUPS, _POINT_FORMATS, _SIGNATURES, _ALPN, _VERSIONS, _KEY_SHARE = 0, 10, 11, 13, 16, 43, 51

# Some clients send more of everything than anybody needs; a fingerprint of so many says no more.
_MOST_EXTENSIONS = 256
_MOST_REMEMBERED = 256

Numbers = tuple[int, ...]

_JA4_VERSIONS = {
    0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2",
    0xFEFF: "d1", 0xFEFD: "d2", 0xFEFC: "d3",
}  # fmt: skip


class Offer(Fields, frozen=True):
    """What a client offers, whomever it asks for; in its order, GREASE taken out."""

    version: int
    ciphers: Numbers
    extensions: Numbers
    groups: Numbers
    point_formats: bytes
    signatures: Numbers
    versions: Numbers
    alpn: bytes

    @property
    def fingerprints(self) -> tuple[str, str]:
        """JA3 and JA4. Of offers of a usual size they are remembered, as a network has few kinds of clients."""
        numbers = len(self.ciphers) + len(self.groups) + len(self.signatures) + len(self.versions)
        return _remembered(self) if numbers <= _MOST_REMEMBERED else (self.ja3(), self.ja4())

    def ja3(self) -> str:
        """MD5 of the numbers as they came."""
        lists = (self.ciphers, self.extensions, self.groups, self.point_formats)
        plain = f"{self.version}," + ",".join("-".join(map(str, numbers)) for numbers in lists)
        return md5(plain.encode(), usedforsecurity=False).hexdigest()

    def ja4(self, transport: str = "t") -> str:
        """The counts in plain, then hashes of the sorted numbers; `transport` is t (TCP), q (QUIC) or d (DTLS)."""
        version = _JA4_VERSIONS.get(max(self.versions, default=self.version), "00")
        named = "d" if _SERVER_NAME in self.extensions else "i"
        counts = f"{min(len(self.ciphers), 99):02d}{min(len(self.extensions), 99):02d}"
        hashed = [number for number in self.extensions if number not in (_SERVER_NAME, _ALPN)]
        signatures = "_" + _hexes(self.signatures) if self.signatures else ""
        return (
            f"{transport}{version}{named}{counts}{_first_and_last(self.alpn)}"
            f"_{_hash(_hexes(sorted(self.ciphers)))}_{_hash(_hexes(sorted(hashed)) + signatures)}"
        )


@lru_cache(maxsize=512)
def _remembered(offer: Offer) -> tuple[str, str]:
    return offer.ja3(), offer.ja4()


class ClientHello(Fields, frozen=True):
    """What a client offers, and whom it asks for."""

    offer: Offer
    server_name: bytes


class ServerHello(Fields, frozen=True):
    """What a server chose."""

    version: int
    legacy_version: int
    cipher: int
    extensions: list[int]
    group: int
    alpn: bytes

    def ja3s(self) -> str:
        """MD5 of the numbers as they came."""
        plain = f"{self.legacy_version},{self.cipher},{'-'.join(map(str, self.extensions))}"
        return md5(plain.encode(), usedforsecurity=False).hexdigest()


def _hexes(numbers: Sequence[int]) -> str:
    """In four digits each, with commas between."""
    return pack(f"!{len(numbers)}H", *numbers).hex(",", 2)


def _hash(plain: str) -> str:
    return sha256(plain.encode()).hexdigest()[:12] if plain else "0" * 12


def _first_and_last(alpn: bytes) -> str:
    if not alpn:
        return "00"
    if alpn[0] > 127:  # FoxIO's own program does so
        return "99"
    ends = alpn[:1] + alpn[-1:]
    return ends.decode() if ends.isalnum() else alpn.hex()[0] + alpn.hex()[-1]


def read_client_hello(data: bytes) -> ClientHello:
    """Read one without its handshake header."""
    (version,) = _short(data)
    at = 34
    at += 1 + data[at]  # session id
    (size,) = _short(data, at)
    ciphers = _numbers(data[at + 2 : at + 2 + size])
    at += 2 + size
    at += 1 + data[at]  # compression
    extensions = _extensions(data, at)
    found: dict[int, bytes] = {}
    for kind, value in extensions:
        found.setdefault(kind, value)
    points = found.get(_POINT_FORMATS, b"")
    offer = Offer(
        version=version,
        ciphers=ciphers,
        extensions=_without_grease(kind for kind, _ in extensions),
        groups=_numbers(found.get(_GROUPS, b"")[2:]),
        point_formats=points[1 : 1 + points[0]] if points else b"",
        signatures=_numbers(found.get(_SIGNATURES, b"")[2:]),
        versions=_numbers(found.get(_VERSIONS, b"")[1:]),
        alpn=_protocol(found.get(_ALPN, b"")),
    )
    return ClientHello(offer, _host(found.get(_SERVER_NAME, b"")))


def read_server_hello(data: bytes) -> ServerHello:
    """Read one without its handshake header."""
    (version,) = _short(data)
    at = 34
    at += 1 + data[at]
    (cipher,) = _short(data, at)
    extensions = _extensions(data, at + 3)
    found = dict(extensions)
    chosen = found.get(_VERSIONS, b"")
    share = found.get(_KEY_SHARE, b"")
    return ServerHello(
        version=_short(chosen)[0] if len(chosen) == 2 else version,
        legacy_version=version,
        cipher=cipher,
        extensions=[kind for kind, _ in extensions],
        group=_short(share)[0] if len(share) >= 2 else 0,
        alpn=_protocol(found.get(_ALPN, b"")),
    )


def _extensions(data: bytes, at: int) -> list[tuple[int, bytes]]:
    """Type and content of each; a hello may end without any."""
    found: list[tuple[int, bytes]] = []
    if at + 2 > len(data):
        return found
    end = min(at + 2 + _short(data, at)[0], len(data))
    at += 2
    for _ in range(_MOST_EXTENSIONS):
        if at + 4 > end:
            break
        kind, size = _pair(data, at)
        at += 4
        found.append((kind, data[at : at + size]))
        at += size
    return found


def _numbers(data: bytes) -> Numbers:
    return _without_grease(unpack_from(f"!{len(data) // 2}H", data))


def _without_grease(numbers: Iterable[int]) -> Numbers:
    return tuple(filterfalse(_is_grease, numbers))


def _protocol(alpn: bytes) -> bytes:
    """The first of the list."""
    return alpn[3 : 3 + alpn[2]] if len(alpn) > 3 else b""


def _host(names: bytes) -> bytes:
    """The first name of the list, if it is one of a host."""
    if len(names) < 5 or names[2]:
        return b""
    return names[5 : 5 + _short(names, 3)[0]]
