"""Kinds of collectors and forwarders: name → class, through entry points, importing only what is in use."""

import sys
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points, packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from socmon.component import Collector, Component, Forwarder
from socmon.errors import ConfigError

Group = Literal["socmon.collectors", "socmon.forwarders"]
GROUPS: tuple[Group, ...] = ("socmon.collectors", "socmon.forwarders")

_BASES: dict[Group, type[Component[Any]]] = {"socmon.collectors": Collector, "socmon.forwarders": Forwarder}
_PACKAGES = ("collectors", "forwarders")


def kinds(group: Group) -> list[str]:
    """Names of all installed kinds of a group, sorted; imports none of them."""
    return sorted(entry_points(group=group).names)


def registered(group: Group, kind: str) -> EntryPoint:
    """The entry point of a kind.

    Raises:
        ConfigError: there is no such kind, or two distributions claim it.
    """
    found = list(entry_points(group=group, name=kind))
    word = group.removeprefix("socmon.")
    if not found:
        known = kinds(group)
        raise ConfigError(
            [f"no kind of {word} is called {kind[:60]!r}{did_you_mean(kind, known)}; known: {', '.join(known)}"]
        )
    if len({entry.value for entry in found}) > 1:
        owners = " and ".join(sorted(owner(entry) for entry in found))
        raise ConfigError([f"kind {kind!r} of {word} is provided by {owners}; uninstall all but one"])
    return found[0]


def find(group: Group, kind: str) -> type[Component[Any]]:
    """Import and return the class of a kind.

    Raises:
        ConfigError: there is no such kind, or its package cannot be imported or holds no such class.
    """
    entry = registered(group, kind)
    try:
        cls = entry.load()
    except ModuleNotFoundError as error:
        remedy = f"install it into {sys.prefix}"
        raise ConfigError(
            [f"kind {kind!r} of {owner(entry)} needs the Python module {error.name!r}; {remedy}"]
        ) from error
    except (ImportError, AttributeError) as error:
        remedy = f"install {owner(entry)} again"
        raise ConfigError([f"kind {kind!r} cannot be imported from {entry.value}: {error}; {remedy}"]) from error
    base = _BASES[group]
    if not (isinstance(cls, type) and issubclass(cls, base) and hasattr(cls, "settings_type")):
        raise ConfigError(
            [f"kind {kind!r}: {entry.value} of {owner(entry)} is no {base.__name__} with a settings_type"]
        )
    return cls


def shadowed() -> list[str]:
    """A warning for each of our top-level packages that another distribution provides too; [] when all is well."""
    ours = Path(str(sys.modules["socmon"].__file__)).parent.parent
    owners = packages_distributions()
    warnings = []
    for name in _PACKAGES:
        spec = find_spec(name)
        place = Path(spec.origin).parent.parent if spec and spec.origin else None
        others = sorted(set(owners.get(name, [])) - {"socmon"})
        if others or place != ours:
            other = ", ".join(others) or f"{place or 'nothing'}"
            remedy = "install socmon into a virtual environment of its own"
            warnings.append(f"the Python package {name!r} of socmon is also provided by {other}; {remedy}")
    return warnings


def did_you_mean(word: str, known: list[str], *, alike: float = 0.6) -> str:
    """`; did you mean 'x'?`, or "" if none of `known` is so much alike, from 0 to 1 (difflib)."""
    close = get_close_matches(word, known, n=1, cutoff=alike)
    return f"; did you mean {close[0]!r}?" if close else ""


def owner(entry: EntryPoint) -> str:
    """The distribution that registered a kind."""
    return entry.dist.name if entry.dist else "an unknown package"
