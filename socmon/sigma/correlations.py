"""A document's correlation section → Correlation (Sigma correlation rules specification 2.1).

Only event_count over single-event rules so far; the rest of the specification is refused, never ignored.
"""

from collections.abc import Callable, Mapping
from typing import get_args

from sigma.correlations import SigmaCorrelationCondition, SigmaCorrelationRule, SigmaCorrelationType

from socmon.event import SECOND_US
from socmon.sigma.documents import Document, RefusedError
from socmon.sigma.rule import Correlation, CountOp, Rule

_KEYS = frozenset({"type", "rules", "group-by", "timespan", "condition", "aliases", "generate"})
_OPS: Mapping[str, CountOp] = {op: op for op in get_args(CountOp)}
# The smallest value with which a condition is neither always true nor always false: a group is never empty.
_LEAST: Mapping[CountOp, int] = {"gt": 0, "gte": 1, "lt": 2, "lte": 1, "eq": 1, "neq": 1}
_SECTION = "correlation"


def correlation_of(
    document: Document, parsed: SigmaCorrelationRule, find: Callable[[str], Rule | SigmaCorrelationRule | None]
) -> tuple[Correlation, tuple[Rule, ...]]:
    """The correlation, and the rules that it refers to.

    Args:
        parsed: pySigma's parse of `document`, without errors.
        find: gives the loaded rule, or the parsed correlation, with an id or name.

    Raises:
        RefusedError: it needs something that is not supported yet, or a rule that is not there.
    """
    section = document.data[_SECTION]
    _refuse_unknown(section, parsed)
    op, value = _condition(section["condition"], parsed.condition)
    bases = _bases(section["rules"], find)
    correlation = Correlation(
        type="event_count",
        rules=tuple(dict.fromkeys(base.id for base in bases)),
        group_by=tuple(dict.fromkeys(parsed.group_by or ())),
        timespan_us=parsed.timespan.seconds * SECOND_US,
        op=op,
        value=value,
        generate=parsed.generate,
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


def _condition(stated: Mapping[str, object], parsed: object) -> tuple[CountOp, int]:
    place = (_SECTION, "condition")
    if not isinstance(parsed, SigmaCorrelationCondition) or parsed.fieldref or parsed.percentile is not None:
        raise RefusedError("event_count takes a number of events and nothing else, as in `gte: 5`", place)
    op = _OPS[parsed.op.name.lower()]
    if not isinstance(parsed.count, int) or isinstance(stated[op], (bool, str)):
        raise RefusedError(f"{op} needs a whole number of events, not {str(stated[op])[:60]!r}", place)
    if parsed.count < _LEAST[op]:
        raise RefusedError(f"{op}: {parsed.count} is true or false for every group; use {_LEAST[op]} or more", place)
    return op, parsed.count


def _bases(stated: object, find: Callable[[str], Rule | SigmaCorrelationRule | None]) -> tuple[Rule, ...]:
    references = stated if isinstance(stated, list) else [stated]
    if not references:
        raise RefusedError("the list of rules is empty; name at least one", (_SECTION, "rules"))
    bases: list[Rule] = []
    for index, reference in enumerate(references):
        place = (_SECTION, "rules", index)
        base = find(reference) if isinstance(reference, str) else None
        if base is None:
            raise RefusedError(f"no rule with id or name {str(reference)[:60]!r} is loaded", place)
        if isinstance(base, SigmaCorrelationRule):
            raise RefusedError(f"{str(reference)[:60]!r} is a correlation; chains are not supported yet", place)
        bases.append(base)
    return tuple(bases)
