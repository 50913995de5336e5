"""The `aliases` of a correlation: one name for what its rules call differently (correlation rules specification 2.1).

pySigma asks neither whether the rules are there nor what kind of names these are, so all of it is read here.
"""

from collections.abc import Mapping, Sequence

from socmon.sigma.conditions import SECTION
from socmon.sigma.rule import Alias, Rule
from socmon.sigma.stated import Place, RefusedError

_PLACE = (SECTION, "aliases")
_EXAMPLE = "as in `ip: {rule_a: src_ip, rule_b: dst_ip}`"


def aliases_of(stated: object, bases: Sequence[Rule], used: Sequence[str]) -> tuple[Alias, ...]:
    """The aliases of a correlation.

    Args:
        stated: as the document has them; None where it has none.
        bases: the rules that the correlation names; an alias may name no others.
        used: names in group-by and in the condition's field; an alias that is not among them says nothing.

    Raises:
        RefusedError: one of them cannot be meant.
    """
    if stated is None:
        return ()
    if not isinstance(stated, Mapping):
        raise RefusedError(f"aliases are names with the field of each rule, {_EXAMPLE}, not {stated!r:.60}", _PLACE)
    named = {name: base.id for base in bases for name in (base.id, base.name) if name}
    aliases = []
    for name, mapping in stated.items():
        place = (*_PLACE, name)
        if not name.strip():
            raise RefusedError("an alias has no name; give it one", place)
        if not isinstance(mapping, Mapping) or not mapping:
            raise RefusedError(f"alias {name[:60]!r} maps rules to fields, {_EXAMPLE}, not {mapping!r:.60}", place)
        aliases.append(Alias(name, _fields(name, mapping, named)))
        if name not in used:
            raise RefusedError(
                f"alias {name[:60]!r} is used nowhere; name it in group-by or in the condition's field", place
            )
    return tuple(aliases)


def _fields(name: str, mapping: Mapping[str, object], named: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """(id of a rule, its field) of one alias."""
    found: dict[str, str] = {}
    for reference, field in mapping.items():
        place: Place = (*_PLACE, name, reference)
        rule_id = named.get(reference) or named.get(reference.lower())
        if rule_id is None:
            raise RefusedError(
                f"alias {name[:60]!r} names {reference[:60]!r}, which is not among the rules of this correlation; "
                "correct it, or add it to rules",
                place,
            )
        if not isinstance(field, str) or not field.strip():
            raise RefusedError(f"alias {name[:60]!r} takes the name of a field, not {field!r:.60}", place)
        if found.setdefault(rule_id, field) != field:
            raise RefusedError(
                f"alias {name[:60]!r} has two fields for one rule, {found[rule_id][:60]!r} and {field[:60]!r}; "
                "remove one",
                place,
            )
    return tuple(found.items())
