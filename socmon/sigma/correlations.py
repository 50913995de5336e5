"""A document's correlation section → Correlation (Sigma correlation rules specification 2.1).

event_count, value_count and temporal_ordered, over single-event rules and over correlations of such rules; the rest of
the specification is refused, never ignored. pySigma reads what every rule has, type, rules and timespan; it knows no
ranges and takes anything as a group: that is read here.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sigma.correlations import SigmaCorrelationRule

from socmon.event import SECOND_US
from socmon.sigma.documents import Document, Place, RefusedError
from socmon.sigma.rule import COMPARE, Correlation, CorrelationType, CountOp, Rule

_KEYS = frozenset({"type", "rules", "group-by", "timespan", "condition", "aliases", "generate"})
_COUNTED: Mapping[CorrelationType, str] = {
    "event_count": "events",
    "value_count": "distinct values",
    "temporal_ordered": "rules",
}
_OPS: Mapping[str, CountOp] = {op: op for op in COMPARE}
# The smallest value that can be meant. A group is never empty, so `gte: 1` and `gt: 0` are true for every group: that
# alerts once for all that belongs together, and is useful. Below these, a comparison is always false or says nothing.
_LEAST: Mapping[CountOp, int] = {"gt": 0, "gte": 1, "lt": 2, "lte": 1, "eq": 1, "neq": 1}
_MAX_TIMESPAN_S = 100 * 366 * 24 * 3600  # beyond it is a mistake, and microseconds would not fit 64 bits much longer
_MAX_STEPS = 60  # of temporal_ordered: which of them an event matches is a bit each, in 64 bits of a snapshot
_SECTION = "correlation"

_Find = Callable[[str], Rule | None]


def for_pysigma(data: dict[str, Any]) -> dict[str, Any]:
    """A correlation document's data without what is read here.

    Raises:
        RefusedError: the type is not text, which pySigma does not expect.
    """
    section = data[_SECTION]
    if not isinstance(section, Mapping):
        return data
    kind = section.get("type")
    if not isinstance(kind, str | None):
        raise RefusedError(f"the correlation type must be text, not {kind!r:.60}", (_SECTION, "type"))
    left = {key: value for key, value in section.items() if key not in ("group-by", "generate")}
    if kind and kind.lower() in _COUNTED:
        left["condition"] = {"gte": 1, "field": "any"}  # any will do
    return data | {_SECTION: left}


def references(section: Mapping[str, Any]) -> list[tuple[object, Place]]:
    """Ids and names that a correlation's `rules` states, each with its place."""
    stated = section.get("rules")
    listed = stated if isinstance(stated, list) else [] if stated is None else [stated]
    return [(reference, (_SECTION, "rules", index)) for index, reference in enumerate(listed)]


def correlation_of(
    document: Document, parsed: SigmaCorrelationRule, find: _Find
) -> tuple[Correlation, tuple[Rule, ...]]:
    """The correlation, and the rules that it refers to.

    Args:
        parsed: pySigma's parse of `for_pysigma(document.data)`, without errors.
        find: gives the loaded rule with an id or name; may raise RefusedError without a place.

    Raises:
        RefusedError: it needs something that is not supported yet, or a rule that is not there.
    """
    section = document.data[_SECTION]
    kind = _kind(section, parsed)
    bases = _bases(section, find)
    condition = section.get("condition")
    if kind == "temporal_ordered":
        (op, value), *also = _all_of(bases, condition)
        rules = tuple(base.id for base in bases)
    else:
        (op, value), *also = _comparisons(kind, condition)
        rules = tuple(dict.fromkeys(base.id for base in bases))
    fields = _fields((_SECTION, "condition", "field"), condition["field"]) if kind == "value_count" else ()
    group_by = _fields((_SECTION, "group-by"), section.get("group-by"))
    _refuse_lacking(bases, group_by, (_SECTION, "group-by"))
    _refuse_lacking(bases, fields, (_SECTION, "condition", "field"))
    correlation = Correlation(
        type=kind,
        rules=rules,
        group_by=group_by,
        timespan_us=parsed.timespan.seconds * SECOND_US,
        op=op,
        value=value,
        generate=_generate(document),
        also=tuple(also),
        fields=fields,
    )
    return correlation, bases


def _kind(section: Mapping[str, object], parsed: SigmaCorrelationRule) -> CorrelationType:
    """The type, if all keys of the section are supported."""
    for key in section:
        if key not in _KEYS:
            known = ", ".join(sorted(_KEYS))
            raise RefusedError(f"{key[:60]!r} is not part of a correlation, which has {known}", (_SECTION, key))
    kind = next((kind for kind in _COUNTED if kind == parsed.type.name.lower()), None)
    if kind is None:
        name, known = parsed.type.name.lower(), ", ".join(_COUNTED)
        raise RefusedError(f"correlation type {name} is not supported yet; there are {known}", (_SECTION, "type"))
    if section.get("aliases"):
        raise RefusedError("field aliases are not supported yet", (_SECTION, "aliases"))
    if parsed.timespan.seconds > _MAX_TIMESPAN_S:
        raise RefusedError("the timespan is longer than 100 years; make it shorter", (_SECTION, "timespan"))
    return kind


