"""Modifiers where pySigma differs from the specification's appendix, and combinations in which one has no effect."""

import re
from itertools import pairwise
from typing import Any

from sigma import modifiers
from sigma.modifiers import (
    SigmaBase64Modifier,
    SigmaBase64OffsetModifier,
    SigmaCompareModifier,
    SigmaContainsModifier,
    SigmaEndswithModifier,
    SigmaExistsModifier,
    SigmaModifier,
    SigmaRegularExpressionFlagModifier,
    SigmaRegularExpressionModifier,
    SigmaStartswithModifier,
    SigmaTimestampModifier,
    SigmaUTF16BEModifier,
    SigmaUTF16Modifier,
    SigmaValueModifier,
    SigmaWideModifier,
    modifier_mapping,
    reverse_modifier_mapping,
)
from sigma.rule import SigmaDetectionItem
from sigma.types import (
    SigmaCasedString,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNumber,
    SigmaString,
    SigmaType,
    type_map,
)


class ExactNumber(SigmaNumber):
    """An integer as the rule states it; pySigma's own becomes a floating point number beyond 2^53."""

    def __post_init__(self, init_number: int) -> None:
        super().__post_init__(init_number)
        self.number = init_number


class CasedReference(SigmaFieldReference):
    """The name of a field whose value is compared with case."""


class CasedModifier(SigmaValueModifier[SigmaString | SigmaFieldReference, SigmaCasedString | CasedReference]):
    """`cased`, also after fieldref."""

    def modify(self, val: SigmaString | SigmaFieldReference) -> SigmaCasedString | CasedReference:  # noqa: D102  pySigma's
        if isinstance(val, SigmaFieldReference):
            return CasedReference(val.field, val.starts_with, val.ends_with)
        return SigmaCasedString.from_sigma_string(val)


class ExpandModifier(SigmaValueModifier[SigmaType, SigmaType]):
    """`expand` leaves a value as it is: it is filled in already, and a `%` that is left in it means itself."""

    def modify(self, val: SigmaType) -> SigmaType:  # noqa: D102  pySigma's
        return val


class WindashModifier(modifiers.SigmaWindowsDashModifier):
    """`windash` for all five dashes that the specification names; pySigma starts from `-` and `/` only."""

    def modify(self, val: SigmaString) -> SigmaExpansion:  # noqa: D102  pySigma's
        plain = SigmaString()
        plain.s = [_OTHER_DASHES.sub("-", part) if isinstance(part, str) else part for part in val.s]
        return super().modify(plain)


_OTHER_DASHES = re.compile("\\B[\N{EN DASH}\N{EM DASH}\N{HORIZONTAL BAR}]\\b")
_OURS: dict[str, type[SigmaModifier[Any, Any]]] = {
    "cased": CasedModifier,
    "expand": ExpandModifier,
    "utf16le": SigmaWideModifier,  # the specification's name for wide, which pySigma lacks
    "windash": WindashModifier,
}
_NAMES = {  # and of those with several names the one that the specification has
    "CasedModifier": "cased",
    "ExpandModifier": "expand",
    "WindashModifier": "windash",
    "SigmaRegularExpressionIgnoreCaseFlagModifier": "i",
    "SigmaRegularExpressionMultilineFlagModifier": "m",
}
_ENCODINGS = (
    SigmaBase64Modifier,
    SigmaBase64OffsetModifier,
    SigmaUTF16BEModifier,
    SigmaUTF16Modifier,
    SigmaWideModifier,
)
# How pySigma refuses a value, and what each modifier takes.
_INCOMPATIBLE = re.compile(r"Modifier (\w+) incompatible to value type of '?(.*?)'?$")
_TAKES: tuple[tuple[type[SigmaModifier[Any, Any]], str], ...] = (
    (SigmaExistsModifier, "true or false, without quotes"),
    (SigmaCompareModifier, "a number, without quotes"),
    (SigmaTimestampModifier, "a number, without quotes"),
    (SigmaRegularExpressionFlagModifier, "what re made; write re before it"),
)
_REMEDIES = {
    "only applicable to unmodified": "write it first",
    "wildcards is not allowed": r"write \* or \? for a plain * or ?",
    "only allowed for": "use ASCII, or write the encoded text out",
    "must not contain wildcards": "write a field's name",
    "Unknown modifier": "correct it; the modifiers are those of the specification's appendix",
    "Invalid CIDR expression": "write the network's first address and its length, as in 10.0.0.0/8",
}
_PLACES = (SigmaContainsModifier, SigmaStartswithModifier, SigmaEndswithModifier)


