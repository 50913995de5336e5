"""What every forwarder's `render` promises: a message, or one ValueError that says which alert has none and why."""

from collections.abc import Iterator
from contextlib import contextmanager

from socmon.event import Alert


@contextmanager
def rendering(alert: Alert) -> Iterator[None]:
    """Around the making of the message of `alert`.

    Raises:
        ValueError: the alert holds what cannot be written: a time beyond year 9999, a lone surrogate, an unknown level.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise ValueError(f"alert {alert.id[:64]!r} cannot be rendered: {reason}; report it with the alert") from error
