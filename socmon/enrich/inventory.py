"""The inventory: agencies, their systems with security levels, and the networks and host names that are theirs.

`assets.example.yaml` shows the form. A part that cannot be used is a problem with its place, and the rest is used.
Names are compared in Unicode's composed form without case (NFC, UAX #15), however file and log write them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from unicodedata import normalize

from msgspec import Struct

from socmon.event import Owner
from socmon.registry import did_you_mean
from socmon.yamlfile import Document, Place, read

Network = IPv4Network | IPv6Network

MAX_NAME_CHARS = 255  # of a host name, and so of a pattern (RFC 1035, section 2.3.4)
_MAX_TITLE_CHARS = 200
_LEVELS = range(1, 6)  # Law 116/2025/QH15, article 8
# An agency id is an organisation of the feed, a system id is a text of it (socmon/feed/schemas/finding.v1.json).
_AGENCY_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,63}")
_SYSTEM_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
_WIDEST: Mapping[int, int] = {4: 8, 6: 16}  # shorter prefixes are nobody's: with one, an attacker would be an agency's
_MAPPED = IPv6Network("::ffff:0:0/96")

_TOP_KEYS = ("agencies", "relays")
_AGENCY_KEYS = ("id", "name", "name_en", "systems", "networks", "hosts")
_SYSTEM_KEYS = ("id", "name", "name_en", "level", "networks", "hosts")


class System(Struct, frozen=True):
    """An information system; `level` is its security level, 1 to 5, None where none was assigned."""

    id: str
    name: str
    name_en: str
    level: int | None


class Agency(Struct, frozen=True):
    """An agency; `id` is its code among the organisations of the state, `name` is Vietnamese."""

    id: str
    name: str
    name_en: str
    systems: list[System]


class Inventory(Struct):
    """What the files say.

    Attributes:
        agencies: by id.
        networks: each with whose it is; they may overlap, and no two are equal.
        patterns: host names, `*` and `?` in them, folded (see `folded`), each with whose it is.
        relays: hosts that pass on what others send: their own address says nothing.
        problems: why parts were refused, `path:line: place: what; the remedy`.
    """

    agencies: dict[str, Agency] = {}
    networks: dict[Network, Owner] = {}
    patterns: dict[str, Owner] = {}
    relays: list[Network] = []
    problems: list[str] = []


def folded(name: str) -> str:
    """A host name for comparison: without case, composed."""
    return name.lower() if name.isascii() else normalize("NFC", normalize("NFC", name).casefold())


def load_inventory(paths: Iterable[Path]) -> Inventory:
    """Read the files at `paths`, folders with all their *.yaml and *.yml; nothing is raised for what cannot be used."""
    reading = _Reading()
    for path in paths:
        files = sorted(path.glob("*.y*ml")) if path.is_dir() else [path]
        if not files:
            reading.inventory.problems.append(
                f"{path}: no .yaml file can be seen in this folder; check path and rights"
            )
        for file in files:
            reading.add(read(file))
    return reading.inventory


class _Reading:
    """Files on their way into one inventory."""

    def __init__(self) -> None:
        self.inventory = Inventory()
        self._document = Document(Path())
        self._taken: dict[object, tuple[Document, Place]] = {}  # what may stand once only → where it stands first

    def add(self, document: Document) -> None:
        self._document = document
        self.inventory.problems += document.problems
        if (data := self._mapping((), document.data or {}, _TOP_KEYS)) is None:
            return
        for place, value in self._list((), data, "agencies"):
            self._agency(place, value)
        for place, value in self._list((), data, "relays"):
            if network := self._network(place, value):
                self.inventory.relays.append(network)

    def _agency(self, place: Place, value: object) -> None:
        data = self._mapping(place, value, _AGENCY_KEYS)
        agency_id = self._id(place, data, _AGENCY_ID, "such as 000.00.12.H07") if data is not None else None
        if data is None or agency_id is None or not self._is_first((*place, "id"), ("agency", agency_id), agency_id):
            return
        systems = (self._system(at, each, agency_id) for at, each in self._list(place, data, "systems"))
        found = [system for system in systems if system]
        self.inventory.agencies[agency_id] = Agency(agency_id, *self._names(place, data), found)
        self._holdings(place, data, Owner(agency_id))

    def _system(self, place: Place, value: object, agency_id: str) -> System | None:
        data = self._mapping(place, value, _SYSTEM_KEYS)
        system_id = self._id(place, data, _SYSTEM_ID, "such as dvc") if data is not None else None
        known = ("system", agency_id, system_id)
        if data is None or system_id is None or not self._is_first((*place, "id"), known, system_id):
            return None
        level = data.get("level")
        if level is not None and (not isinstance(level, int) or isinstance(level, bool) or level not in _LEVELS):
            self._problem((*place, "level"), f"{_shown(level)} is no security level; write 1 to 5, or leave it out")
            level = None
        self._holdings(place, data, Owner(agency_id, system_id, level))
        return System(system_id, *self._names(place, data), level)

    def _holdings(self, place: Place, data: Mapping[str, Any], owner: Owner) -> None:
        for at, value in self._list(place, data, "networks"):
            network = self._network(at, value)
            if network and self._is_first(at, network, str(network)):
                self.inventory.networks[network] = owner
        for at, value in self._list(place, data, "hosts"):
            if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_CHARS or not value.isprintable():
                self._problem(at, f"{_shown(value)} is no host name; write one such as dvc-web-01 or 'dvc-*'")
            elif self._is_first(at, folded(value), value):
                self.inventory.patterns[folded(value)] = owner

    def _network(self, place: Place, value: object) -> Network | None:
        try:
            network = ip_network(value) if isinstance(value, str) else None
        except ValueError:
            network = None
        if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
            network = IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
        if network is None:
            self._problem(place, f"{_shown(value)} is no network; write {_nearest(value)}")
        elif network.prefixlen < _WIDEST[network.version]:
            self._problem(place, f"{network} is wider than any agency; write its own networks")
        else:
            return network
        return None

    # ── the form ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _mapping(self, place: Place, value: object, known: tuple[str, ...]) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            self._problem(place, f"must hold `{known[0]}: …` and the like, not {_shown(value)}")
            return None
        for key in value:
            if key not in known:
                close = did_you_mean(key, list(known))
                self._problem((*place, key), f"unknown key{close}; known: {', '.join(known)}")
        return value

    def _list(self, place: Place, data: Mapping[str, Any], key: str) -> Iterator[tuple[Place, object]]:
        values, at = data.get(key), (*place, key)
        if isinstance(values, list):
            yield from (((*at, index), value) for index, value in enumerate(values))
        elif values is not None:
            self._problem(at, "must be a list: write [ONE, OTHER], or a line `- ONE` for each")

    def _id(self, place: Place, data: Mapping[str, Any], pattern: re.Pattern[str], example: str) -> str | None:
        value = data.get("id")
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        said = "missing" if value is None else f"{_shown(value)} is no id"
        self._problem((*place, "id"), f"{said}; write one of A-Z, a-z, 0-9, . and -, {example}, in quotes if a number")
        return None

    def _names(self, place: Place, data: Mapping[str, Any]) -> tuple[str, str]:
        return self._name(place, data, "name"), self._name(place, data, "name_en")

    def _name(self, place: Place, data: Mapping[str, Any], key: str) -> str:
        value = data.get(key, "")
        if isinstance(value, str) and len(value) <= _MAX_TITLE_CHARS:
            return normalize("NFC", value)
        self._problem((*place, key), f"{_shown(value)} is no name; write up to {_MAX_TITLE_CHARS} characters of text")
        return ""

    def _is_first(self, place: Place, what: object, shown: str) -> bool:
        """Whether `what`, which may stand once only, stands here for the first time."""
        first = self._taken.setdefault(what, (self._document, place))
        if first[0] is self._document and first[1] == place:
            return True
        stands = first[0].at(first[1])
        self._problem(place, f"{shown[:60]!r} stands already at {stands}, which is used; remove one of them")
        return False

    def _problem(self, place: Place, what: str) -> None:
        if place not in self._document.broken:  # what the file itself has wrong is told already
            where = ".".join(str(step)[:60] for step in place)
            told = (self._document.at(place), where, what)
            self.inventory.problems.append(": ".join(part for part in told if part))


def _shown(value: object) -> str:
    return repr(value)[:60]


def _nearest(value: object) -> str:
    """A network to write instead of `value`: the one that it lies in, if it says so much."""
    try:
        return str(ip_network(str(value), strict=False))
    except ValueError:
        return "one such as 10.1.0.0/16 or 2001:db8::/32, or an address"
