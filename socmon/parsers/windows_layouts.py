"""Events of Windows by their layout: what is known of events whose members have the same names.

Nearly no event matches a rule, and to tell that it takes no more than to decode it: the rest its layout says. Only of
those that match all is made that `windows_json.parse` makes.

For a layout that is met often a struct is made, which is decoded in three quarters of the time of a dictionary, and
proves that the line has these members and no others. Which layout to try is a guess: that of the last event before with
the same bytes from `"EventID"` on. All is bounded, whatever a sender writes.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, NewType

import msgspec
from msgspec.structs import astuple

from socmon.event import LogSource
from socmon.parsers import windows_json
from socmon.parsers.json import NOT_FLAT, FlatValue, decode_flat

Values = tuple[Any, ...]

# A name that stays as it is, that msgspec takes for one of a struct, and that is short: it is remembered.
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_MOST_NAMES = 256  # of one layout
_MOST_OF_STRUCT = 96  # to make one of more takes milliseconds
_MOST_IN_ALL = 131_072  # names; each takes up to 120 bytes
_STRUCT_NAMES = 24  # as much as so many take a struct, and each name of it: up to 2 kB
_MOST_CHARS = 256  # of what tells an event's log source: it is remembered too
_NUMBERS = (int, str)  # types of an EventID, of which equal ones are the same: not so of 1, 1.0 and true
_OFTEN = 256  # events: to make a struct takes as long as it spares of some four hundred
_HINT_BYTES = 16
_MOST_HINTS = 1024
_MISSED = 16  # events, before a guess that is wrong more often than right is given up

# By a name of its own, msgspec does not look through all of it for each member of each struct: half the time.
_Flat = NewType("_Flat", FlatValue)  # type: ignore[valid-newtype]  # nobody makes one; msgspec takes any type
_Text = Annotated[str, msgspec.Meta(max_length=_MOST_CHARS)]
_TYPES = {"EventID": int | _Text, "Channel": _Text | None, "Provider_Name": _Text | None}


class Layout:
    """Events whose members have these names.

    Attributes:
        names: of the fields that they have, in the order of their values.
        besides: names of fields that `windows_json.parse` adds, or settles anew.
        telling: names of the fields by which `logsource` tells.
        otherwise: fields that may stand under other names.
        decode: gives a struct of their values.
        is_often: they were met often, and so `decode` is made.
    """

    besides: Final = frozenset({"message"})
    telling: Final = ("Channel", "EventID", "Provider_Name")
    decode: Callable[[bytes], msgspec.Struct]

    def __init__(self, members: tuple[str, ...]) -> None:
        here = ((name, [*filter(members.__contains__, others)]) for name, others in windows_json.OTHERWISE.items())
        self.otherwise: Mapping[str, list[str]] = {name: others for name, others in here if others}
        self.names = (*members, *(name for name in self.otherwise if name not in members))
        self.is_often = False
        self._met = 0

    def meet(self) -> int:
        """Take note of one more such event; how many names the struct takes as much as that is made then, or 0."""
        self._met += 1
        if self._met == _OFTEN and not self.otherwise and len(self.names) <= _MOST_OF_STRUCT:
            members = [(f"f{place}", _TYPES.get(name, _Flat)) for place, name in enumerate(self.names)]
            names = {f"f{place}": name for place, name in enumerate(self.names)}
            made = msgspec.defstruct("Event", members, rename=names, forbid_unknown_fields=True, gc=False)
            self.decode = msgspec.json.Decoder(made).decode
            self.is_often = True
            return _STRUCT_NAMES * (1 + len(self.names))
        return 0

    def forget(self) -> None:
        """Let go of the struct: rules may remember the layout for longer."""
        if self.is_often:
            self.is_often = False
            del self.decode

    @staticmethod
    def logsource(fields: Mapping[str, Any]) -> LogSource | None:
        """The log source of an event; None if it is none of Windows, or only `windows_json` can tell."""
        channel, provider = fields.get("Channel"), fields.get("Provider_Name")
        if not (_is_told(channel) and _is_told(provider) and windows_json.is_number(fields.get("EventID"))):
            return None
        return windows_json.logsource_of(provider) if channel is not None or provider is not None else None


class _Guess:
    """The layout of the last event with the same hint; how often it was right, and how often not."""

    __slots__ = ("fitted", "layout", "missed")

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.fitted = self.missed = 0


class Events:
    """Reads events of Windows, and remembers the layouts that it met. For one thread."""

    def __init__(self) -> None:
        self._layouts: dict[tuple[str, ...], Layout] = {}
        self._left = _MOST_IN_ALL
        self._guesses: dict[bytes, _Guess | None] = {}

    def read(self, data: bytes) -> tuple[Layout, Values] | None:
        """The layout of an event, and the values of its fields; None if it has to be read by `windows_json`."""
        start = data.find(windows_json.MARKS[0])
        hint = data[start : start + _HINT_BYTES]
        guess = self._guesses.get(hint)
        if guess is not None:
            try:
                values = astuple(guess.layout.decode(data))
            except NOT_FLAT:
                guess.missed += 1
            else:
                guess.fitted += 1
                return guess.layout, values
        return self._read_anew(data, hint)

    def _read_anew(self, data: bytes, hint: bytes) -> tuple[Layout, Values] | None:
        """As `read`, by a dictionary; the next event with this hint is taken for one like it."""
        try:
            fields = decode_flat(data)
        except NOT_FLAT:
            return None
        if type(fields.get("EventID")) not in _NUMBERS:
            return None
        layout = self._layouts.get((*fields,)) or self._learn((*fields,))
        if layout is None:
            return None
        self._take(layout.meet())
        if layout.is_often:
            self._guess(hint, layout)
        if layout.otherwise:
            windows_json.take_other_names(fields, layout.otherwise)
            if len(fields) < len(layout.names):  # what stands under other names is no text
                return None
        return layout, (*fields.values(),)

    def _learn(self, members: tuple[str, ...]) -> Layout | None:
        if len(members) > _MOST_NAMES or not all(map(_NAME.fullmatch, members)):
            return None
        self._take(len(members))
        layout = self._layouts[members] = Layout(members)
        return layout

    def _take(self, names: int) -> None:
        """Account for so many names more; where there is no room for them, all is learnt anew."""
        if names > self._left:
            for layout in self._layouts.values():
                layout.forget()
            self._layouts.clear()
            self._guesses.clear()
            self._left = _MOST_IN_ALL
        self._left -= names

    def _guess(self, hint: bytes, layout: Layout) -> None:
        if hint not in self._guesses:
            if len(self._guesses) >= _MOST_HINTS:
                self._guesses.clear()
            self._guesses[hint] = _Guess(layout)
        elif guess := self._guesses[hint]:
            guess.layout = layout
            if guess.missed > _MISSED and guess.missed > guess.fitted:
                self._guesses[hint] = None  # until hints are forgotten: all fits without, only slower


def _is_told(value: Any) -> bool:
    return value is None or (type(value) is str and len(value) <= _MOST_CHARS)
