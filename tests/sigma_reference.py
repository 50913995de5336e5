"""A slow second opinion on rules: a rule as YAML gives it, evaluated as the specification reads, straight on.

Imports nothing of socmon nor of pySigma: what both sides get wrong in the same way, no test would show. What one value
of a rule asks of one text is in `sigma_values_reference`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from sigma_values_reference import folded, text_of, wanted_of

Fields = Mapping[str, Any]
Placeholders = Mapping[str, Sequence[str | int | float]]
LISTS = ("all", "neq", "exists", "fieldref")  # modifiers that are not about one value and one text


def rule_matches(
    rule: Mapping[str, Any],
    fields: Fields,
    *,
    filters: Sequence[Mapping[str, Any]] = (),
    placeholders: Placeholders | None = None,
) -> bool:
    """Whether an event fulfils one of the rule's conditions, and the condition of each filter of it."""
    sections = [rule["detection"], *(one["filter"] for one in filters)]
    return all(Section(section, fields, placeholders or {}).holds() for section in sections)


def sees(rule: Mapping[str, str], event: Mapping[str, str | None]) -> bool:
    """Whether a rule's log source has an event of this one: each part that it states is the same, whatever the case."""
    return all(value.lower() == (event.get(part) or "").lower() for part, value in rule.items())


class Section:
    """Detections and a condition, and an event."""

    def __init__(self, section: Mapping[str, Any], fields: Fields, placeholders: Placeholders) -> None:
        self._detections = {name: one for name, one in section.items() if name not in ("condition", "rules")}
        self._condition = section["condition"]
        self._fields = fields
        self._placeholders = placeholders

    def holds(self) -> bool:
        """A list of conditions: any of them."""
        stated = self._condition if isinstance(self._condition, list) else [self._condition]
        return any(Condition(text, self._chosen).value() for text in stated)

    def _chosen(self, pattern: str) -> list[bool]:
        """What the detections called so come to; `them` is all whose names do not begin with `_`."""
        if pattern == "them":
            pattern = "[!_]*"
        names = [name for name in self._detections if fnmatchcase(name, pattern)]
        return [self._detection(self._detections[name]) for name in names]

    def _detection(self, stated: Any) -> bool:
        """A mapping: all of its lines. A list: any of its mappings, or any of its keywords."""
        if isinstance(stated, Mapping):
            return all(self._line(key, value) for key, value in stated.items())
        if isinstance(stated, list) and any(isinstance(one, (Mapping, list)) for one in stated):
            return any(self._detection(one) for one in stated)
        return self._line("", stated)

    def _line(self, key: str, stated: Any) -> bool:
        name, *modifiers = key.split("|")
        linked = all if "all" in modifiers else any
        values = stated if isinstance(stated, list) else [stated]
        held = linked(self._value(name, modifiers, value) for value in values)
        return not held if "neq" in modifiers else held

    def _value(self, name: str, modifiers: list[str], value: Any) -> bool:
        """One value that a line states; a placeholder in it is any of its values."""
        if "exists" in modifiers:
            return (self._called(name) in self._fields) is value
        if "fieldref" in modifiers:
            return self._refers(name, modifiers, value)
        if value is None:
            held = self._held(name)
            return held is None or (isinstance(held, list) and None in held)
        texts = list(texts_of(self._held(name) if name else list(self._fields.values())))
        steps = tuple(modifier for modifier in modifiers if modifier not in LISTS)
        return any(
            wanted(text)
            for one in self._expanded(value, modifiers)
            for wanted in wanted_of(one, steps, anywhere=not name)
            for text in texts
        )

    def _called(self, name: str) -> str:
        """Under this name a field of a rule is in the event; "strip all spaces", if not there as the rule has it."""
        return name if name in self._fields else name.replace(" ", "")

    def _held(self, name: str) -> Any:
        return self._fields.get(self._called(name))

    def _expanded(self, value: Any, modifiers: list[str]) -> Iterator[Any]:
        found = re.search(r"%([^%]+)%", value) if "expand" in modifiers else None
        if found is None:
            yield value
            return
        for one in self._placeholders[found[1]]:
            whole = found[0] == value
            yield from self._expanded(one if whole else value.replace(found[0], text_of(one)), [])

    def _refers(self, name: str, modifiers: list[str], other: str) -> bool:
        """The field is what another one is, or begins with it, ends with it or has it in it; without regard to case."""
        compare: Callable[[str, str], bool] = str.__eq__
        for modifier, meant in (
            ("startswith", str.startswith),
            ("endswith", str.endswith),
            ("contains", str.__contains__),
        ):
            compare = meant if modifier in modifiers else compare
        return any(
            compare(folded(one), folded(two))
            for one in texts_of(self._held(name))
            for two in texts_of(self._held(other))
        )


def texts_of(value: Any) -> Iterator[str]:
    """The text of a value, or of each that a list or mapping holds; none of null, nor of a field that is not there."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from texts_of(one)
    elif value is not None:
        yield text_of(value)


class Condition:
    """A condition, read from the left: `or` binds less than `and`, that less than `not`, that less than `x of y`.

    Args:
        chosen: what the detections whose names fit a pattern come to.
    """

    def __init__(self, text: str, chosen: Callable[[str], list[bool]]) -> None:
        self._words = re.findall(r"[()]|[^\s()]+", text)
        self._chosen = chosen

    def value(self) -> bool:
        held = self._any()
        assert not self._words
        return held

    def _takes(self, *words: str) -> bool:
        """Whether these are next, which takes them."""
        if tuple(self._words[: len(words)]) != words:
            return False
        del self._words[: len(words)]
        return True

    def _any(self) -> bool:
        held = self._all()
        while self._takes("or"):
            held = self._all() or held
        return held

    def _all(self) -> bool:
        held = self._one()
        while self._takes("and"):
            held = self._one() and held
        return held

    def _one(self) -> bool:
        if self._takes("not"):
            return not self._one()
        if self._takes("("):
            held = self._any()
            assert self._takes(")")
            return held
        if self._takes("all", "of"):
            return all(self._chosen(self._words.pop(0)))
        if self._takes("1", "of") or self._takes("any", "of"):
            return any(self._chosen(self._words.pop(0)))
        [held] = self._chosen(self._words.pop(0))
        return held
