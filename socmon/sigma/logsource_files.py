"""Tables of log sources of the operator's own: files in the form of `rules/logsources.yml`, added to what ships."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from socmon.registry import did_you_mean
from socmon.sigma.logsources import Alias, Cover, LogSources, Table, shipped_table
from socmon.sigma.routing import Route
from socmon.yamlfile import Document, Place, read

_Entry = Cover | Route | Alias
_Check = Callable[[Any, Place], None]


class _WrongError(Exception):
    def __init__(self, message: str, place: Place = ()) -> None:
        self.place = place
        super().__init__(message)


def load_log_sources(paths: Iterable[Path]) -> tuple[LogSources, list[str]]:
    """The table that ships with the rules and those at `paths`, and what is wrong with these, `path:line: …`.

    An entry that cannot be used is left out, and the others are used.
    """
    problems: list[str] = []
    tables = [shipped_table()]
    tables += [_table(read(path), problems) for path in paths]
    return LogSources(tables), problems


def _table(document: Document, problems: list[str]) -> Table:
    problems += document.problems
    top = document.data
    if not isinstance(top, dict):
        problems.append(f"{document.at(())}: not a table of log sources, which has {', '.join(_KINDS)}")
        return Table()
    found: dict[str, tuple[_Entry, ...]] = {}
    for key, entries in top.items():
        if key not in _KINDS:
            problems.append(f"{document.at((key,))}: {key[:60]!r} is unknown{_meant(key, _KINDS)}")
        elif isinstance(entries, list):
            found[key] = tuple(_entries(document, key, entries, problems))
        elif (key,) not in document.broken:
            problems.append(f"{document.at((key,))}: {key} must be a list of entries, not {entries!r:.60}")
    return structs.replace(Table(), **found)


def _entries(document: Document, key: str, entries: list[Any], problems: list[str]) -> Iterator[_Entry]:
    kind, checks = _KINDS[key]
    for number, data in enumerate(entries):
        place = (key, number)
        if any(broken[:2] == place for broken in document.broken):
            continue  # told already
        try:
            _check(data, checks, _NEEDED[key])
            entry = msgspec.convert(data, kind)
            _refuse_idle(entry)
        except _WrongError as error:
            problems.append(f"{document.at((*place, *error.place))}: {key}: {error}")
        else:
            yield entry


def _check(data: Any, checks: Mapping[str, _Check], needed: Iterable[str]) -> None:
    if not isinstance(data, dict):
        raise _WrongError(f"an entry has keys such as {', '.join(checks)}, not {data!r:.60}")
    for key, value in data.items():
        if key not in checks:
            raise _WrongError(f"{key[:60]!r} is unknown{_meant(key, checks)}", (key,))
        checks[key](value, (key,))
    for key in needed:
        if key not in data:
            raise _WrongError(f"{key} is missing")


def _text(value: Any, place: Place) -> None:
    if not isinstance(value, str) or not value:
        raise _WrongError(f"{value!r:.60} must be text", place)


def _value(value: Any, place: Place) -> None:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise _WrongError(f"{value!r:.60} must be text or a whole number", place)


def _list_of(check: _Check) -> _Check:
    def checked(value: Any, place: Place) -> None:
        if not isinstance(value, list) or not value:
            raise _WrongError(f"{value!r:.60} must be a list with an entry at least, as [{value!r:.60}]", place)
        for number, one in enumerate(value):
            check(one, (*place, number))

    return checked


def _named(check: _Check) -> _Check:
    def checked(value: Any, place: Place) -> None:
        if not isinstance(value, dict) or not value:
            raise _WrongError(f"{value!r:.60} must have names, each with what belongs to it", place)
        for name, one in value.items():
            check(one, (*place, name))

    return checked


_VALUES = _named(_list_of(_value))
_KINDS: Mapping[str, tuple[type[_Entry], Mapping[str, _Check]]] = {
    "covers": (
        Cover,
        {"product": _text, "service": _text, "services": _list_of(_text), "except": _list_of(_text)},
    ),
    "routes": (
        Route,
        {
            "product": _text,
            "service_by": _text,
            "services": _VALUES,
            "category_by": _text,
            "categories": _named(_VALUES),
        },
    ),
    "aliases": (
        Alias,
        {"product": _text, "category": _text, "service": _text, "fields": _named(_list_of(_text))},
    ),
}
_NEEDED = {"covers": ("product", "service", "services"), "routes": ("product",), "aliases": ("fields",)}


def _refuse_idle(entry: _Entry) -> None:
    """Refuse what could never have an effect: whoever wrote it meant something by it."""
    if not isinstance(entry, Route):
        return
    for what, by in (("services", "service_by"), ("categories", "category_by")):
        stated, field = getattr(entry, what), getattr(entry, by)
        if stated and not field:
            raise _WrongError(f"{what} need {by}, the field whose value tells them", (what,))
        if field and not stated:
            raise _WrongError(f"{by} is of no use without {what}", (by,))
    if not (entry.services or entry.categories):
        raise _WrongError("a route needs services with service_by, or categories with category_by")


def _meant(word: str, known: Iterable[str]) -> str:
    return did_you_mean(word, list(known)) or f"; known: {', '.join(known)}"
