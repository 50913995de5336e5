"""Tells the operator of hosts that no agency owns: what the inventory lacks."""

import asyncio

from socmon import log, metrics
from socmon.enrich.assets import Assets

_LOOK_S = 5.0
_SHOWN = 20  # in a line; the others come in the next ones

_log = log.get("assets")


async def tell_unknown(assets: Assets) -> None:
    """Log each host once, a line of several every few seconds at most, until cancelled."""
    told = 0
    while True:
        await asyncio.sleep(_LOOK_S)
        hosts = list(assets.unknown)
        metrics.UNKNOWN_HOSTS.set(len(hosts))
        if new := hosts[told : told + _SHOWN]:
            _log.warning("no agency owns these hosts, add them to the inventory", hosts=new)
            told += len(new)
