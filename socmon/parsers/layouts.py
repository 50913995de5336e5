"""Flat JSON by its layout: lines of one kind have the same keys, and what is known of these need not be found anew.

A struct made for a layout is decoded faster than a dictionary, and where that succeeds it proves that the line is what
`json.as_decoded` takes as it is: it has no other keys, no object in it, no whole number beyond 64 bits and no byte that
is not UTF-8. Which layout to try is only a guess, by the bytes from a mark on. Whatever does not fit is for the general
way.

All is bounded, whatever a sender writes: hints by number, and names by how many layouts were ever made of. Once they
are used up, no more layouts are made, and lines of new kinds go the general way.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Generic, NewType, TypeVar

import msgspec
from msgspec.structs import astuple

from socmon.parsers import json

_LayoutT = TypeVar("_LayoutT")
# By a name of its own, msgspec does not look through all of it for each member of each struct: half the time.
_Flat = NewType("_Flat", json.FlatValue)  # type: ignore[valid-newtype]  # nobody makes one; msgspec takes any type

_HINT_BYTES = 16
_MOST_HINTS = 1024  # with a layout
_MOST_MET = 1024  # hints without one
_OFTEN = 16  # a layout is made for a hint that was met as often: to make one takes as long as it spares of fifty
_MISSED = 4  # lines have to be before a layout is made anew; each time twice as many
_MOST_NAMES = 256  # of one layout
_MOST_IN_ALL = 65_536  # names, of all layouts that are ever made; a name takes about 600 bytes
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_NOTHING = " "  # what is called so can only be null, and has no name for rules
_MOST_MISSED = 32
_REST = 1024  # lines


class _Kind(Generic[_LayoutT]):
    """What is known of the lines with one hint.

    Attributes:
        names: that lines had, in their order.
        made: how many of these `layout` has.
        fitted, missed: lines that had this layout, and had not, since it rested.
        resting: lines for which it is not tried, as it had failed too often.
    """

    __slots__ = ("decode", "fitted", "layout", "made", "missed", "names", "resting")

    def __init__(self, layout: _LayoutT) -> None:
        self.layout = layout
        self.names: dict[str, None] = {}
        self.decode = _decoder(self.names, {})
        self.made = self.fitted = self.missed = self.resting = 0


class Layouts(Generic[_LayoutT]):
    """The layouts of lines, learnt from them. For one thread.

    Args:
        mark: bytes with which the hint begins.
        make: what to know of a layout, by its names in their order.
        types: of values, by name, where not anything flat will do.

    Attributes:
        made: how many layouts were made.
    """

    def __init__(
        self, mark: bytes, make: Callable[[tuple[str, ...]], _LayoutT], types: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self.made = 0
        self._mark = mark
        self._make = make
        self._types = types
        self._left = _MOST_IN_ALL
        self._met: dict[bytes, tuple[int, dict[str, None]]] = {}
        self._kinds: dict[bytes, _Kind[_LayoutT]] = {}

    def read(self, data: bytes) -> tuple[_LayoutT, tuple[Any, ...]] | None:
        """The layout of a line, and the values of its names with None behind them; None if none is known.

        What a line lacks is None too.
        """
        start = data.find(self._mark)
        hint = data[start : start + _HINT_BYTES]
        kind = self._kinds.get(hint)
        if kind is None:
            self._meet(hint, data)
            return None
        if kind.resting:
            kind.resting -= 1
            return None
        try:
            values = astuple(kind.decode(data))
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._miss(kind, data)
            return None
        kind.fitted += 1
        return kind.layout, values

    def _meet(self, hint: bytes, data: bytes) -> None:
        if len(self._kinds) >= _MOST_HINTS:
            return
        before, names = self._met.pop(hint, (0, {}))
        names = _with_names(names, data)
        if before + 1 >= _OFTEN:
            kind = self._kinds[hint] = _Kind(self._make(()))
            self._learn(kind, names)
            return
        if len(self._met) >= _MOST_MET:
            self._met.clear()
        self._met[hint] = before + 1, names

    def _miss(self, kind: _Kind[_LayoutT], data: bytes) -> None:
        kind.missed += 1
        if kind.missed > _MOST_MISSED and kind.missed > kind.fitted:
            kind.resting, kind.missed, kind.fitted = _REST, 0, 0
        else:
            self._learn(kind, _with_names(kind.names, data))

    def _learn(self, kind: _Kind[_LayoutT], names: dict[str, None]) -> None:
        """Know of more names; the more lines were missed, the more have to be before there is a new layout."""
        kind.names = names
        is_time = kind.missed == 0 or (kind.missed >= _MISSED and kind.missed & (kind.missed - 1) == 0)
        if is_time and kind.made < len(names) <= self._left:
            self._left -= len(names)
            self.made += 1
            kind.made = len(names)
            kind.layout, kind.decode = self._make((*names,)), _decoder(names, self._types)


def _with_names(names: dict[str, None], data: bytes) -> dict[str, None]:
    """Names, and those of a line behind them; not those of a line that has none of a layout, or too many."""
    fields = json.as_decoded(data)
    if fields is None or not all(map(_NAME.fullmatch, fields)):
        return names
    more = names | dict.fromkeys(fields)
    return more if len(more) <= _MOST_NAMES else names


def _decoder(names: dict[str, None], types: Mapping[str, Any]) -> Callable[[bytes], msgspec.Struct]:
    attributes = {f"f{place}": name for place, name in enumerate(names)}
    made = msgspec.defstruct(
        "Line",
        [
            *((attribute, types.get(name, _Flat), None) for attribute, name in attributes.items()),
            ("nothing", None, None),
        ],
        rename={**attributes, "nothing": _NOTHING},
        forbid_unknown_fields=True,
        gc=False,
    )
    return msgspec.json.Decoder(made).decode
