"""Tells the operator of hosts that no agency owns: what the inventory lacks."""

import asyncio
from collections.abc import Callable

from socmon import log, metrics
from socmon.enrich.assets import Assets

_LOOK_S = 5.0
_SHOWN = 20  # in a line; the others come in the next ones

_log = log.get("assets")


async def tell_unknown(in_force: Callable[[], Assets | None]) -> None:
    """Log each host once an inventory, a line of several every few seconds at most, until cancelled."""
    told, told_of = 0, in_force()
    while True:
        await asyncio.sleep(_LOOK_S)
        assets = in_force()
        if assets is not told_of:
            told, told_of = 0, assets
        hosts = list(assets.unknown) if assets else []
        metrics.UNKNOWN_HOSTS.set(len(hosts))
        if new := hosts[told : told + _SHOWN]:
            _log.warning("no agency owns these hosts, add them to the inventory", hosts=new)
            told += len(new)
