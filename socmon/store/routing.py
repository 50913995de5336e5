"""What the outbox asks a destination's forwarder for."""

from collections.abc import Callable

from msgspec import Struct

from socmon.component import Aggregate, Quota, Release, Void
from socmon.event import Alert


def _no_aggregate(_aggregate: Aggregate, _release: Release) -> bytes:
    raise NotImplementedError


class Routing(Struct, frozen=True):
    """How a destination's alerts become messages; the functions are pure. `aggregate` is used only with a `quota`."""

    destination: str
    stream: Callable[[Alert], str]
    render: Callable[[Alert, Release], bytes]
    void: Callable[[Void], bytes | None] = lambda _void: None
    quota: Quota | None = None
    aggregate: Callable[[Aggregate, Release], bytes] = _no_aggregate
