"""A slow second opinion on rules: pySigma's own condition tree, evaluated as the specification reads, straight on.

Imports nothing of socmon: what both get wrong in the same way, no test here would show.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.rule import SigmaRule
from sigma.types import (
    CompareOperators,
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
    SigmaRegularExpressionFlag,
    SigmaString,
    SpecialChars,
)

FLAGS = {
    SigmaRegularExpressionFlag.IGNORECASE: re.IGNORECASE,
    SigmaRegularExpressionFlag.MULTILINE: re.MULTILINE,
    SigmaRegularExpressionFlag.DOTALL: re.DOTALL,
}


def rule_matches(definition: dict[str, Any], fields: Mapping[str, Any]) -> bool:
    rule = SigmaRule.from_dict(definition)
    return any(holds(condition.parsed, fields) for condition in rule.detection.parsed_condition)


def holds(node: Any, fields: Mapping[str, Any]) -> bool:
    if isinstance(node, ConditionAND):
        return all(holds(arg, fields) for arg in node.args)
    if isinstance(node, ConditionOR):
        return any(holds(arg, fields) for arg in node.args)
    if isinstance(node, ConditionNOT):
        return not holds(node.args[0], fields)
    if isinstance(node, ConditionFieldEqualsValueExpression):
        return field_is(node.field, node.value, fields)
    assert isinstance(node, ConditionValueExpression)
    return any(value_is(node.value, value, anywhere=True) for value in fields.values())


def field_is(name: str, wanted: Any, fields: Mapping[str, Any]) -> bool:
    if isinstance(wanted, SigmaExpansion):
        return any(field_is(name, one, fields) for one in wanted.values)
    if isinstance(wanted, SigmaExists):
        return (name in fields) == wanted.exists
    if isinstance(wanted, SigmaNull):
        return name not in fields or any(value is None for value in elements(fields[name]))
    if name not in fields:
        return False
    if isinstance(wanted, SigmaFieldReference):
        others = elements(fields.get(wanted.field))
        return any(
            refers(wanted, shown(a).lower(), shown(b).lower())
            for a in elements(fields[name])
            for b in others
            if a is not None and b is not None
        )
    return value_is(wanted, fields[name], anywhere=False)


def refers(wanted: SigmaFieldReference, text: str, other: str) -> bool:
    if wanted.starts_with and wanted.ends_with:
        return other in text
    if wanted.starts_with:
        return text[: len(other)] == other
    if wanted.ends_with:
        return text[max(0, len(text) - len(other)) :] == other
    return text == other


def elements(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def shown(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def value_is(wanted: Any, value: Any, *, anywhere: bool) -> bool:
    return any(text_is(wanted, shown(one), anywhere=anywhere) for one in elements(value) if one is not None)


def text_is(wanted: Any, text: str, *, anywhere: bool) -> bool:
    if isinstance(wanted, SigmaExpansion):
        return any(text_is(one, text, anywhere=anywhere) for one in wanted.values)
    if isinstance(wanted, (SigmaBool, SigmaNumber)):
        plain = wanted.boolean if isinstance(wanted, SigmaBool) else wanted.number
        return string_is(list(shown(plain)), text.lower(), anywhere=anywhere)
    if isinstance(wanted, SigmaString):
        cased = isinstance(wanted, SigmaCasedString)
        tokens = [token if cased or isinstance(token, SpecialChars) else token.lower() for token in spelled(wanted)]
        return string_is(tokens, text if cased else text.lower(), anywhere=anywhere)
    return expression_is(wanted, text)


def expression_is(wanted: Any, text: str) -> bool:
    if isinstance(wanted, SigmaRegularExpression):
        flags = sum(FLAGS[flag] for flag in wanted.flags)
        return re.search(str(wanted.regexp), text, flags) is not None
    if isinstance(wanted, SigmaCIDRExpression):
        try:
            return ipaddress.ip_address(text) in wanted.network
        except ValueError:
            return False
    assert isinstance(wanted, SigmaCompareExpression)
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
        return False
    number, limit = float(text), wanted.number.number
    return {
        CompareOperators.LT: number < limit,
        CompareOperators.LTE: number <= limit,
        CompareOperators.GT: number > limit,
        CompareOperators.GTE: number >= limit,
    }[wanted.op]


def spelled(wanted: SigmaString) -> list[Any]:
    """Characters and wildcards, one by one."""
    return [token for part in wanted.s for token in (part if isinstance(part, str) else [part])]


def string_is(tokens: list[Any], text: str, *, anywhere: bool) -> bool:
    """Wildcard match by dynamic programming: which beginnings of `text` the tokens so far can be."""
    if anywhere:
        tokens = [SpecialChars.WILDCARD_MULTI, *tokens, SpecialChars.WILDCARD_MULTI]
    ends = {0}
    for token in tokens:
        if token is SpecialChars.WILDCARD_MULTI:
            ends = set(range(min(ends), len(text) + 1)) if ends else ends
        else:
            single = token is SpecialChars.WILDCARD_SINGLE
            ends = {end + 1 for end in ends if end < len(text) and (single or text[end] == token)}
    return len(text) in ends
