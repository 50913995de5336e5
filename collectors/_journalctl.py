"""journalctl as a child process: what it prints, line by line, and what becomes of it."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Self, cast

from socmon.errors import ComponentError
from socmon.text import printable

PROGRAM = "journalctl"
_READ_BYTES = 256 * 1024
_SAID_BYTES = 2000  # of what it says of itself
_END_S = 2.0
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "cat"}


class Journalctl:
    """One run of journalctl, in a process group of its own. Use it as a context: it is over when the block is.

    Not reading is all that it takes to slow it: the pipe fills, and it waits.

    Args:
        longest_bytes: of a longer line the rest is passed over.
    """

    def __init__(self, arguments: Sequence[str], longest_bytes: int) -> None:
        self._arguments = arguments
        self._longest_bytes = longest_bytes
        self._held = bytearray()
        self._said = b""

    async def __aenter__(self) -> Self:
        try:
            self._process: Process = await asyncio.create_subprocess_exec(
                *(PROGRAM, *self._arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
                limit=_READ_BYTES,
                start_new_session=True,
                env=os.environ | _ENVIRONMENT,
            )
        except OSError as error:
            reason = (error.strerror or "error").lower()
            remedy = "install systemd's journalctl, or see that it is in PATH"
            raise ComponentError(f"cannot run {PROGRAM}: {reason}; {remedy}") from error
        self._out = cast("asyncio.StreamReader", self._process.stdout)
        self._listening = asyncio.create_task(self._listen(), name=f"what {PROGRAM} says")
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it, and do not leave before it is gone."""
        for ending in (signal.SIGTERM, signal.SIGKILL):
            if self._process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, ending)
                await self._within(self._process.wait())
        self._listening.cancel()
        await asyncio.wait([self._listening])
        await self._within(self._drain())

    async def lines(self, wait_s: float) -> list[bytes] | None:
        """The whole lines that have come, perhaps none, after `wait_s` at the latest; None at the end."""
        data = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                data = await self._out.read(_READ_BYTES)
                if not data:
                    return None
        return self._split(data)

    async def check(self, *, following: bool) -> None:
        """After the end: how it ended.

        Raises:
            ComponentError: not as it should.
        """
        await self._within(self._process.wait())
        await self._within(self._listening)
        code = self._process.returncode
        if code or following:
            how = f"by {signal.Signals(-code).name}" if code and code < 0 else f"with {code}"
            said = printable(self._said.decode("utf-8", "replace").strip()) or "it said nothing"
            remedy = "try it by hand as user socmon; to read journals that user must be in group systemd-journal"
            raise ComponentError(f"journalctl ended {how}: {said}; {remedy}")

    def _split(self, data: bytes) -> list[bytes]:
        *ended, rest = data.split(b"\n")
        lines = []
        for piece in ended:
            self._hold(piece)
            lines.append(bytes(self._held))
            self._held.clear()
        self._hold(rest)
        return lines

    def _hold(self, piece: bytes) -> None:
        self._held += piece[: self._longest_bytes + 1 - len(self._held)]

    async def _listen(self) -> None:
        err = cast("asyncio.StreamReader", self._process.stderr)
        while said := await err.read(_READ_BYTES):
            self._said = (self._said + said)[-_SAID_BYTES:]

    async def _drain(self) -> None:
        """Only at its end does asyncio close a pipe."""
        while await self._out.read(_READ_BYTES):
            pass

    async def _within(self, ending: Awaitable[object]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await ending
