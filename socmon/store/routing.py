"""How a destination's alerts become messages, as the outbox asks for it."""

from collections.abc import Callable
from typing import Any, Self

from msgspec import Struct

from socmon.component import Forwarder
from socmon.event import Alert
from socmon.outgoing import AUTOMATIC, Aggregate, Approval, Quota, Release, Void


def _no_aggregate(_aggregate: Aggregate, _release: Release) -> bytes:
    raise NotImplementedError


class Routing(Struct, frozen=True):
    """A destination's name, and what its forwarder makes of alerts; the functions are pure.

    `quota`, `admit` and the rest are what `Forwarder` says of them.
    """

    destination: str
    stream: Callable[[Alert], str]
    render: Callable[[Alert, Release], bytes]
    void: Callable[[Void], bytes | None] = lambda _void: None
    quota: Quota | None = None
    aggregate: Callable[[Aggregate, Release], bytes] = _no_aggregate
    admit: Callable[[Alert], Approval] = lambda _alert: AUTOMATIC
    closing: Callable[[Alert, Release], bytes | None] = lambda _alert, _release: None
    policy: str | None = None

    @classmethod
    def of(cls, destination: str, forwarder: Forwarder[Any]) -> Self:
        """As the forwarder does it."""
        return cls(
            destination,
            forwarder.stream,
            forwarder.render,
            forwarder.void,
            quota=forwarder.quota,
            aggregate=forwarder.aggregate,
            admit=forwarder.admit,
            closing=forwarder.closing,
            policy=forwarder.policy,
        )
