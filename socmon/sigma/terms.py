"""One value of a rule, as pySigma understood it → atoms."""

from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Literal

import re2
from sigma.types import (
    CompareOperators,
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SigmaType,
    SpecialChars,
)

from socmon.sigma.ir import Atom, CompareOp, FieldRef, Node, Not, Op, TimePart, either
from socmon.sigma.modifiers import CasedReference
from socmon.sigma.regex import searcher
from socmon.sigma.times import RANGES, UNITS
from socmon.sigma.values import fold, text_of

_Names = tuple[str, ...]
_NamesOf = Callable[[str], _Names]
_Parts = Sequence[str | SpecialChars | Placeholder]

_COMPARE: dict[CompareOperators, CompareOp] = {
    CompareOperators.LT: "lt",
    CompareOperators.LTE: "lte",
    CompareOperators.GT: "gt",
    CompareOperators.GTE: "gte",
}
_MANY = SpecialChars.WILDCARD_MULTI
# What `?` stands for in folded text, where the one letter İ is two characters.
_ONE_FOLDED = "(?:i\N{COMBINING DOT ABOVE}|.)"


@singledispatch
def term_of(value: SigmaType, names: _Names, names_of: _NamesOf) -> Node:  # noqa: ARG001  what is registered uses them
    """What a rule's value asks of a field.

    Args:
        value: as pySigma understood it.
        names: of the field; () for a keyword, which any field may hold.
        names_of: gives the names of another field, which the value refers to.

    Raises:
        ValueError, TypeError: the value is of a kind that is not supported here.
    """
    raise TypeError(f"values of kind {type(value).__name__} are not supported")


@term_of.register
def _expansion(value: SigmaExpansion, names: _Names, names_of: _NamesOf) -> Node:
    return either(tuple(term_of(one, names, names_of) for one in value.values))


@term_of.register
def _string(value: SigmaString, names: _Names, _names_of: _NamesOf) -> Node:
    return _text(names, value.s, cased=isinstance(value, SigmaCasedString))


@term_of.register
def _bool(value: SigmaBool, names: _Names, _names_of: _NamesOf) -> Node:
    return _text(names, [text_of(value.boolean)])


@term_of.register
def _number(value: SigmaNumber, names: _Names, _names_of: _NamesOf) -> Node:
    return _text(names, [text_of(value.number)])


@term_of.register
def _time(value: SigmaTimestampPart, names: _Names, _names_of: _NamesOf) -> Node:
    return _time_part(value, names, "eq")


@term_of.register
def _compare(value: SigmaCompareExpression, names: _Names, _names_of: _NamesOf) -> Node:
    op = _COMPARE[value.op]
    if isinstance(value.number, SigmaTimestampPart):
        return _time_part(value.number, names, op)
    return Atom(_field(names), op, value.number.number)


@term_of.register
def _cidr(value: SigmaCIDRExpression, names: _Names, _names_of: _NamesOf) -> Node:
    return Atom(_field(names), "cidr", str(value.network))


@term_of.register
def _null(_value: SigmaNull, names: _Names, _names_of: _NamesOf) -> Node:
    return Atom(_field(names), "null")


@term_of.register
def _exists(value: SigmaExists, names: _Names, _names_of: _NamesOf) -> Node:
    atom = Atom(_field(names), "exists")
    return atom if value.exists else Not(atom)


@term_of.register
def _reference(value: SigmaFieldReference, names: _Names, names_of: _NamesOf) -> Node:
    ref = FieldRef(names_of(value.field), value.starts_with, value.ends_with)
    return Atom(_field(names), "ref", ref, isinstance(value, CasedReference))


@term_of.register
def _regex(value: SigmaRegularExpression, names: _Names, _names_of: _NamesOf) -> Node:
    if not isinstance(value.regexp, SigmaString):
        raise TypeError("a regular expression must be text; put it in quotes")
    _refuse_placeholders(value.regexp.s)
    flags = "".join(sorted(value.sigma_to_re_flag[flag] for flag in value.flags))
    pattern = f"(?{flags}){value.regexp}" if flags else str(value.regexp)
    searcher(pattern)  # raises for what cannot be compiled
    return Atom(names, "re", pattern)


def _time_part(value: SigmaTimestampPart, names: _Names, op: CompareOp | Literal["eq"]) -> Node:
    unit = next(unit for unit in UNITS if unit == value.timestamp_part.name.lower())
    least, most = RANGES[unit]
    if not least <= value.number <= most:
        raise ValueError(f"no date has {unit} {str(value.number)[:60]}; write a number from {least} to {most}")
    return Atom(_field(names), "time", TimePart(unit, int(value.number), op))


def _field(names: _Names) -> _Names:
    if not names:
        raise ValueError("a keyword must be text, a number or an expression; name a field")
    return names


def _refuse_placeholders(parts: _Parts) -> None:
    for part in parts:
        if isinstance(part, Placeholder):
            raise TypeError(f"placeholder %{part.name}% has no value here; write the values into the rule")


def _text(names: _Names, parts: _Parts, *, cased: bool = False) -> Node:
    """Text with wildcards; a keyword may stand anywhere in a value."""
    _refuse_placeholders(parts)
    pieces = _joined(parts if names else [_MANY, *parts, _MANY], cased=cased)
    op: Op = "glob"
    match pieces:
        case []:
            op, arg = "eq", ""
        case [str(arg)]:
            op = "eq"
        case [SpecialChars.WILDCARD_MULTI]:
            return Atom(names, "any")
        case [str(arg), SpecialChars.WILDCARD_MULTI]:
            op = "starts"
        case [SpecialChars.WILDCARD_MULTI, str(arg)]:
            op = "ends"
        case [SpecialChars.WILDCARD_MULTI, str(arg), SpecialChars.WILDCARD_MULTI]:
            op = "has"
        case _:
            one = "." if cased else _ONE_FOLDED
            inner = "".join(re2.escape(p) if isinstance(p, str) else ".*" if p is _MANY else one for p in pieces)
            arg = rf"(?s)\A{inner}\z"
    return Atom(names, op, arg, cased)


def _joined(parts: _Parts, *, cased: bool) -> list[str | SpecialChars]:
    """Parts with neighbouring texts and neighbouring `*` made one, folded unless `cased`."""
    joined: list[str | SpecialChars] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, str):
            text = part if cased else fold(part)
            if isinstance(last, str):
                joined[-1] = last + text
            elif text:
                joined.append(text)
        elif isinstance(part, SpecialChars) and not (part is _MANY and last is _MANY):
            joined.append(part)
    return joined
