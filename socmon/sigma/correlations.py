"""A document's correlation section → Correlation (Sigma correlation rules specification 2.1).

Every type of it, over single-event rules and over other correlations; what goes beyond it is refused, never ignored.
pySigma reads what every rule has, type, rules and timespan; it takes anything as a group, which is read here, as the
condition is in `conditions.py` and the aliases in `aliases.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from socmon.event import SECOND_US
from socmon.sigma.aliases import aliases_of
from socmon.sigma.conditions import COUNTED, SECTION, condition_of, field_names, refuse_text
from socmon.sigma.rule import Correlation, CorrelationType, Rule
from socmon.sigma.stated import Place, RefusedError, StatedCorrelation

_KEYS = frozenset({"type", "rules", "group-by", "timespan", "condition", "aliases", "generate"})
_MAX_TIMESPAN_S = 100 * 366 * 24 * 3600  # beyond it is a mistake, and microseconds would not fit 64 bits much longer

_Find = Callable[[str], Rule | None]


def for_pysigma(data: dict[str, Any]) -> dict[str, Any]:
    """A correlation document's data without what is read here.

    Raises:
        RefusedError: it is no mapping, or the type is none of the specification's.
    """
    section = data[SECTION]
    if not isinstance(section, Mapping):
        raise RefusedError(f"a correlation has type, rules, timespan and condition, not {section!r:.60}", (SECTION,))
    kind = section.get("type")
    if not isinstance(kind, str | None):
        raise RefusedError(f"the correlation type must be text, not {kind!r:.60}", (SECTION, "type"))
    left = {key: value for key, value in section.items() if key not in ("group-by", "generate", "aliases")}
    if kind and kind.lower() not in COUNTED:
        text = f"there is no correlation type {kind[:60]!r}; there are {', '.join(COUNTED)}"
        raise RefusedError(text, (SECTION, "type"))
    if kind:
        left["condition"] = {"gte": 1, "field": "any"}  # any will do
    return data | {SECTION: left}


def references(section: Mapping[str, Any]) -> list[tuple[object, Place]]:
    """Ids and names that a correlation's `rules` states, each with its place."""
    stated = section.get("rules")
    listed = stated if isinstance(stated, list) else [] if stated is None else [stated]
    return [(reference, (SECTION, "rules", index)) for index, reference in enumerate(listed)]


def correlation_of(stated: StatedCorrelation, find: _Find) -> tuple[Correlation, tuple[Rule, ...]]:
    """The correlation, and the rules that it refers to.

    Args:
        find: gives the loaded rule with an id or name; may raise RefusedError without a place.

    Raises:
        RefusedError: it needs something that is not supported yet, or a rule that is not there.
    """
    section, kind = stated.section, stated.kind
    _refuse_foreign(stated)
    bases = _bases(section, find)
    listed = tuple(base.id for base in bases)
    rules = listed if kind == "temporal_ordered" else tuple(dict.fromkeys(listed))
    condition = condition_of(kind, section.get("condition"), len(rules))
    (op, value), *also = condition.comparisons
    group_by = field_names((SECTION, "group-by"), section.get("group-by"))
    correlation = Correlation(
        type=kind,
        rules=rules,
        group_by=group_by,
        timespan_us=stated.timespan_s * SECOND_US,
        op=op,
        value=value,
        generate=_generate(stated),
        also=tuple(also),
        fields=condition.fields,
        percentile=condition.percentile,
        aliases=aliases_of(section.get("aliases"), bases, (*group_by, *condition.fields)),
    )
    _refuse_lacking(correlation, bases, group_by, (SECTION, "group-by"))
    _refuse_lacking(correlation, bases, condition.fields, (SECTION, "condition", "field"))
    return correlation, bases


def kind_of(name: str) -> CorrelationType:
    """The type of correlation that pySigma calls `name`."""
    return next(kind for kind in COUNTED if kind == name.lower())


def _refuse_foreign(stated: StatedCorrelation) -> None:
    """Refuse what a correlation does not have."""
    for key in stated.section:
        if key not in _KEYS:
            known = ", ".join(sorted(_KEYS))
            raise RefusedError(f"{key[:60]!r} is not part of a correlation, which has {known}", (SECTION, key))
    refuse_text(stated.kind, stated.section.get("condition"))
    if stated.timespan_s > _MAX_TIMESPAN_S:
        raise RefusedError("the timespan is longer than 100 years; make it shorter", (SECTION, "timespan"))


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
        raise RefusedError("the list of rules is empty; name at least one", (SECTION, "rules"))
    return tuple(bases)


def _refuse_lacking(of: Correlation, bases: tuple[Rule, ...], names: tuple[str, ...], place: Place) -> None:
    """A result of a correlation has the fields that this is grouped by, and no others."""
    for base in bases:
        if base.correlation is None:
            continue
        for name in of.called(base.id, names):
            if name not in base.correlation.group_by:
                told = (base.name or base.id)[:60]
                raise RefusedError(
                    f"results of the correlation {told!r} have no field {name[:60]!r}; add it to its group-by, or map "
                    "an alias to one that is there",
                    place,
                )


def _generate(stated: StatedCorrelation) -> bool:
    """Stated in the section, where pySigma and most rules have it, or beside it, where the specification has it."""
    found: dict[bool, Place] = {}
    for place, value in (((SECTION, "generate"), stated.section.get("generate")), (("generate",), stated.generate)):
        if not isinstance(value, bool | None):
            raise RefusedError(f"generate is true or false, not {value!r:.60}", place)
        if value is not None:
            found[value] = place
    if len(found) > 1:
        raise RefusedError("generate is true in one place and false in the other; state it once", ("generate",))
    return next(iter(found), False)
