"""Which rules see which events, and field aliases: `rules/logsources.yml`, which explains itself."""

from collections.abc import Mapping
from functools import cache
from typing import Literal, get_args

import msgspec
import yaml
from msgspec import Struct

from socmon.event import LogSource
from socmon.resources import shipped

FILE_NAME = "logsources.yml"
LogSourcePart = Literal["product", "category", "service"]
PARTS: tuple[LogSourcePart, ...] = get_args(LogSourcePart)


class _Cover(Struct, frozen=True, forbid_unknown_fields=True):
    product: str
    service: str
    services: frozenset[str]
    excluded: frozenset[str] = msgspec.field(name="except", default=frozenset())

    def adds(self, rule: LogSource, event: LogSource) -> bool:
        if (rule.product, rule.service) != (self.product, self.service) or event.product != self.product:
            return False
        return event.service not in self.excluded and not self.services.isdisjoint((event.service, "*"))


class _Alias(Struct, frozen=True, forbid_unknown_fields=True):
    fields: dict[str, list[str]]
    product: str | None = None
    category: str | None = None
    service: str | None = None


class LogSources(Struct, frozen=True, forbid_unknown_fields=True):
    """The routing table."""

    covers: tuple[_Cover, ...] = ()
    aliases: tuple[_Alias, ...] = ()

    def sees(self, rule: LogSource, event: LogSource) -> bool:
        """Whether a rule for log source `rule` looks at events of `event`; both in lower case."""
        return not self.differing(rule, event)

    def differing(self, rule: LogSource, event: LogSource) -> tuple[LogSourcePart, ...]:
        """The parts of a rule's log source that an event's does not have; () where the rule looks at it."""
        parts = tuple(part for part in PARTS if not _same(getattr(rule, part), getattr(event, part)))
        covered = parts == ("service",) and any(cover.adds(rule, event) for cover in self.covers)
        return () if covered else parts

    def names(self, rule: LogSource, field: str) -> tuple[str, ...]:
        """The names that a rule's field may have in an event, in order of preference.

        Spaces go: "use them as they appear in the log source and strip all spaces" (Sigma rules specification 2.1).
        """
        names = {field: None, field.replace(" ", ""): None}
        for alias in self.aliases:
            if all(_same(getattr(alias, part), getattr(rule, part)) for part in LogSource.__struct_fields__):
                names |= dict.fromkeys(alias.fields.get(field, ()))
        return tuple(names)


def _same(wanted: str | None, stated: str | None) -> bool:
    return wanted is None or wanted == stated


def log_source(parts: Mapping[str, str | None] | LogSource) -> LogSource:
    """A log source in lower case; an empty part says nothing."""
    if isinstance(parts, LogSource):
        parts = {name: getattr(parts, name) for name in LogSource.__struct_fields__}
    stated = {name: parts.get(name) for name in LogSource.__struct_fields__}
    return LogSource(**{name: value.lower() if value else None for name, value in stated.items()})


@cache
def shipped_log_sources() -> LogSources:
    """The table that ships with the rules."""
    text = (shipped("rules") / FILE_NAME).read_text("utf-8")
    return msgspec.convert(yaml.load(text, Loader=yaml.CSafeLoader), LogSources)
