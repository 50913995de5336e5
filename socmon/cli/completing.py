"""What a shell is offered for an argument: names of the configuration, words that an alert has; cheaply, or nothing."""

from collections.abc import Callable, Iterable

import click

from socmon.cli import Options
from socmon.errors import SocmonError

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def _offered(words: Callable[[click.Context], Iterable[str]]) -> Completer:
    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        try:
            return [word for word in words(context) if word.startswith(incomplete)]
        except (SocmonError, OSError):  # a shell that completes is no place for complaints
            return []

    return complete


def _configured(role: str) -> Callable[[click.Context], Iterable[str]]:
    def names(context: click.Context) -> Iterable[str]:
        from socmon.cli import place

        options = context.find_object(Options) or Options()
        found: list[str] = getattr(place.find(options.config), role)
        return found

    return names


def _levels(_context: click.Context) -> Iterable[str]:
    from socmon.event import LEVELS

    return [word for level in reversed(LEVELS) for word in (level, f"{level}+")]


def _statuses(_context: click.Context) -> Iterable[str]:
    from socmon.store.reading import STATUSES

    return STATUSES


offer_destinations = _offered(_configured("forwarders"))
offer_collectors = _offered(_configured("collectors"))
offer_levels = _offered(_levels)
offer_statuses = _offered(_statuses)
