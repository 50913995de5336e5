"""Members of an event that no schema here names: a newer sender may have put them there; they are kept, and counted."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from msgspec import Struct

MAX_NAMED = 20  # of one event
_MAX_NAME = 64
_MAX_ITEMS = 100  # of an array that are looked at


class _Shape(Struct, frozen=True):
    """What a schema says of a place: its members, by name, and its items; all members are known where none is named."""

    members: Mapping[str, "_Shape"]
    items: "_Shape | None" = None


_OPEN = _Shape({})


def unknown_members(event: Mapping[str, Any], schema: str) -> tuple[str, ...]:
    """Places of members that neither the envelope nor `schema` names, as `data/finding_info/colour`.

    At most `MAX_NAMED`, each once; the items of an array share a place.
    """
    known = {**_shape("envelope.v1").members, **_shape(schema).members}
    found: dict[str, None] = {}
    for place in _walk(event, _Shape(known), ""):
        found[place] = None
        if len(found) == MAX_NAMED:
            break
    return tuple(found)


def _walk(value: object, shape: _Shape, place: str) -> Iterator[str]:
    if isinstance(value, dict) and shape.members:
        for name, held in value.items():
            below = f"{place}/{name[:_MAX_NAME]}" if place else name[:_MAX_NAME]
            if name in shape.members:
                yield from _walk(held, shape.members[name], below)
            else:
                yield below
    elif isinstance(value, list) and shape.items is not None:
        for held in value[:_MAX_ITEMS]:
            yield from _walk(held, shape.items, place)


@cache
def _shape(name: str) -> _Shape:
    text = (files("socmon.feed") / "schemas" / f"{name}.json").read_text("utf-8")
    schema = msgspec.json.decode(text)
    return _read(schema, schema.get("$defs", {}))


def _read(part: Any, defs: Mapping[str, Any]) -> _Shape:
    if not isinstance(part, dict):
        return _OPEN
    if isinstance(reference := part.get("$ref"), str):
        part = defs[reference.removeprefix("#/$defs/")]
    members = {name: _read(held, defs) for name, held in part.get("properties", {}).items()}
    items = _read(part["items"], defs) if "items" in part else None
    return _Shape(members, items) if members or items else _OPEN
