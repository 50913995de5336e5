"""Events of Windows by their layouts: what `windows_json.parse` makes of them, but for the fields.

Nearly no event matches a rule, and only of those that do the fields are wanted.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from socmon.event import Event, LogSource, Record, TimeKnown
from socmon.parsers import json_time, windows_json
from socmon.parsers.layouts import Layouts

Values = tuple[Any, ...]

# So that equal values are the same ones (1 and true are equal, and 1.0), and none is long: they are remembered.
_Text = Annotated[str, msgspec.Meta(max_length=256)]
_TYPES = {"Channel": _Text | None, "EventID": int | _Text | None, "Provider_Name": _Text | None}


class EventLayout:
    """Where the fields of events of one kind stand.

    Args:
        names: of the line's members, in the order of their values.

    Attributes:
        places: of the fields, by name, in the values that `completed` gives.
        nothing: where these hold None.
        unplaced: names of fields that events have besides.
        telling: names of the fields that tell the log source.
        stand_ins: places of fields that may stand under other names, and of these.
    """

    unplaced: Final = frozenset({"message"})
    telling: Final = ("Channel", "EventID", "Provider_Name")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.nothing = len(names)
        places = {name: place for place, name in enumerate(names) if name not in self.unplaced}
        self.places: Mapping[str, int] = places
        self.stand_ins: list[tuple[int, list[int]]] = []
        for name, others in windows_json.OTHERWISE.items():
            if stand_ins := [places[other] for other in others if other in places]:
                self.stand_ins.append((places.get(name, self.nothing), stand_ins))
        computed = (name for name, others in windows_json.OTHERWISE.items() if any(one in places for one in others))
        places.update({name: self.nothing + 1 + place for place, name in enumerate([*computed])})
        system = (places.get(name, self.nothing) for name in ("Channel", "EventID", "Provider_Name", "Computer"))
        self._channel, self._id, self._provider, self._computer = system
        self._times = [(places[name], name == windows_json.UTC) for name in windows_json.TIMES if name in places]

    def completed(self, values: Values) -> Values:
        """The values of a line and None, then what stands under other names."""
        for own, others in self.stand_ins:
            value = values[own]
            if type(value) is not str:
                value = next((values[other] for other in others if type(values[other]) is str), value)
            values = (*values, value)
        return values

    def logsource(self, values: Values) -> LogSource | None:
        """The log source of an event with these completed values; None if they are none of an event of Windows."""
        channel, provider = values[self._channel], values[self._provider]
        is_event = (channel is not None or provider is not None) and windows_json.is_number(values[self._id])
        return windows_json.logsource_of(provider) if is_event else None

    def event(self, record: Record, values: Values, *, undated: bool) -> Event:
        """The event with these completed values, of which `logsource` knows the log source; without fields."""
        logsource = windows_json.logsource_of(values[self._provider])
        time_us = self._time_us(values, record.source.zone)
        time_known: TimeKnown = "stated"
        if time_us is None:
            time_us, time_known = (None, "unknown") if undated else (record.dated_by_us, "received")
        return Event(record, time_us, time_known, windows_json.host(values[self._computer]), logsource, {})

    def _time_us(self, values: Values, zone: str) -> int | None:
        for place, is_utc in self._times:
            value = values[place]
            if value is not None and (found := json_time.moment_us(value, "UTC" if is_utc else zone)) is not None:
                return found
        return None


class Events:
    """Reads events of Windows by layouts that it learns. For one thread."""

    def __init__(self) -> None:
        self.layouts = Layouts(windows_json.MARKS[0], EventLayout, _TYPES)

    def read(self, data: bytes) -> tuple[EventLayout, Values] | None:
        """Where the fields of an event stand, and their completed values; None if its layout is not known."""
        found = self.layouts.read(data)
        if found is not None and found[0].stand_ins:
            layout, values = found
            return layout, layout.completed(values)
        return found
