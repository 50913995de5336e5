"""Placeholders: `%name%` in values with the modifier `expand` stands for values of the configuration.

Sigma rules specification 2.1, "Placeholders". They are filled in before anything else is read of a value, so that each
modifier sees what the configuration says; docs/adr/0065.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from math import prod
from typing import Any, TypeVar

import re2
from msgspec import structs
from sigma.types import SigmaString, SpecialChars

from socmon.sigma.documents import Document
from socmon.sigma.rule import RuleError
from socmon.sigma.stated import Place, Placeholders, RefusedError, Value
from socmon.sigma.values import text_of

MAX_VALUES = 10_000  # that the placeholders of one line may come to

# With these a value is a number; with all others it is compared as text, and a number in the configuration is too.
_NUMERIC = frozenset({"lt", "lte", "gt", "gte", "minute", "hour", "day", "week", "month", "year"})
# `\\` is one backslash to Sigma and to regular expressions alike: what follows it is not escaped.
_TOKEN = re.compile(r"\\\\|\\%|%(?P<name>[^%\\*?]+)%|%")
_UNEXPANDED = "%{name}% is plain text here, as the line has no modifier expand; add |expand to have its values instead"
_AnyT = TypeVar("_AnyT")


class Filled(list[Any]):
    """The values of a line with placeholders, and how many of them each value that the rule states became."""

    def __init__(self) -> None:
        super().__init__()
        self._sizes: list[int] = []

    def add(self, values: Sequence[object]) -> None:
        """What one stated value became: any of `values`."""
        self += values
        self._sizes.append(len(values))

    def grouped(self, each: Sequence[_AnyT]) -> list[tuple[_AnyT, ...]]:
        """`each`, one for each value, by stated value."""
        following = iter(each)
        return [tuple(islice(following, size)) for size in self._sizes]


class _Name(str):
    """The name of a placeholder, between texts."""

    __slots__ = ()


class Filler:
    """Fills placeholders in.

    Attributes:
        used: names that were met, whether they have values or not.
        warnings: names that have values and stand where they are not filled in.
    """

    def __init__(self, values: Placeholders) -> None:
        self._values = values
        self.used: set[str] = set()
        self.warnings: list[RuleError] = []

    def filled(self, document: Document, section: str) -> Document:
        """The document with its placeholders filled in, so that its hash covers their values.

        Raises:
            RefusedError: a placeholder has no values, or is not written as one.
        """
        missing: dict[str, Place] = {}
        if self._values:
            plain = _plain(document.data.get(section), (section,))
            known = [(place, name) for place, name in plain if name in self._values]
            self.warnings += [document.error(_UNEXPANDED.format(name=name), *place) for place, name in known]
        content = self._part(document.data.get(section), (section,), missing)
        if missing:
            names = ", ".join(f"%{_shown(name)}%" for name in missing)
            have = f"placeholder {names} has" if len(missing) == 1 else f"placeholders {names} have"
            text = f"{have} no values; list them in the configuration, under detection.placeholders"
            raise RefusedError(text, next(iter(missing.values())))
        return structs.replace(document, data=document.data | {section: content}) if content is not None else document

    def _part(self, part: object, place: Place, missing: dict[str, Place]) -> object:
        if isinstance(part, Mapping):
            return {key: self._line(key, value, (*place, key), missing) for key, value in part.items()}
        if isinstance(part, list):
            return [self._part(one, (*place, index), missing) for index, one in enumerate(part)]
        return part

    def _line(self, key: str, stated: object, place: Place, missing: dict[str, Place]) -> object:
        _, *modifiers = key.split("|")
        if "expand" not in modifiers or isinstance(stated, Mapping):
            return self._part(stated, place, missing)
        filled, found = Filled(), False
        for value in stated if isinstance(stated, list) else [stated]:
            parts = list(_parts(value, place)) if isinstance(value, str) else []
            names = [part for part in parts if isinstance(part, _Name)]
            self.used.update(names)
            found = found or bool(names)
            lacking = [name for name in names if name not in self._values]
            missing |= {name: missing.get(name, place) for name in lacking}
            if not lacking:
                filled.add(self._alternatives(parts, place, modifiers) if parts else [value])
        if not found:
            raise RefusedError(f"expand finds no placeholder in {stated!r:.60}; write %name%, or leave it out", place)
        if len(filled) > MAX_VALUES:
            raise _too_many(len(filled), place)
        return filled

    def _alternatives(self, parts: Sequence[str], place: Place, modifiers: Sequence[str]) -> list[Value]:
        """Everything that a value may be."""
        choices: list[Sequence[Value]] = [self._values[p] if isinstance(p, _Name) else [p] for p in parts]
        count = prod(map(len, choices))
        if count > MAX_VALUES:
            raise _too_many(count, place)
        if "re" in modifiers:
            pairs = zip(parts, choices, strict=True)
            choices = [[*map(_as_regex, values)] if isinstance(part, _Name) else values for part, values in pairs]
        elif len(parts) == 1:
            return list(choices[0]) if _NUMERIC.intersection(modifiers) else [*map(text_of, choices[0])]
        else:
            choices = [[_closed(text_of(value)) for value in values] for values in choices]
        return ["".join(map(str, chosen)) for chosen in product(*choices)]


def _plain(part: object, place: Place) -> Iterator[tuple[Place, str]]:
    """What looks like the name of a placeholder in lines without the modifier expand."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            if "expand" not in key.split("|")[1:]:
                yield from _plain(value, (*place, key))
    elif isinstance(part, list):
        for index, one in enumerate(part):
            yield from _plain(one, (*place, index))
    elif isinstance(part, str):
        yield from ((place, token["name"]) for token in _TOKEN.finditer(part) if token["name"])


def _parts(text: str, place: Place) -> Iterator[str]:
    r"""The texts and the names that a value is made of, in order.

    Raises:
        RefusedError: a percent sign is neither escaped nor part of a placeholder. It may have been meant as one: behind
            a backslash, as in `C:\Users\%name%`, the first is an escaped one.
    """
    literal, end = "", 0
    for token in _TOKEN.finditer(text):
        literal += text[end : token.start()]
        end = token.end()
        if name := token["name"]:
            if literal:
                yield literal
            literal = ""
            yield _Name(name)
        elif token[0] == "%":
            remedy = r"write %name% for a placeholder, \\%name% for one behind a backslash, \% for a percent sign"
            raise RefusedError(f"a % in {text!r:.60} belongs to no placeholder; {remedy}", place)
        else:
            literal += token[0].removeprefix("\\") if token[0] == r"\%" else token[0]
    literal += text[end:]
    if literal or not text:
        yield literal


def _closed(text: str) -> str:
    """`text` whose last backslash, if it is alone, does not escape what comes behind it."""
    alone = (len(text) - len(text.rstrip("\\"))) % 2
    return text + "\\" * alone


def _as_regex(value: Value) -> str:
    """What a value means elsewhere, a text with wildcards, as a regular expression."""
    special = {SpecialChars.WILDCARD_MULTI: "(?s:.*)", SpecialChars.WILDCARD_SINGLE: "(?s:.)"}
    parts = SigmaString(text_of(value)).s
    inner = "".join(special[p] if isinstance(p, SpecialChars) else re2.escape(str(p)) for p in parts)
    return f"(?:{inner})"


def _too_many(count: int, place: Place) -> RefusedError:
    return RefusedError(f"the placeholders come to {count} values here; at most {MAX_VALUES} can be compared", place)


def _shown(name: str) -> str:
    return repr(name[:60])[1:-1]
