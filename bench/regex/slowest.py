"""How long each regular expression of the rules takes for the text that is worst for it."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench.regex.values import hostile
from socmon.event import LogSource
from socmon.sigma import RuleSet
from socmon.sigma.ir import atoms
from socmon.sigma.regex import searcher
from socmon.sigma.values import fold

_REPEATS = 3
_WINDOWS = LogSource(product="windows")
# Events that most rules with expressions look at, and the field in which they look.
_EVENTS = {
    "CommandLine": {"EventID": 1, "Channel": "Microsoft-Windows-Sysmon/Operational", "Image": r"C:\a.exe"},
    "ScriptBlockText": {"EventID": 4104, "Channel": "Microsoft-Windows-PowerShell/Operational"},
}


@dataclass(frozen=True)
class Slowest:
    """Of one expression.

    Attributes:
        kind: `re` as a rule has it, `glob` as it is made of a rule's wildcards.
        value: what the text is that takes longest.
        ms: how long that takes, in milliseconds of the processor.
        rules: how many have it.
    """

    kind: str
    pattern: str
    value: str
    ms: float
    rules: int
    text: str


def expressions(rules: RuleSet) -> dict[tuple[str, str], int]:
    """(kind, pattern) of each expression of the rules, and how many of them have it."""
    found: dict[tuple[str, str], int] = {}
    for rule in rules.rules:
        if rule.correlation is None:
            tested = atoms(rules.condition(rule.id).node)
            for key in {(atom.op, atom.arg) for atom in tested if atom.op in {"re", "glob"}}:
                found[key] = found.get(key, 0) + 1
    return found


def slowest(kind: str, pattern: str, rules: int) -> Slowest:
    """The slowest of all its hostile texts."""
    search = searcher(pattern)
    worst = ("", "", -1.0)
    for name, text in hostile(pattern):
        given = fold(text) if kind == "glob" else text
        took_ms = _took_ms(lambda given=given: search(given))  # type: ignore[misc]  # mypy knows no such lambda
        if took_ms > worst[2]:
            worst = (name, text, took_ms)
    return Slowest(kind, pattern, worst[0], worst[2], rules, worst[1])


def through_all_rules(rules: RuleSet, texts: Iterable[str]) -> dict[str, float]:
    """By field, the milliseconds of the slowest of `texts` when all rules look at an event that has it there."""
    worst = dict.fromkeys(_EVENTS, 0.0)
    for text in dict.fromkeys(texts):
        for field, event in _EVENTS.items():
            began_s = time.thread_time()
            rules.match({**event, field: text}, _WINDOWS)
            worst[field] = max(worst[field], (time.thread_time() - began_s) * 1000)
    return worst


def _took_ms(call: Callable[[], object]) -> float:
    """The least of a few times: others use the machine too."""
    took = []
    for _ in range(_REPEATS):
        began_s = time.thread_time()
        call()
        took.append(time.thread_time() - began_s)
    return min(took) * 1000
