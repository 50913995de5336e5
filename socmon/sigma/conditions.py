"""The `condition` of a correlation: its comparisons, and the fields whose values it reads.

Sigma correlation rules specification 2.1. pySigma knows no ranges, and cuts percentiles to whole ones, so all of it is
read here.
"""

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import TypeGuard

from msgspec import Struct

from socmon.sigma.rule import COMPARE, CorrelationType, CountOp, Number
from socmon.sigma.stated import Place, RefusedError

SECTION = "correlation"
# What the condition of each type compares.
COUNTED: Mapping[CorrelationType, str] = {
    "event_count": "number of events",
    "value_count": "number of distinct values",
    "temporal": "number of rules",
    "temporal_ordered": "number of rules",
    "value_sum": "sum",
    "value_avg": "average",
    "value_percentile": "percentile",
}
_DECIMAL: frozenset[CorrelationType] = frozenset({"value_sum", "value_avg", "value_percentile"})
_READS_FIELD: frozenset[CorrelationType] = _DECIMAL | {"value_count"}
_SHARE = "share in percent"
_PLACE = (SECTION, "condition")
_OPS: Mapping[str, CountOp] = {op: op for op in COMPARE}
# The smallest value that can be meant. A group is never empty, so `gte: 1` and `gt: 0` are true for every group: that
# alerts once for all that belongs together, and is useful. Below these, a comparison is always false or says nothing.
_LEAST: Mapping[CountOp, int] = {"gt": 0, "gte": 1, "lt": 2, "lte": 1, "eq": 1, "neq": 1}
_MAX_STEPS = 60  # of temporal_ordered: which of them an event matches is a bit each, in 64 bits of a snapshot


Comparison = tuple[CountOp, int | Decimal]


class Condition(Struct, frozen=True):
    """What a correlation compares.

    Attributes:
        comparisons: all of them must hold, as in `gt: 100` and `lte: 200`.
        fields: whose values it reads.
        percentile: of value_percentile; None where the share of the event's own value is compared.
    """

    comparisons: tuple[Comparison, ...]
    fields: tuple[str, ...] = ()
    percentile: int | Decimal | None = None


def condition_of(kind: CorrelationType, stated: object, rules: int) -> Condition:
    """The condition of a correlation of type `kind` over a list of so many `rules`.

    Args:
        stated: as the document has it; None where it has none.

    Raises:
        RefusedError: it says nothing that can be meant.
    """
    if kind == "temporal_ordered":
        return _all_of(rules, stated)
    if kind == "temporal" and stated is None:
        return Condition((("gte", rules),))
    percentile = _percentile(stated["percentile"]) if _has_percentile(stated, kind) else None
    counted = _SHARE if kind == "value_percentile" and percentile is None else COUNTED[kind]
    comparisons = _comparisons(kind, counted, stated)
    _refuse_impossible(comparisons, counted, _candidates(kind, counted, rules, comparisons))
    field = stated.get("field") if isinstance(stated, Mapping) else None
    fields = field_names((*_PLACE, "field"), field) if kind in _READS_FIELD else ()
    if kind in _DECIMAL and counted != _SHARE and len(fields) > 1:
        raise RefusedError(f"{kind} takes one field, not {len(fields)}", (*_PLACE, "field"))
    return Condition(comparisons, fields, percentile)


def refuse_text(kind: CorrelationType, stated: object) -> None:
    """Refuse the condition `rule_a and not rule_b`, which pySigma knows and the specification does not.

    Raises:
        RefusedError: it is one.
    """
    if isinstance(stated, str):
        remedy = "name the rules in `rules` and how many must match, as in `gte: 2`"
        raise RefusedError(f"{kind} takes no condition in words, such as {stated!r:.60}; {remedy}", _PLACE)


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


def _has_percentile(stated: object, kind: CorrelationType) -> TypeGuard[Mapping[str, object]]:
    return kind == "value_percentile" and isinstance(stated, Mapping) and "percentile" in stated


