"""Why rules were refused, in numbers: thousands of refusals have few reasons."""

import re
from collections import Counter
from collections.abc import Iterable

from socmon.sigma.rule import RuleError

# What differs between two refusals for one reason: texts of the rule and lists of them, placeholders, places. Numbers
# are the rule's own in what is wrong, and ours in what to write instead, which follows the semicolon.
_TEXT = r"'(?:[^'\\]|\\.)*'"
_OF_THE_RULE = re.compile(rf"{_TEXT}(?:, {_TEXT})*|%[^%\s]+%|\bby the rule at [^\s;]+")
_PLACEHOLDERS = re.compile(r"placeholders? %[^%]+%(?:, %[^%]+%)* ha(?:s|ve) no values")
_NUMBER = re.compile(r"\b[0-9]+\b")


def reasons(errors: Iterable[RuleError]) -> list[tuple[str, int]]:
    """Reasons and how many refusals have each, most frequent first; what is the rule's own stands as `…`."""
    counted = Counter(map(_reason, errors))
    return sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))


def _reason(error: RuleError) -> str:
    message = _PLACEHOLDERS.sub("placeholder … has no values", error.message)
    wrong, semicolon, remedy = _OF_THE_RULE.sub("…", message).partition(";")
    return _NUMBER.sub("…", wrong) + semicolon + remedy
