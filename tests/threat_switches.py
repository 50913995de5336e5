"""How a control of the threat model is switched off, by name and without a change of its file.

Two ways: `Instead` gives a function other code, so that whoever imported it gets that too; `Changed` puts another value
in the place of a name.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

_PARAMETERS = re.compile(r"\[.*", re.DOTALL)

Make = Callable[[Any], Any]


class Instead(Struct, frozen=True):
    """Give the function `where`, `module:name.name`, the code of `code`.

    That closes over nothing, and the names that it uses are those of the function's own module.
    """

    where: str
    code: Callable[..., Any]


class Changed(Struct, frozen=True):
    """Put `make(what is there)` in the place of `where`, `module:name.name`."""

    where: str
    make: Make


Off = Instead | Changed


class Line(Struct, frozen=True):
    """A line of docs/threat-model.md.

    Attributes:
        tests: `file::name`, without parameters; each must fail while all of `off` is in force.
        raised: what they may fail by beside an assertion.
    """

    id: str
    tests: Sequence[str]
    off: Sequence[Off]
    raised: Sequence[str] = ()


def name_of(nodeid: str) -> str:
    """`file::name` of a test, without its parameters."""
    return _PARAMETERS.sub("", nodeid)


def to(value: Any) -> Make:
    """Makes `value` of anything."""
    return lambda _found: value


def returning(wrap: Make) -> Make:
    """Makes a function into one whose result is wrapped."""
    return lambda found: lambda *args, **named: wrap(found(*args, **named))


def called_with(**arguments: Any) -> Make:
    """Makes a function into one that is called with other arguments, by name."""
    return lambda found: lambda *args, **named: found(*args, **(named | arguments))


def context_with(**attributes: Any) -> Make:
    """Makes a function that makes TLS contexts into one whose contexts have other attributes, set in that order."""

    def changed(context: Any) -> Any:
        for name, value in attributes.items():
            setattr(context, name, value)
        return context

    return returning(changed)


def fields(**changes: Any) -> Make:
    """Makes a struct into one with other values."""
    return lambda found: msgspec.structs.replace(found, **changes)


class Everything(Sequence[Any]):
    """Holds whatever it is asked for."""

    def __contains__(self, _value: object) -> bool:
        return True

    def __getitem__(self, _at: Any) -> Any:
        raise IndexError

    def __len__(self) -> int:
        return 0


class Anyone(str):
    """An organisation that is every other one too."""

    __slots__ = ()

    def __eq__(self, _other: object) -> bool:
        return True

    def __ne__(self, _other: object) -> bool:
        return False

    __hash__ = str.__hash__


# Believes every signature, whatever it is over and whoever made it.
ANY_SIGNATURE = Instead(
    "socmon.feed.signing:_verify", lambda _header, _content, _signature, keys: next(iter(keys.values()), None)
)
ALL_IS_PRINTABLE = Instead("socmon.text:printable", lambda text: text)
NO_RECEIPT_CHECK = Instead("socmon.feed.receipt:check", lambda _reply, _digests, _keys: None)
