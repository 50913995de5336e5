"""Whose an event is: the agency and system that it happened to (docs/semantics.md, "Agency and system")."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

import re2

from socmon.enrich.inventory import MAX_NAME_CHARS, Inventory, Network, folded
from socmon.event import NOBODY, OWN, ZEEK, Event, Owner

MAX_UNKNOWN = 1_000
_REMEMBERED = 16_384  # hosts and addresses, each
_MAX_ADDRESS_CHARS = 64

_LISTS = ("rx_hosts", "tx_hosts")
# Sensors also see what one host asks of a server for all: it is told of the host. And who claims an address by ARP is
# told of whoever has that address; a file is told of who got it.
_ENDS_OF_ZEEK: Mapping[str, tuple[str, ...]] = {
    "dns": ("id.orig_h", "id.resp_h"),
    "arp": ("id.orig_h", "id.resp_h"),
    "dhcp": ("client_addr", "assigned_addr", "server_addr"),
    "files": ("id.resp_h", "id.orig_h", *_LISTS),
}
_WILDCARDS: Mapping[str, str] = {"*": ".*", "?": "."}


class Assets:
    """Says whose an event is, by the inventory; what it said it remembers.

    Attributes:
        inventory: what it goes by.
        unknown: hosts, or where they are not stated the peers, that are nobody's, as `look_at` met them; at most
            MAX_UNKNOWN, as names can be made up.
    """

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self._networks = _Networks(inventory.networks)
        self._names = _Names(inventory.patterns)
        self._relays = _Networks(dict.fromkeys(inventory.relays, Owner("relay")))
        self.unknown: dict[str, None] = {}
        remember = lru_cache(maxsize=_REMEMBERED)
        self._of_address: Callable[[str], Owner] = remember(self._networks.find)
        self._of_source: Callable[[str, str], Owner] = remember(self._find_source)

    def owner(self, event: Event) -> Owner:
        """The owner; NOBODY if the inventory knows none.

        Of traffic that a third saw (it has a `dst_ip`, or a sensor tells of it) the target's, else the sender's; of a
        question to a service for all the asker's first. Else that of the host that the message names, else that of the
        peer that it came from. The other side of a host's own event is never asked.
        """
        for name in _ends(event):
            value = event.fields.get(name)
            owner = self._of_end(value[0] if name in _LISTS and isinstance(value, list) and value else value)
            if owner is not NOBODY:
                return owner
        host = event.host
        return self._of_source(host if len(host) <= MAX_NAME_CHARS else host[:MAX_NAME_CHARS], event.record.source.peer)

    def look_at(self, clocks: Iterable[tuple[str, str, str]]) -> None:
        """Note which of these (collector, peer, host) are nobody's; socmon's own records are of no host."""
        for collector, peer, host in clocks:
            if collector == OWN:
                continue
            name = host[:MAX_NAME_CHARS]
            if self._of_source(name, peer) is NOBODY and len(self.unknown) < MAX_UNKNOWN:
                self.unknown[name or peer] = None

    def _of_end(self, value: object) -> Owner:
        return self._of_address(value) if isinstance(value, str) and len(value) <= _MAX_ADDRESS_CHARS else NOBODY

    def _find_source(self, host: str, peer: str) -> Owner:
        owner = self._of_name(host) if host else NOBODY
        if owner is NOBODY and self._relays.find(peer) is NOBODY:
            owner = self._of_name(peer)
        return owner

    def _of_name(self, name: str) -> Owner:
        owner = self._names.find(name)
        return self._networks.find(name) if owner is NOBODY else owner


def _ends(event: Event) -> tuple[str, ...]:
    """The fields with the two ends of traffic that a third saw, in the order in which they are asked."""
    if event.logsource.product == ZEEK:
        return _ENDS_OF_ZEEK.get(event.logsource.service or "", ("id.resp_h", "id.orig_h"))
    return ("dst_ip", "src_ip") if "dst_ip" in event.fields else ()


class _Networks:
    """Longest prefix first: a table for each length of prefix that occurs, so many networks cost no more than few."""

    def __init__(self, networks: Mapping[Network, Owner]) -> None:
        tables: dict[int, dict[int, dict[int, Owner]]] = {4: {}, 6: {}}
        for network, owner in networks.items():
            shift = network.max_prefixlen - network.prefixlen
            tables[network.version].setdefault(shift, {})[int(network.network_address) >> shift] = owner
        self._tables = {version: sorted(by_shift.items()) for version, by_shift in tables.items()}

    def find(self, text: str) -> Owner:
        """The owner of the address `text`; NOBODY if it is no address, or in no network."""
        address = _address(text)
        if address is not None:
            number = int(address)
            for shift, table in self._tables[address.version]:
                if owner := table.get(number >> shift):
                    return owner
        return NOBODY


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


class _Names:
    """A name as it stands, then the glob with the longest beginning, then the one with the most letters in all.

    Globs are kept by their beginnings, so of many only those are tried that can match.
    """

    def __init__(self, patterns: Mapping[str, Owner]) -> None:
        self._exact = {name: owner for name, owner in patterns.items() if not _is_glob(name)}
        self._globs: dict[str, list[tuple[Callable[[bytes], object], Owner]]] = {}
        for glob in sorted(filter(_is_glob, patterns), key=_letters, reverse=True):
            self._globs.setdefault(_beginning(glob), []).append((_matcher(glob), patterns[glob]))
        self._lengths = sorted({len(beginning) for beginning in self._globs}, reverse=True)

    def find(self, text: str) -> Owner:
        name = folded(text)
        if name in self._exact:
            return self._exact[name]
        data = name.encode(errors="replace")
        for length in self._lengths:
            for matches, owner in self._globs.get(name[:length], ()):
                if matches(data):
                    return owner
        return NOBODY


def _is_glob(pattern: str) -> bool:
    return not _WILDCARDS.keys().isdisjoint(pattern)


def _beginning(glob: str) -> str:
    return re.split(r"[*?]", glob, maxsplit=1)[0]


def _letters(glob: str) -> int:
    return sum(character not in _WILDCARDS for character in glob)


def _matcher(glob: str) -> Callable[[bytes], object]:
    """By RE2, because names come from attackers: `*a*a*a*` would keep another engine busy for minutes."""
    pattern = "".join(_WILDCARDS.get(character) or re2.escape(character) for character in glob)
    compiled: Callable[[bytes], object] = re2.compile(f"(?s){pattern}".encode()).fullmatch
    return compiled
