"""The keys that `ncsc` signs with, held in memory: the store signs in its own thread, which no disk may stop."""

import asyncio
from contextlib import suppress

from structlog.typing import FilteringBoundLogger

from forwarders._own_thread import in_own_thread
from socmon.errors import ComponentError
from socmon.feed.keyring import Signer
from socmon.feed.signing import Key

LOOK_S = 2.0
KEYS_REMEDY = "check the disk or mount that holds them"


class SigningKeys:
    """Looks at the file of keys each LOOK_S in a thread of its own; between two looks nobody reads it.

    Args:
        name: of the destination.
        signer: None where messages are not signed.
        timeout_s: for one look. What takes longer leaves the last keys in place, each good by its own dates.
    """

    def __init__(self, name: str, signer: Signer | None, timeout_s: float, log: FilteringBoundLogger) -> None:
        # Two threads: a look that `close` has cut short must not pass for a hanging one when we open anew.
        self._reading, self._work = f"read of the signing keys of {name}", f"look at the signing keys of {name}"
        self._signer = signer
        self._timeout_s = timeout_s
        self._log = log
        self._problem = ""
        self._looking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read the keys, and go on looking at them until `close`; the caller bounds the wait.

        Raises:
            ComponentError: there is none to sign with now, or the last read still hangs.
        """
        await self.close()
        if self._signer is not None:
            await in_own_thread(self._signer.read, name=self._reading, remedy=KEYS_REMEDY)
            self._signer.held()
            self._looking = asyncio.create_task(self._look(self._signer), name=self._work)

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
            self._looking = None

    def at(self, time_s: int) -> Key | None:
        """The key to sign with at `time_s`, seconds since 1970 UTC; None where nothing is signed. Reads no file.

        Raises:
            BlockedError: none of those that were read last is good then, or none was read.
        """
        return None if self._signer is None else self._signer.held(time_s)

    async def _look(self, signer: Signer) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            problem = ""
            try:
                async with asyncio.timeout(self._timeout_s):
                    await in_own_thread(signer.read, name=self._work, remedy=KEYS_REMEDY)
            except TimeoutError:
                problem = f"they were not read within {self._timeout_s:g} s; {KEYS_REMEDY}"
            except ComponentError as error:
                problem = str(error)
            if problem and not self._problem:
                self._log.error("signing keys cannot be looked at, the last ones stay", error=problem)
            self._problem = problem
