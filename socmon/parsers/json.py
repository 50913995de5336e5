"""JSON lines: one object a line (RFC 8259), as applications, gateways and web servers write their logs.

Nested keys are joined by dots and lists are kept. Time, host, log source, message and the fields of Sigma's taxonomy
are taken from the keys that such logs usually have; the keys themselves stay. Of a key that stands twice the last
counts.
"""

import re
from typing import Annotated, Any

import msgspec

from socmon.addresses import address
from socmon.errors import ParseError
from socmon.event import Event, Record, TimeKnown
from socmon.parsers import json_time, known_keys, sensor_keys

_START = re.compile(rb'\s*\{\s*(?:"|\}\s*$)')
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_LONE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\\\")
_MOST_DEPTH = 32  # an honest log has five; and what is deeper could not be written down again
_JOINED_DEPTH = 8
MOST_FIELDS = 1024
MOST_KEY = 256
_INT64 = 1 << 63

# What stays as it is when objects are made flat: scalars and lists of them, whole numbers in 64 bits.
_Scalar = str | Annotated[int, msgspec.Meta(ge=-_INT64, le=_INT64 - 1)] | float | bool | None
FlatValue = _Scalar | list[_Scalar]
decode_flat = msgspec.json.Decoder(dict[str, FlatValue]).decode
NOT_FLAT = (msgspec.DecodeError, UnicodeDecodeError)  # what it raises where any value would have to be changed
# Names that stay as they are too, as objects have had them. Where somebody makes names up, they are learnt anew.
_PLAIN_NAMES: set[str] = set()
_MOST_PLAIN_NAMES = 4096


def fits(data: bytes) -> bool:
    """Whether `data` begins as an object."""
    return _START.match(data[:256]) is not None


def parse(record: Record, *, year: int | None, undated: bool) -> Event:  # noqa: ARG001  # the time is whole or absent
    """The event of one line; `message` is the text under a key such as `message`, or the line.

    Raises:
        ParseError: no JSON object, or one nested deeper than 32 levels.
    """
    fields = flat(record.data)
    known = known_keys.by_meaning(fields)
    stated_us = json_time.time_us(known, record.source.zone)
    time_us: int | None = stated_us
    time_known: TimeKnown = "stated"
    if stated_us is None:
        time_us, time_known = (None, "unknown") if undated else (record.dated_by_us, "received")
    web = known_keys.web_fields(known)
    fields.update(readings := {} if web else sensor_keys.readings(known))
    category = "webserver" if web else "sensor" if readings else "application"
    logsource = known_keys.logsource(known, category=category)
    host = known_keys.host(known, of_request=bool(web)) or readings.get("sensor", "")
    if not address(str(fields.get("src_ip", ""))):
        fields.pop("src_ip", None)  # whoever reads `src_ip` reads an address
    fields.update(known_keys.common_fields(known))
    fields.update(web)
    message = known_keys.message(known)
    fields["message"] = record.data.decode("utf-8", "backslashreplace").strip() if message is None else message
    return Event(record, time_us, time_known, host, logsource, fields)


def flat(data: bytes) -> dict[str, Any]:
    """The keys of the object in `data`, joined by dots, with their values.

    Raises:
        ParseError: no JSON object, or one nested deeper than 32 levels.
    """
    fields = as_decoded(data)
    return joined(data) if fields is None else fields


def joined(data: bytes) -> dict[str, Any]:
    """As `flat`, of any object: key by key.

    Raises:
        ParseError: as `flat`.
    """
    fields: dict[str, Any] = {}
    _join(decoded(data), "", _JOINED_DEPTH, fields)
    return fields


def decoded(data: bytes) -> dict[str, Any]:
    """The object that `data` holds.

    Raises:
        ParseError: it holds none.
    """
    try:
        found = _object(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ParseError(f"not JSON: {data[:80]!r}: {str(error)[:80]}") from error
    if not isinstance(found, dict):
        raise ParseError(f"not a JSON object: {data[:80]!r}")
    return found


def as_decoded(data: bytes) -> dict[str, Any] | None:
    """The object that `data` holds, where it is flat already, as most are: no value and no name has to be changed.

    None for any other. It takes hardly longer than to decode, as nothing here looks at each member in turn.
    """
    try:
        found = decode_flat(data)
    except NOT_FLAT:
        return None
    if not _PLAIN_NAMES.issuperset(found):
        new = found.keys() - _PLAIN_NAMES
        if any(" " in name or len(name) > MOST_KEY for name in new):
            return None
        if len(_PLAIN_NAMES) + len(new) > _MOST_PLAIN_NAMES:
            _PLAIN_NAMES.clear()
        _PLAIN_NAMES.update(new)
    return found if len(found) <= MOST_FIELDS else None


def _object(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Bytes that are not UTF-8 and halves of a pair of surrogates cannot be text: they are shown as escapes.
        text = data.decode("utf-8", "surrogateescape")
        text = _NOT_UTF8.sub(lambda found: f"\\\\x{ord(found[0]) - 0xDC00:02x}", text)
        parts, start = [], 0
        for pair in _PAIR.finditer(text):
            parts += [_LONE_SURROGATE.sub(r"\\\g<0>", text[start : pair.start()]), pair[0]]
            start = pair.end()
        return msgspec.json.decode("".join([*parts, _LONE_SURROGATE.sub(r"\\\g<0>", text[start:])]))


def _join(found: dict[str, Any], prefix: str, depth: int, fields: dict[str, Any]) -> None:
    """Add what `found` holds to `fields`, at most 1,024 in all; what lies deeper than 8 keys stays one value."""
    for key, value in found.items():
        name = f"{prefix}{key}"[:MOST_KEY]
        if type(value) is dict and depth > 1 and value:
            _join(value, f"{name}.", depth - 1, fields)
        elif len(fields) < MOST_FIELDS:
            fields.setdefault(name, value if type(value) is str else plain(value))


def plain(value: Any, depth: int = _MOST_DEPTH - _JOINED_DEPTH) -> Any:
    """`value` with whole numbers beyond 64 bits as text, so that every reader of it can hold them.

    Raises:
        ParseError: lists and objects in it are nested deeper than `depth`.
    """
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return str(value)
    if isinstance(value, (list, dict)):
        if not depth:
            raise ParseError(f"JSON is nested deeper than {_MOST_DEPTH} levels")
        if isinstance(value, list):
            return [plain(item, depth - 1) for item in value]
        return {key: plain(item, depth - 1) for key, item in value.items()}
    return value
