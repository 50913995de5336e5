"""Which rules see which events, and field aliases: `rules/logsources.yml`, which explains itself."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, get_args

import msgspec
import yaml
from msgspec import Struct

from socmon.event import LogSource
from socmon.resources import shipped
from socmon.sigma.routing import NOTHING, Route, Routing, Told

FILE_NAME = "logsources.yml"
LogSourcePart = Literal["product", "category", "service"]
PARTS: tuple[LogSourcePart, ...] = get_args(LogSourcePart)


class Cover(Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `covers`."""

    product: str
    service: str
    services: frozenset[str]
    excluded: frozenset[str] = msgspec.field(name="except", default=frozenset())

    def holds(self, product: str | None, service: str) -> bool:
        """Whether an event of this service is one of `self.service` too."""
        is_named = product == self.product and not self.services.isdisjoint((service, "*"))
        return is_named and service not in self.excluded

    def lower(self) -> "Cover":
        """The same in lower case, as log sources are compared."""
        lower = [frozenset(map(str.lower, names)) for names in (self.services, self.excluded)]
        return Cover(self.product.lower(), self.service.lower(), *lower)


class Alias(Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `aliases`."""

    fields: dict[str, list[str]]
    product: str | None = None
    category: str | None = None
    service: str | None = None


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """What one file says."""

    covers: tuple[Cover, ...] = ()
    routes: tuple[Route, ...] = ()
    aliases: tuple[Alias, ...] = ()


class Standing(NamedTuple):
    """All that an event is, part by part, in lower case."""

    product: frozenset[str]
    category: frozenset[str]
    service: frozenset[str]


class LogSources:
    """The tables of all files, as one."""

    def __init__(self, tables: Sequence[Table] = ()) -> None:
        self.tables = tuple(tables)
        self._covers = [cover.lower() for table in tables for cover in table.covers]
        self._aliases = [alias for table in tables for alias in table.aliases]
        routes: dict[str, list[Route]] = {}
        for route in (route for table in tables for route in table.routes):
            routes.setdefault(route.product.lower(), []).append(route)
        self._routings = {product: Routing(each) for product, each in routes.items()}

    def routing(self, event: LogSource) -> Routing | None:
        """What reads more of an event's log source from its fields; None where they cannot say more."""
        routing = self._routings.get(event.product or "")
        return routing if routing and routing.adds_to(event.service) else None

    def told(self, event: LogSource, fields: Mapping[str, Any]) -> Told:
        """What an event's fields add to its log source, which is in lower case."""
        routing = self.routing(event)
        return routing.told(event.service, fields) if routing else NOTHING

    def standing(self, event: LogSource, told: Told) -> Standing:
        """All that an event is which states `event` and whose fields say `told`."""
        own = frozenset(filter(None, (event.service, *told.services)))
        covering = {cover.service for cover in self._covers for one in own or {""} if cover.holds(event.product, one)}
        return Standing(
            product=frozenset(filter(None, (event.product,))),
            category=frozenset(filter(None, (event.category, *told.categories))),
            service=own | covering,
        )

    def differing(self, rule: LogSource, standing: Standing) -> tuple[LogSourcePart, ...]:
        """The parts of a rule's log source that an event does not have; () where the rule looks at it."""
        return tuple(
            part for part in PARTS if (wanted := getattr(rule, part)) and wanted not in getattr(standing, part)
        )

    def names(self, rule: LogSource, field: str) -> tuple[str, ...]:
        """The names that a rule's field may have in an event, in order of preference.

        Spaces go: "use them as they appear in the log source and strip all spaces" (Sigma rules specification 2.1).
        """
        names = {field: None, field.replace(" ", ""): None}
        for alias in self._aliases:
            if all(_same(getattr(alias, part), getattr(rule, part)) for part in PARTS):
                names |= dict.fromkeys(alias.fields.get(field, ()))
        return tuple(names)


def _same(wanted: str | None, stated: str | None) -> bool:
    return wanted is None or wanted.lower() == stated


def log_source(parts: Mapping[str, str | None] | LogSource) -> LogSource:
    """A log source in lower case; an empty part says nothing."""
    if isinstance(parts, LogSource):
        parts = {name: getattr(parts, name) for name in LogSource.__struct_fields__}
    stated = {name: parts.get(name) for name in LogSource.__struct_fields__}
    return LogSource(**{name: value.lower() if value else None for name, value in stated.items()})


@cache
def shipped_table() -> Table:
    """The table that ships with the rules."""
    text = (shipped("rules") / FILE_NAME).read_text("utf-8")
    return msgspec.convert(yaml.load(text, Loader=yaml.CSafeLoader), Table)


@cache
def shipped_log_sources() -> LogSources:
    """What ships with the rules, and nothing else."""
    return LogSources([shipped_table()])
