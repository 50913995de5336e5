"""Addresses that say how an agency's own network is built, in whatever spelling a log line has them.

Spellings: RFC 4291 and 5952; inet_aton of POSIX (hexadecimal, octal, fewer parts); names of reverse DNS (RFC 1035,
section 3.5; RFC 3596, section 2.5); ipv6-literal.net of Windows; dashes, as clouds name hosts; defanged dots.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

# Not `is_private`: it would hide documentation ranges too.
_INTERNAL = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/3",
        "::/127",
        "fc00::/7",
        "fe80::/10",
        "ff00::/8",
    )
)
_NAT64 = ip_network("64:ff9b::/96")
_PART = r"(?:0x[0-9a-f]{1,8}|[0-9]{1,4})"
_DOT = r"(?:\.|\[\.\]|\(\.\)|\[dot\]|\(dot\))"
_DOTTED = rf"(?<![0-9])(?<![0-9]\.){_PART}(?:{_DOT}{_PART}){{3}}(?![0-9])(?:\.in-addr\.arpa)?"
_DASHED = r"(?<![0-9])(?<![0-9][-_])[0-9]{1,3}([-_])[0-9]{1,3}\1[0-9]{1,3}\1[0-9]{1,3}(?![0-9a-z])(?![-_][0-9])"
_COLONS = re.compile(r"[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,16}(?:\.[0-9]{1,3}){0,3}")
# Where one of the networks above begins, be there what may before it: `id:fd00::7` is an address with a word before it.
_OURS = re.compile(r"(?:^|(?<=:))(?:f[cdf][0-9a-f]{2}|fe[89ab][0-9a-f]):")
_NIBBLES = r"(?:[0-9a-f]\.){31}[0-9a-f]\.ip6\.arpa"
_LITERAL = r"(?<![0-9a-z])[0-9a-f]{0,4}(?:-[0-9a-f]{0,4}){2,7}(?:s[0-9a-z]{1,16})?\.ipv6-literal\.net"
_NAMED = re.compile(rf"(?P<nibbles>{_NIBBLES})|(?P<literal>{_LITERAL})")
_WITH_DOTS = re.compile(_DOTTED)
_WITH_DASHES = re.compile(_DASHED)
_SEPARATORS = re.compile(_DOT)


@lru_cache(maxsize=8192)
def address(text: str) -> tuple[str, bool] | None:
    """An address in its shortest form without a scope, and whether it is internal; None if it is none."""
    try:
        found = ip_address(text.partition("%")[0])  # a scope names an interface, and may be any text
    except ValueError:
        return None
    return _judged(found)


def _judged(found: IPv4Address | IPv6Address) -> tuple[str, bool]:
    found = getattr(found, "ipv4_mapped", None) or found
    held = getattr(found, "sixtofour", None)
    if found in _NAT64:
        held = IPv4Address(int(found) & 0xFFFFFFFF)
    return str(found), _inside(found) or (held is not None and _inside(held))


def _inside(found: IPv4Address | IPv6Address) -> bool:
    return any(found in network for network in _INTERNAL if network.version == found.version)


def internal_in(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, address) of each internal address in `text`, which is folded and in lower case.

    Four numbers with dots that are no address are most likely one all the same, oddly written: they count as internal.
    """
    for match in _WITH_DOTS.finditer(text):
        spelt = _quad(match[0])
        found = address(spelt)
        if found is None or found[1]:
            yield (*match.span(), spelt if found is None else found[0])
    for match in _WITH_DASHES.finditer(text):
        found = address(match[0].replace("-", ".").replace("_", "."))
        if found and found[1]:
            yield (*match.span(), found[0])
    if "::" in text or text.count(":") >= 7:
        for match in _COLONS.finditer(text):
            yield from _version_6(match[0], match.start())
    if ".ip" in text:
        for match in _NAMED.finditer(text):
            found = address(_named(match))
            if found and found[1]:
                yield (*match.span(), found[0])


def _quad(text: str) -> str:
    """Four numbers as `ipaddress` reads them, which refuses a leading zero: octal to some, and nothing to others."""
    numbers = _SEPARATORS.split(text.removesuffix(".in-addr.arpa"))
    if text.endswith(".in-addr.arpa"):
        numbers.reverse()
    return ".".join(str(int(number, 16)) if number.startswith("0x") else number for number in numbers)


def _version_6(text: str, offset: int) -> Iterator[tuple[int, int, str]]:
    """The internal address in a run of groups and colons, though a word may join it before, a port or word behind."""
    begins = {0, int(text.startswith(":")), *(match.start() for match in _OURS.finditer(text))}
    for begin in sorted(begins):
        end = len(text)
        while text.count(":", begin, end) >= 2:
            found = address(text[begin:end])
            if found is not None:
                if found[1] and found[0] != "::":  # it tells nothing, and parts names in many languages
                    yield offset + begin, offset + end, found[0]
                break
            end = text.rindex(":", begin, end)


def _named(match: re.Match[str]) -> str:
    """The address that a name of reverse DNS, or of Windows, is made of."""
    if match.lastgroup == "literal":
        return match[0][: -len(".ipv6-literal.net")].partition("s")[0].replace("-", ":")
    nibbles = match[0][: -len(".ip6.arpa")].split(".")[::-1]
    return ":".join("".join(nibbles[at : at + 4]) for at in range(0, 32, 4))


def other_spellings(known: str) -> list[str]:
    """How else an address that is known may stand in a line, as what might be any number; in lower case."""
    found = ip_address(known)
    if found.version == 6:
        return []
    value, parts = int(found), known.split(".")
    hexadecimal = f"{value:08x}"
    backwards = value.to_bytes(4, "little").hex()  # as /proc/net has it
    two, three = value & 0xFFFFFF, value & 0xFFFF
    return [
        str(value),
        f"0x{value:x}",
        f"0x{hexadecimal}",
        hexadecimal,
        backwards,
        f"{parts[0]}.{two}",
        f"{parts[0]}.{parts[1]}.{three}",
    ]
