"""One spelling for each IP address, so that groups compare equal (RFC 5952; mapped: RFC 4291, section 2.5.5.2)."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address


@lru_cache(maxsize=8192)
def address(text: str) -> str | None:
    """`text` in its one spelling, IPv4-mapped as IPv4, a scope kept; None for all else (a name, `UNKNOWN`)."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(found)
