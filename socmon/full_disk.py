"""That journal or store could not be written, as on a full disk, is an alert too: once there is room for one."""

import asyncio
from collections.abc import Callable, Mapping

from socmon.own import Own

_LOOK_S = 1.0


class FullDisk:
    """Looks at what writes, and lets rules/socmon/full_disk.yml make an alert of what fails.

    The log, the metrics and /readyz tell it first: the alert is stored when the store can be.

    Args:
        parts: by the name of a part, why it cannot write now; "" while it can.
    """

    def __init__(self, own: Own, parts: Mapping[str, Callable[[], str]]) -> None:
        self._own = own
        self._parts = parts

    async def run(self) -> None:
        """Tell each failure once, until cancelled."""
        told: dict[str, str] = {}
        while True:
            failing = {part: reason for part, why in self._parts.items() if (reason := why())}
            fresh = {part: reason for part, reason in failing.items() if part not in told}
            told = failing
            for part, reason in fresh.items():
                fields = {"state": "failed", "part": part, "reason": reason}
                await self._own.insist("disk", f"the {part} could not be written: {reason}", fields)
            await asyncio.sleep(_LOOK_S)
