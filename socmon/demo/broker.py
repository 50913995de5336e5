"""An MQTT broker for the demonstration: Debian's mosquitto, where it is installed, and what is published there."""

import asyncio
import os
import shutil
from asyncio.subprocess import DEVNULL, Process
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import aiomqtt

from socmon.demo.processes import die_with_parent
from socmon.errors import SocmonError

_READY_S = 10.0
_END_S = 5.0
_LOOK_S = 0.05
_TIMEOUT_S = 5.0


def mosquitto() -> str | None:
    """Where the program is, also in folders of which not every user's shell knows; None if it is not installed."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Broker:
    """One mosquitto on a loopback port. Used as a context: behind it, the process is gone."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._process.kill()
        async with asyncio.timeout(_END_S):
            await self._process.wait()

    async def start(self, port: int) -> None:
        """Start it. Raises SocmonError if it does not listen within 10 s."""
        config = await asyncio.to_thread(self._configure, port)
        self._process = await asyncio.create_subprocess_exec(
            *(self._program, "-c", str(config)),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            start_new_session=True,  # Ctrl-C on the terminal is for the demonstration
            preexec_fn=die_with_parent,
        )
        try:
            async with asyncio.timeout(_READY_S):
                while not await _listens(port):
                    self.check()
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError as error:
            raise SocmonError(f"the broker did not listen within {_READY_S:g} s; see {self._folder}/log") from error

    def check(self) -> None:
        """Raise SocmonError if it has ended by itself."""
        if self._process is not None and self._process.returncode is not None:
            raise SocmonError(f"the broker ended by itself with {self._process.returncode}; see {self._folder}/log")

    def _configure(self, port: int) -> Path:
        self._folder.mkdir(mode=0o750)
        lines = [
            *(["user root"] if os.geteuid() == 0 else []),  # another one could not enter the folder
            f"log_dest file {self._folder.absolute()}/log",
            "max_queued_messages 0",  # without limit: what is published while the daemon is down waits for it
            f"listener {port} 127.0.0.1",
            "allow_anonymous true",
        ]
        config = self._folder / "mosquitto.conf"
        config.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return config


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


class MqttWay:
    """Publishes each line at QoS 1, and waits for the broker's answer: what it has taken is not lost."""

    def __init__(self, port: int, topic: str) -> None:
        self._port = port
        self._topic = topic
        self._waiting: deque[bytes] = deque()
        self._client: aiomqtt.Client | None = None

    async def put(self, first: int, data: Sequence[bytes]) -> None:  # noqa: ARG002  nothing is lost
        """Publish.

        Raises:
            SocmonError: the broker does not take it.
        """
        self._waiting += data
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                if self._client is None:
                    client = aiomqtt.Client("127.0.0.1", self._port, protocol=aiomqtt.ProtocolVersion.V5)
                    await client.__aenter__()
                    self._client = client
                while self._waiting:
                    await self._client.publish(self._topic, self._waiting[0], qos=1)
                    self._waiting.popleft()
        except (aiomqtt.MqttError, TimeoutError) as error:
            raise SocmonError(f"the broker does not take what is published: {error!r}") from error

    async def close(self) -> None:
        """Take leave of the broker."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(aiomqtt.MqttError, TimeoutError):
                async with asyncio.timeout(_TIMEOUT_S):
                    await client.__aexit__(None, None, None)
