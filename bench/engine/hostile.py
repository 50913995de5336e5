"""Real events made hostile: in each, four fields that rules read hold a value that no other event holds."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from socmon.event import LogSource
from socmon.parsers import windows_json
from socmon.sigma import RuleSet

FIELDS = 4
_WHERE_IT_BELONGS = frozenset(
    {"EventID", "Channel", "Provider_Name"}
)  # another value of these is another kind of event


class Spoiler:
    """Makes events unique, in the four of their texts that most of the rules read which look at such an event."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._read: dict[LogSource, Counter[str]] = {}

    def spoiled(self, lines: Sequence[bytes]) -> Iterator[bytes]:
        """The lines with values of their own; one that has fewer than four texts has them in those."""
        for number, line in enumerate(lines):
            event = msgspec.json.decode(line)
            read = self._read_of(windows_json.fields_of(line))
            texts = [name for name, value in event.items() if isinstance(value, str) and name not in _WHERE_IT_BELONGS]
            for name in sorted(texts, key=lambda name: -read[name])[:FIELDS]:
                event[name] = _unique(event[name], number)
            yield msgspec.json.encode(event)

    def _read_of(self, fields: dict[str, Any]) -> Counter[str]:
        """How many rules that look at an event read each of its fields."""
        source = windows_json.logsource(fields)
        stated = self._rules.stated(fields, source)
        if stated not in self._read:
            single = [rule for rule in self._rules.rules if rule.correlation is None]
            looking = [rule.id for rule in single if not self._rules.differing(rule, fields, source)]
            self._read[stated] = Counter(name for rule_id in looking for name in self._rules.fields_of(rule_id))
        return self._read[stated]


def _unique(text: str, number: int) -> str:
    r"""The number behind the first `\` or space: beginning and end stay, and with them what rules find there."""
    places = [place + 1 for sign in "\\ " if (place := text.find(sign)) >= 0]
    place = min(places, default=len(text))
    return f"{text[:place]}{number:x}~{text[place:]}"
