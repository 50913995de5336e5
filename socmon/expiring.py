"""Certificates that run out: shown by a metric, and told once a day from some days before on."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from socmon import metrics
from socmon.worker import Worker

WARN_DAYS = 30
_LOOK_S = 60.0
_DAY_S = 86_400.0


class Expiring:
    """Of one component."""

    def __init__(self, component: str, log: FilteringBoundLogger, warn_days: int = WARN_DAYS) -> None:
        self._component = component
        self._log = log
        self._warn = timedelta(days=warn_days)
        self._told: dict[Path, tuple[datetime, bool, float]] = {}

    def look(self, expiries: Mapping[Path, datetime | None], now: datetime | None = None) -> None:
        """Show and tell when these files' certificates end; None stands for a file that holds none today."""
        known = {path: end for path, end in expiries.items() if end is not None}
        if known:
            metrics.CERTIFICATE_EXPIRY[self._component].set(min(known.values()).timestamp())
        at = now or datetime.now(UTC)
        for path, end in known.items():
            if end - at < self._warn:
                self._tell(path, end, has_ended=end < at)
            else:
                self._told.pop(path, None)

    def _tell(self, path: Path, end: datetime, *, has_ended: bool) -> None:
        before = self._told.get(path)
        if before and before[:2] == (end, has_ended) and time.monotonic() < before[2]:
            return
        self._told[path] = (end, has_ended, time.monotonic() + _DAY_S)
        until = f"{end:%Y-%m-%dT%H:%M:%SZ}"
        if has_ended:
            self._log.error("certificate has expired", file=path, expired=until, remedy="renew it")
        else:
            self._log.warning("certificate expires soon", file=path, expires=until, remedy="renew it")


Expiries = Callable[[], Mapping[Path, datetime | None]]


async def watch(certificates: Mapping[Expiring, Expiries]) -> None:
    """Look at the files of each component now and each minute, until cancelled; reads them in a thread of its own.

    Args:
        certificates: what each component answers when it is asked for its files and their ends.
    """
    worker = Worker("read of certificates")
    while certificates:
        if not worker.busy:  # a disk that hangs is waited for by the forwarder that needs it, and told by it
            await worker.run(_look_at_all, certificates)
        await asyncio.sleep(_LOOK_S)


def _look_at_all(certificates: Mapping[Expiring, Expiries]) -> None:
    for one, expiries in certificates.items():
        one.look(expiries())