def _comparisons(kind: CorrelationType, stated: object) -> list[tuple[CountOp, int]]:
    """All of them must hold, as in `gt: 100` and `lte: 200`."""
    place = (_SECTION, "condition")
    counted = _COUNTED[kind]
    example = "`field: user` and `gte: 5`" if kind == "value_count" else "`gte: 5`"
    if not isinstance(stated, Mapping) or not stated.keys() - {"field"}:
        raise RefusedError(f"{kind} needs a condition with a number of {counted}, as in {example}", place)
    if kind == "value_count" and "field" not in stated:
        raise RefusedError(f"value_count needs the field that holds the values, as in {example}", place)
    beside = {"field"} if kind == "value_count" else set()
    comparisons = [_comparison(kind, key, stated[key]) for key in stated if key not in beside]
    # Between the numbers next to those stated, nothing changes.
    numbers = {1} | {value + step for _, value in comparisons for step in (-1, 0, 1)} - {-1, 0}
    if not any(all(COMPARE[op](number, value) for op, value in comparisons) for number in numbers):
        text = f"no number of {counted} fulfils all of the condition; correct one of its comparisons"
        raise RefusedError(text, place)
    return comparisons


def _comparison(kind: CorrelationType, key: str, value: object) -> tuple[CountOp, int]:
    place = (_SECTION, "condition", key)
    op = _OPS.get(key)
    if op is None:
        known = ", ".join([*_OPS, "field"] if kind == "value_count" else _OPS)
        raise RefusedError(f"{key[:60]!r} is no comparison; {kind} takes {known} and nothing else", place)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise RefusedError(f"{op} needs a whole number of {_COUNTED[kind]}, not {value!r:.60}", place)
    if value < _LEAST[op]:
        raise RefusedError(f"{op}: {value} is true or false for every group; use {_LEAST[op]} or more", place)
    return op, value


def _all_of(bases: tuple[Rule, ...], stated: object) -> list[tuple[CountOp, int]]:
    """The condition of temporal_ordered. It may say "all of them", as it does when it is left out.

    Of fewer, the specification does not say which order the others are in.
    """
    place = (_SECTION, "condition")
    count = len(bases)
    if not 2 <= count <= _MAX_STEPS:
        text = f"temporal_ordered needs 2 to {_MAX_STEPS} rules, in the order in which they must match; not {count}"
        raise RefusedError(text, (_SECTION, "rules"))
    if stated is not None:
        if not isinstance(stated, Mapping) or "field" in stated:
            raise RefusedError("temporal_ordered needs no condition; all of its rules must match, in order", place)
        comparisons = _comparisons("temporal_ordered", stated)
        held = [all(COMPARE[op](number, value) for op, value in comparisons) for number in range(count + 1)]
        if held != [False] * count + [True]:
            raise RefusedError(f"all {count} rules must match in order; use `gte: {count}` or no condition", place)
    return [("gte", count)]


def _bases(section: Mapping[str, Any], find: _Find) -> tuple[Rule, ...]:
    bases: list[Rule] = []
    for reference, place in references(section):
        try:
            base = find(reference) if isinstance(reference, str) else None
        except RefusedError as error:
            error.place = place
            raise
        if base is None:
            raise RefusedError(
                f"no rule with id or name {str(reference)[:60]!r} is loaded; correct it, or mend that rule", place
            )
        bases.append(base)
    if not bases:
        raise RefusedError("the list of rules is empty; name at least one", (_SECTION, "rules"))
    return tuple(bases)


def _refuse_lacking(bases: tuple[Rule, ...], names: tuple[str, ...], place: Place) -> None:
    """A result of a correlation has the fields that this is grouped by, and no others."""
    for base in bases:
        for name in names if base.correlation else ():
            if base.correlation and name not in base.correlation.group_by:
                told = (base.name or base.id)[:60]
                raise RefusedError(
                    f"results of the correlation {told!r} have no field {name[:60]!r}; add it to its group-by", place
                )


def _fields(place: Place, stated: object) -> tuple[str, ...]:
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


def _generate(document: Document) -> bool:
    """Stated in the section, where pySigma and most rules have it, or beside it, where the specification has it."""
    found: dict[bool, Place] = {}
    for place, holder in (((_SECTION, "generate"), document.data[_SECTION]), (("generate",), document.data)):
        stated = holder.get("generate")
        if not isinstance(stated, bool | None):
            raise RefusedError(f"generate is true or false, not {stated!r:.60}", place)
        if stated is not None:
            found[stated] = place
    if len(found) > 1:
        raise RefusedError("generate is true in one place and false in the other; state it once", ("generate",))
    return next(iter(found), False)