def adapt_pysigma() -> None:
    """Make pySigma read numbers and modifiers as the specification has them, in this process."""
    type_map[int] = ExactNumber
    modifier_mapping.update(_OURS)
    reverse_modifier_mapping.update(_NAMES)


def plainly(text: str) -> str:
    """What pySigma says about a value and its modifiers, in the words of a rule, with what to write instead."""
    if found := _INCOMPATIBLE.match(text):
        modifier = getattr(modifiers, found[1], None) or _OURS[_NAMES[found[1]]]
        takes = next((words for kind, words in _TAKES if issubclass(modifier, kind)), "text, in quotes")
        return f"the modifier {_name(modifier)} does not take {found[2]:.60}; it takes {takes}"
    remedy = next((remedy for words, remedy in _REMEDIES.items() if words in text), "")
    return f"{text}; {remedy}" if remedy else text


def refuse_unquoted(key: str, stated: object) -> None:
    """Refuse an expression that is no text to YAML, on which pySigma fails in many ways.

    Raises:
        ValueError: it is.
    """
    values = stated if isinstance(stated, list) else [stated]
    if "re" in key.split("|")[1:] and not all(isinstance(value, str) for value in values):
        raise ValueError("a regular expression must be text; put it in quotes")


def refuse_modifiers(item: SigmaDetectionItem) -> None:
    """Refuse combinations that pySigma accepts and in which a modifier would have no effect, or another one.

    Raises:
        ValueError: what is wrong, and what to write.
    """
    used = item.modifiers
    for position, modifier in enumerate(used):
        if modifier in used[:position] and modifier not in _ENCODINGS:
            raise ValueError(f"the modifier {_name(modifier)} stands twice; remove one")
    if SigmaRegularExpressionModifier in used:
        for modifier in (SigmaStartswithModifier, SigmaEndswithModifier):
            if modifier in used:
                raise ValueError(f"re with {_name(modifier)} is not supported; write ^ or $ into the expression")
    for kind, what in ((_PLACES, "places"), (SigmaTimestampModifier, "parts of a date")):
        several = [_name(modifier) for modifier in used if issubclass(modifier, kind)]
        if len(several) > 1:
            raise ValueError(f"{' and '.join(several)} are different {what}; write two lines, or one of them")
    if any(before in _ENCODINGS and after is WindashModifier for before, after in pairwise(used)):
        raise ValueError("windash finds no dashes in what is encoded; write it before the encoding")
    if CasedModifier in used and not all(_is_cased(value) for value in item.value):
        raise ValueError("cased has no effect on what the modifiers after it make; write it last")
    _refuse_fractions(item)


def _refuse_fractions(item: SigmaDetectionItem) -> None:
    if not any(issubclass(modifier, SigmaTimestampModifier) for modifier in item.modifiers):
        return
    for value in item.original_value or ():
        if isinstance(value, SigmaNumber) and value.number % 1:
            raise ValueError(f"{value.number} is no part of a date; write a whole number")


def _name(modifier: type[SigmaModifier[Any, Any]]) -> str:
    return reverse_modifier_mapping[modifier.__name__]


def _is_cased(value: SigmaType) -> bool:
    if isinstance(value, SigmaExpansion):
        return all(_is_cased(one) for one in value.values)
    return isinstance(value, SigmaCasedString | CasedReference)
