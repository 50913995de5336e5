"""A document's correlation section → Correlation (Sigma correlation rules specification 2.1).

Only event_count over single-event rules so far; the rest of the specification is refused, never ignored. pySigma reads
what every rule has, type, rules and timespan; it knows no ranges and takes anything as a group: that is read here.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sigma.correlations import SigmaCorrelationRule, SigmaCorrelationType

from socmon.event import SECOND_US
from socmon.sigma.documents import Document, Place, RefusedError
from socmon.sigma.rule import COMPARE, Correlation, CountOp, Rule

_KEYS = frozenset({"type", "rules", "group-by", "timespan", "condition", "aliases", "generate"})
_OPS: Mapping[str, CountOp] = {op: op for op in COMPARE}
# The smallest value that can be meant. A group is never empty, so `gte: 1` and `gt: 0` are true for every group: that
# alerts once for all that belongs together, and is useful. Below these, a comparison is always false or says nothing.
_LEAST: Mapping[CountOp, int] = {"gt": 0, "gte": 1, "lt": 2, "lte": 1, "eq": 1, "neq": 1}
_MAX_TIMESPAN_S = 100 * 366 * 24 * 3600  # beyond it is a mistake, and microseconds would not fit 64 bits much longer
_SECTION = "correlation"


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
    if kind and kind.lower() == "event_count":
        left["condition"] = {"gte": 1}  # any will do
    return data | {_SECTION: left}


def correlation_of(
    document: Document, parsed: SigmaCorrelationRule, find: Callable[[str], Rule | SigmaCorrelationRule | None]
) -> tuple[Correlation, tuple[Rule, ...]]:
    """The correlation, and the rules that it refers to.

    Args:
        parsed: pySigma's parse of `for_pysigma(document.data)`, without errors.
        find: gives the loaded rule, or the parsed correlation, with an id or name.

    Raises:
        RefusedError: it needs something that is not supported yet, or a rule that is not there.
    """
    section = document.data[_SECTION]
    _refuse_unknown(section, parsed)
    (op, value), *also = _comparisons(section.get("condition"))
    bases = _bases(section["rules"], find)
    correlation = Correlation(
        type="event_count",
        rules=tuple(dict.fromkeys(base.id for base in bases)),
        group_by=_group_by(section.get("group-by")),
        timespan_us=parsed.timespan.seconds * SECOND_US,
        op=op,
        value=value,
        generate=_generate(document),
        also=tuple(also),
    )
    return correlation, bases


def _refuse_unknown(section: Mapping[str, object], parsed: SigmaCorrelationRule) -> None:
    for key in section:
        if key not in _KEYS:
            known = ", ".join(sorted(_KEYS))
            raise RefusedError(f"{key[:60]!r} is not part of a correlation, which has {known}", (_SECTION, key))
    if parsed.type is not SigmaCorrelationType.EVENT_COUNT:
        name = parsed.type.name.lower()
        raise RefusedError(f"correlation type {name} is not supported yet; only event_count is", (_SECTION, "type"))
    if section.get("aliases"):
        raise RefusedError("field aliases are not supported yet", (_SECTION, "aliases"))
    if parsed.timespan.seconds > _MAX_TIMESPAN_S:
        raise RefusedError("the timespan is longer than 100 years; make it shorter", (_SECTION, "timespan"))


def _comparisons(stated: object) -> list[tuple[CountOp, int]]:
    """All of them must hold, as in `gt: 100` and `lte: 200`."""
    place = (_SECTION, "condition")
    if not isinstance(stated, Mapping) or not stated:
        raise RefusedError("event_count needs a condition with a number of events, as in `gte: 5`", place)
    comparisons = [_comparison(key, value, (*place, key)) for key, value in stated.items()]
    # Between the numbers next to those stated, nothing changes.
    numbers = {1} | {value + step for _, value in comparisons for step in (-1, 0, 1)} - {-1, 0}
    if not any(all(COMPARE[op](number, value) for op, value in comparisons) for number in numbers):
        raise RefusedError("no number of events fulfils all of the condition; correct one of its comparisons", place)
    return comparisons


def _comparison(key: str, value: object, place: Place) -> tuple[CountOp, int]:
    op = _OPS.get(key)
    if op is None:
        known = ", ".join(_OPS)
        raise RefusedError(f"{key[:60]!r} is no comparison; event_count takes {known} and nothing else", place)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise RefusedError(f"{op} needs a whole number of events, not {value!r:.60}", place)
    if value < _LEAST[op]:
        raise RefusedError(f"{op}: {value} is true or false for every group; use {_LEAST[op]} or more", place)
    return op, value


def _group_by(stated: object) -> tuple[str, ...]:
    place = (_SECTION, "group-by")
    if stated is None:
        return ()
    names = [stated] if isinstance(stated, str) else stated
    if not isinstance(names, list):
        raise RefusedError(f"group-by takes a field's name or a list of them, not {stated!r:.60}", place)
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise RefusedError(f"group-by takes names of fields, not {name!r:.60}", (*place, index))
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


def _bases(stated: object, find: Callable[[str], Rule | SigmaCorrelationRule | None]) -> tuple[Rule, ...]:
    references = stated if isinstance(stated, list) else [stated]
    if not references:
        raise RefusedError("the list of rules is empty; name at least one", (_SECTION, "rules"))
    bases: list[Rule] = []
    for index, reference in enumerate(references):
        place = (_SECTION, "rules", index)
        base = find(reference) if isinstance(reference, str) else None
        if base is None:
            raise RefusedError(
                f"no rule with id or name {str(reference)[:60]!r} is loaded; correct it, or mend that rule", place
            )
        if isinstance(base, SigmaCorrelationRule):
            raise RefusedError(f"{str(reference)[:60]!r} is a correlation; chains are not supported yet", place)
        bases.append(base)
    return tuple(bases)