def _percentile(stated: object) -> int | Decimal:
    number = _plain(stated)
    if number is None or not 0 < number <= 100:
        text = f"percentile is a number above 0, 100 at most, not {stated!r:.60}; 50 is the median"
        raise RefusedError(text, (*_PLACE, "percentile"))
    return number


def _plain(stated: object) -> int | Decimal | None:
    """A number as the file has it; None if it is none."""
    if isinstance(stated, bool) or not isinstance(stated, int | float) or not math.isfinite(stated):
        return None
    number = Decimal(repr(stated)) if isinstance(stated, float) else Decimal(stated)
    return int(number) if number == number.to_integral_value() else number


def _comparisons(kind: CorrelationType, counted: str, stated: object) -> tuple[Comparison, ...]:
    """All of them must hold, as in `gt: 100` and `lte: 200`."""
    beside = {"field"} if kind in _READS_FIELD else set()
    beside |= {"percentile"} if kind == "value_percentile" else set()
    example = "`field: user` and `gte: 5`" if kind in _READS_FIELD else "`gte: 5`"
    if not isinstance(stated, Mapping) or not stated.keys() - {"field", "percentile"}:
        raise RefusedError(f"{kind} needs a condition on the {counted}, as in {example}", _PLACE)
    if kind in _READS_FIELD and "field" not in stated:
        raise RefusedError(f"{kind} needs the field that holds the values, as in {example}", _PLACE)
    comparisons = []
    for key in stated:
        if key in beside:
            continue
        op = _OPS.get(key)
        if op is None:
            known = ", ".join([*_OPS, *sorted(beside)])
            raise RefusedError(f"{key[:60]!r} is no comparison; {kind} takes {known} and nothing else", (*_PLACE, key))
        comparisons.append((op, _value(kind, counted, op, stated[key])))
    return tuple(comparisons)


def _value(kind: CorrelationType, counted: str, op: CountOp, stated: object) -> int | Decimal:
    place, value = (*_PLACE, op), _plain(stated)
    if kind in _DECIMAL:
        if value is None:
            raise RefusedError(f"{op} needs a number to compare the {counted} with, not {stated!r:.60}", place)
        return value
    if not isinstance(value, int):
        raise RefusedError(f"{op} needs a whole {counted}, not {stated!r:.60}", place)
    if value < _LEAST[op]:
        raise RefusedError(f"{op}: {value} is true or false for every group; use {_LEAST[op]} or more", place)
    return value


def _candidates(kind: CorrelationType, counted: str, rules: int, comparisons: Iterable[Comparison]) -> Iterable[Number]:
    """Numbers that can be, such that if any fulfils the comparisons, one of these does."""
    values = [value for _, value in comparisons]
    if kind not in _DECIMAL:
        # Between the numbers next to those stated, nothing changes.
        most = rules if kind == "temporal" else math.inf
        return (n for n in {1, *(int(value) + step for value in values for step in (-1, 0, 1))} if 1 <= n <= most)
    ends = sorted(
        {Fraction(value) for value in values} | ({Fraction(0), Fraction(100)} if counted == _SHARE else set())
    )
    between = [(low + high) / 2 for low, high in pairwise(ends)]
    if counted == _SHARE:
        return (n for n in (*ends, *between) if 0 < n <= 100)
    return (ends[0] - 1, *ends, *between, ends[-1] + 1)


def _refuse_impossible(comparisons: Iterable[Comparison], counted: str, candidates: Iterable[Number]) -> None:
    conditions = [(COMPARE[op], Fraction(value)) for op, value in comparisons]
    if not any(all(compare(number, value) for compare, value in conditions) for number in candidates):
        raise RefusedError(f"no {counted} fulfils all of the condition; correct one of its comparisons", _PLACE)


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
        comparisons = _comparisons("temporal_ordered", COUNTED["temporal_ordered"], stated)
        held = [all(COMPARE[op](number, value) for op, value in comparisons) for number in range(count + 1)]
        if held != [False] * count + [True]:
            raise RefusedError(f"all {count} rules must match in order; use `gte: {count}` or no condition", _PLACE)
    return Condition((("gte", count),))
