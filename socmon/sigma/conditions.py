"""The `condition` of a correlation: its comparisons, and the fields whose values it reads.

Sigma correlation rules specification 2.1. pySigma knows no ranges, so all of it is read here.
"""

from collections.abc import Mapping

from msgspec import Struct

from socmon.sigma.documents import Place, RefusedError
from socmon.sigma.rule import COMPARE, CorrelationType, CountOp

SECTION = "correlation"
# What the condition of each type that there is, counts.
COUNTED: Mapping[CorrelationType, str] = {
    "event_count": "events",
    "value_count": "distinct values",
    "temporal_ordered": "rules",
}
_PLACE = (SECTION, "condition")
_OPS: Mapping[str, CountOp] = {op: op for op in COMPARE}
# The smallest value that can be meant. A group is never empty, so `gte: 1` and `gt: 0` are true for every group: that
# alerts once for all that belongs together, and is useful. Below these, a comparison is always false or says nothing.
_LEAST: Mapping[CountOp, int] = {"gt": 0, "gte": 1, "lt": 2, "lte": 1, "eq": 1, "neq": 1}
_MAX_STEPS = 60  # of temporal_ordered: which of them an event matches is a bit each, in 64 bits of a snapshot


class Condition(Struct, frozen=True):
    """What a correlation compares.

    Attributes:
        comparisons: all of them must hold, as in `gt: 100` and `lte: 200`.
        fields: whose values it reads.
    """

    comparisons: tuple[tuple[CountOp, int], ...]
    fields: tuple[str, ...] = ()


def condition_of(kind: CorrelationType, stated: object, rules: int) -> Condition:
    """The condition of a correlation of type `kind` over a list of so many `rules`.

    Args:
        stated: as the document has it; None where it has none.

    Raises:
        RefusedError: it says nothing that can be meant.
    """
    if kind == "temporal_ordered":
        return _all_of(rules, stated)
    comparisons = _comparisons(kind, stated)
    field = stated.get("field") if isinstance(stated, Mapping) else None
    return Condition(comparisons, () if kind == "event_count" else field_names((*_PLACE, "field"), field))


def field_names(place: Place, stated: object) -> tuple[str, ...]:
    """Names of fields, once each; of `group-by`, which may be missing, or of a condition's `field`."""
    what = place[-1]
    if stated is None and what == "group-by":
        return ()
    names = [stated] if isinstance(stated, str) else stated
    if not isinstance(names, list) or (not names and what == "field"):
        raise RefusedError(f"{what} takes a field's name or a list of them, not {stated!r:.60}", place)
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise RefusedError(f"{what} takes names of fields, not {name!r:.60}", (*place, index))
    return tuple(dict.fromkeys(names))


def _comparisons(kind: CorrelationType, stated: object) -> tuple[tuple[CountOp, int], ...]:
    """All of them must hold, as in `gt: 100` and `lte: 200`."""
    counted = COUNTED[kind]
    example = "`field: user` and `gte: 5`" if kind == "value_count" else "`gte: 5`"
    if not isinstance(stated, Mapping) or not stated.keys() - {"field"}:
        raise RefusedError(f"{kind} needs a condition with a number of {counted}, as in {example}", _PLACE)
    if kind == "value_count" and "field" not in stated:
        raise RefusedError(f"value_count needs the field that holds the values, as in {example}", _PLACE)
    beside = {"field"} if kind == "value_count" else set()
    comparisons = tuple(_comparison(kind, key, stated[key]) for key in stated if key not in beside)
    # Between the numbers next to those stated, nothing changes.
    numbers = {1} | {value + step for _, value in comparisons for step in (-1, 0, 1)} - {-1, 0}
    if not any(all(COMPARE[op](number, value) for op, value in comparisons) for number in numbers):
        text = f"no number of {counted} fulfils all of the condition; correct one of its comparisons"
        raise RefusedError(text, _PLACE)
    return comparisons


def _comparison(kind: CorrelationType, key: str, value: object) -> tuple[CountOp, int]:
    place = (*_PLACE, key)
    op = _OPS.get(key)
    if op is None:
        known = ", ".join([*_OPS, "field"] if kind == "value_count" else _OPS)
        raise RefusedError(f"{key[:60]!r} is no comparison; {kind} takes {known} and nothing else", place)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise RefusedError(f"{op} needs a whole number of {COUNTED[kind]}, not {value!r:.60}", place)
    if value < _LEAST[op]:
        raise RefusedError(f"{op}: {value} is true or false for every group; use {_LEAST[op]} or more", place)
    return op, value


def _all_of(count: int, stated: object) -> Condition:
    """The condition of temporal_ordered. It may say "all of them", as it does when it is left out.

    Of fewer, the specification does not say which order the others are in.
    """
    if not 2 <= count <= _MAX_STEPS:
        text = f"temporal_ordered needs 2 to {_MAX_STEPS} rules, in the order in which they must match; not {count}"
        raise RefusedError(text, (SECTION, "rules"))
    if stated is not None:
        if not isinstance(stated, Mapping) or "field" in stated:
            raise RefusedError("temporal_ordered needs no condition; all of its rules must match, in order", _PLACE)
        comparisons = _comparisons("temporal_ordered", stated)
        held = [all(COMPARE[op](number, value) for op, value in comparisons) for number in range(count + 1)]
        if held != [False] * count + [True]:
            raise RefusedError(f"all {count} rules must match in order; use `gte: {count}` or no condition", _PLACE)
    return Condition((("gte", count),))
