"""What an event's own fields say of where it belongs: a service by one field, categories by the service and another."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from msgspec import Struct

from socmon.sigma.values import fold, text_of

_KeyT = TypeVar("_KeyT")


class Route(Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `routes`.

    Attributes:
        services: service → values of the field `service_by` that tell it.
        categories: service → category → values of the field `category_by` that tell it.
    """

    product: str
    service_by: str | None = None
    services: dict[str, list[str | int]] = {}
    category_by: str | None = None
    categories: dict[str, dict[str, list[str | int]]] = {}


class Told(NamedTuple):
    """What an event's fields add to its log source."""

    services: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


NOTHING = Told()


class Routing:
    """The routes of one product, by the values that they ask for.

    Attributes:
        names: of the fields that they read.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        services: dict[str, dict[str, tuple[str, ...]]] = {}
        categories: dict[str, dict[tuple[str, str], tuple[str, ...]]] = {}
        for route in routes:
            for service, values in route.services.items():
                by_value = services.setdefault(route.service_by or "", {})
                for value in values:
                    _add(by_value, fold(text_of(value)), fold(service))
            for service, wanted in route.categories.items():
                by_both = categories.setdefault(route.category_by or "", {})
                for category, values in wanted.items():
                    for value in values:
                        _add(by_both, (fold(service), fold(text_of(value))), fold(category))
        self._services = tuple(services.items())
        self._categories = tuple(categories.items())
        self.names = tuple(dict.fromkeys(name for name in (*services, *categories) if name))

    def adds_to(self, service: str | None) -> bool:
        """Whether the fields of an event that states `service` can say more of it."""
        return bool(self._services) or any(service == key for _, by in self._categories for key, _ in by)

    def told(self, service: str | None, fields: Mapping[str, Any]) -> Told:
        """What the fields of an event that states `service` say; of finitely many answers one, whatever they hold."""
        services: tuple[str, ...] = ()
        for name, by_value in self._services:
            if (text := _text(fields.get(name))) is not None:
                services += by_value.get(text, ())
        asked = services if service is None or service in services else (service, *services)
        categories: tuple[str, ...] = ()
        for name, by_both in self._categories:
            if asked and (text := _text(fields.get(name))) is not None:
                for each in asked:
                    categories += by_both.get((each, text), ())
        return Told(services, categories)


def _add(table: dict[_KeyT, tuple[str, ...]], key: _KeyT, name: str) -> None:
    told = table.get(key, ())
    if name not in told:
        table[key] = (*told, name)


def _text(value: Any) -> str | None:
    """A single value as the table has it; None for what is none: a list would route an event to all that it holds."""
    if type(value) is str:
        return fold(value)
    return text_of(value) if isinstance(value, (int, float)) else None
