"""The demonstration's processes: started as an operator would, heard through their logs, never left behind."""

import asyncio
import ctypes
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from socmon.demo import handover
from socmon.errors import SocmonError

_READY_S = 30.0
_STOP_S = 20.0
_END_S = 5.0
_LOOK_S = 0.05
_LAST_WORDS_BYTES = 2000
_PR_SET_PDEATHSIG = 1  # prctl(2)

_libc = ctypes.CDLL(None)


class Child:
    """One `python -m socmon …`, started once or again. Used as a context: behind it, the process is gone.

    Args:
        log: file for all that it says, on both of its outputs.

    Attributes:
        sockets: descriptors of sockets that it gets at each start, as from systemd, by name.
    """

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self.sockets: Mapping[str, int] = {}
        self._arguments = arguments
        self._log = log
        self._process: Process | None = None
        self._begins = 0  # where in the log its last start is

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        async with asyncio.timeout(_END_S):
            await self._process.wait()

    async def start(self, ready: str, *, failpoint: str = "") -> dict[str, Any]:
        """Start it, and return the first JSON object that it says which has the key `ready`.

        Raises:
            SocmonError: it ended instead, or took longer than 30 s.
        """
        environment = {key: value for key, value in os.environ.items() if key != "SOCMON_FAILPOINT"}
        if failpoint:
            environment["SOCMON_FAILPOINT"] = failpoint
        program = [sys.executable, "-m", "socmon", *self._arguments]
        with await asyncio.to_thread(self._log.open, "ab") as log:
            self._begins = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *(handover.command(self.sockets, program) if self.sockets else program),
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=tuple(self.sockets.values()),
                start_new_session=True,  # Ctrl-C on the terminal is for the demonstration, which stops it in order
                preexec_fn=die_with_parent,
            )
        return await self.heard(ready)

    async def heard(self, ready: str) -> dict[str, Any]:
        """The first JSON object since its start that has the key `ready`; it is waited for.

        Raises:
            SocmonError: it ended instead, or took longer than 30 s.
        """
        try:
            async with asyncio.timeout(_READY_S):
                while (said := await asyncio.to_thread(_said, self._log, self._begins, ready)) is None:
                    self.check()
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError as error:
            raise SocmonError(f"the {self.name} was not ready within {_READY_S:g} s; {self._last_words()}") from error
        return said

    def check(self) -> None:
        """Raise SocmonError if it has ended by itself."""
        if self._process is not None and self._process.returncode is not None:
            raise SocmonError(f"the {self.name} ended by itself with {self._process.returncode}; {self._last_words()}")

    async def kill(self) -> None:
        """End it with SIGKILL: no clean-up of its own. Raises SocmonError if it has ended by itself before."""
        self.check()
        process, self._process = self._process, None  # before it ends: who watches must not take it for a failure
        if process is not None:
            process.kill()
            await process.wait()

    async def stop(self) -> None:
        """End it with SIGTERM.

        Raises:
            SocmonError: it took longer than 20 s, or failed in its stop.
        """
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                code = await self._process.wait()
        except TimeoutError as error:
            raise SocmonError(f"the {self.name} did not stop within {_STOP_S:g} s; {self._last_words()}") from error
        if code:
            raise SocmonError(f"the {self.name} ended with {code} when asked to stop; {self._last_words()}")
        self._process = None

    def _last_words(self) -> str:
        said = self._log.read_bytes()[-_LAST_WORDS_BYTES:].decode("utf-8", "backslashreplace")
        return f"the end of {self._log.name}: {said}"


def die_with_parent() -> None:
    """Runs in the child: it is killed when the demonstration is gone, even by SIGKILL."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _said(log: Path, begins: int, key: str) -> dict[str, Any] | None:
    """The first line from byte `begins` on that is a JSON object with `key`."""
    with log.open("rb") as file:
        file.seek(begins)
        for line in file:
            with suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and key in entry:
                    return entry
    return None
