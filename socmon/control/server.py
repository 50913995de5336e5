"""The daemon's end of the control socket: names who asks (SO_PEERCRED, unix(7)), writes down each change, is bounded.

Who may connect is the file's mode, 0660: root, the daemon's user, the members of the file's group.
"""

import asyncio
import pwd
import socket
import struct
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Struct

from socmon import log
from socmon.control.protocol import (
    MAX_LINE_BYTES,
    NAME,
    Code,
    RefusedError,
    Request,
    address,
    done,
    read_request,
    refused,
)
from socmon.errors import ConfigError, ParseError, SocmonError
from socmon.worker import Worker

MAX_CLIENTS = 32
_LINE_S = 10.0  # for the next request to come, whole, and for an answer to be taken
_VERB_S = 10.0
_NAME_S = 1.0
_CLOSE_S = 1.0
_MODE = 0o660
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid

_log = log.get("control")


class Actor(Struct, frozen=True):
    """Who asks, as the kernel says.

    Attributes:
        name: of the user; `uid 1000` where there is none.
    """

    uid: int
    name: str


class Verb(Struct, frozen=True):
    """Something that can be asked for.

    Attributes:
        arguments: the Struct that its arguments are read as.
        run: does it, and returns what can be written as JSON; raises RefusedError or another SocmonError.
        changes: whether it changes anything, and so is written down with its actor.
    """

    arguments: type[Struct]
    run: Callable[[Actor, Any], Coroutine[Any, Any, object]]
    changes: Callable[[Any], bool]


class Control:
    """Serves `control.sock` in the state directory.

    Args:
        state_dir: the caller holds its lock, so a socket that is there already is of a process that is gone.
    """

    def __init__(self, state_dir: Path, verbs: Mapping[str, Verb]) -> None:
        self._state_dir = state_dir
        self._path = state_dir / NAME
        self._verbs = verbs
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[Any]] = set()
        self._verbs_running: set[asyncio.Task[object]] = set()
        self._names = Worker("user names")
        self._naming = asyncio.Lock()
        self._folder = ExitStack()  # open as long as the server, whose address leads over it

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the socket cannot be made.
        """
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._path.unlink(missing_ok=True)
            bound.bind(self._folder.enter_context(address(self._state_dir)))
            # Before anyone can connect, for that takes a listen.
            self._path.chmod(_MODE)
            self._server = await asyncio.start_unix_server(self._serve, sock=bound, limit=MAX_LINE_BYTES)
        except OSError as error:
            bound.close()
            self._folder.close()
            reason = (error.strerror or "error").lower()
            raise ConfigError(
                [f"state_dir: cannot create the socket {self._path}: {reason}; use another folder"]
            ) from error

    async def close(self) -> None:
        """Stop listening, end who is connected, remove the file; harmless when not started."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        self._path.unlink(missing_ok=True)
        tasks = self._clients | self._verbs_running
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_S)
        self._names.close()
        self._folder.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        task.set_name("control client")
        self._clients.add(task)
        try:
            if len(self._clients) > MAX_CLIENTS:
                await _answer(writer, refused("busy", f"{MAX_CLIENTS} commands are connected already; try again"))
            else:
                await self._converse(reader, writer, await self._actor(writer))
        except OSError:
            pass  # the other side is gone, or too slow (TimeoutError is one): it sees that at its own end
        finally:
            self._clients.discard(task)
            if writer.transport.get_write_buffer_size():
                writer.transport.abort()  # a close would wait for whoever does not read
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, actor: Actor) -> None:
        while True:
            try:
                async with asyncio.timeout(_LINE_S):
                    line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                await _answer(writer, refused("bad_request", f"a request has at most {MAX_LINE_BYTES} bytes"))
                return
            await _answer(writer, await self._reply(line, actor))

    async def _reply(self, line: bytes, actor: Actor) -> bytes:
        try:
            request = read_request(line)
            verb, arguments = self._asked(request)
        except ParseError as error:
            return refused("bad_request", str(error))
        audit_log = _log.bind(actor=actor.name, uid=actor.uid, verb=request.verb)
        changes = verb.changes(arguments)
        if changes:
            audit_log.info("change asked for", arguments=msgspec.to_builtins(arguments))
        try:
            return done(await self._result(verb.run(actor, arguments)))
        except SocmonError as error:
            code: Code = error.code if isinstance(error, RefusedError) else "failed"
            if changes:
                audit_log.warning("change not made", code=code, error=str(error))
            return refused(code, str(error))

    async def _result(self, work: Coroutine[Any, Any, object]) -> object:
        """What `work` returns or raises; one that takes too long is cancelled, and not waited for even then.

        Raises:
            RefusedError: it took too long.
        """
        task = asyncio.create_task(work, name="control verb")
        self._verbs_running.add(task)
        task.add_done_callback(self._ended)
        try:
            await asyncio.wait([task], timeout=_VERB_S)
            if not task.done():
                raise RefusedError("timeout", f"not done within {_VERB_S:g} s; /readyz and the log say what hangs")
            return task.result()
        finally:
            task.cancel()

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._verbs_running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may be gone: nobody else takes it

    def _asked(self, request: Request) -> tuple[Verb, Any]:
        """The verb, and its arguments.

        Raises:
            ParseError: there is no such verb, or it takes other arguments.
        """
        verb = self._verbs.get(request.verb)
        if verb is None:
            raise ParseError(f"no verb is called {request.verb[:40]!r}; known: {', '.join(self._verbs)}")
        try:
            return verb, msgspec.json.decode(request.arguments, type=verb.arguments)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ParseError(f"{request.verb}: {str(error)[:200]}") from error

    async def _actor(self, writer: asyncio.StreamWriter) -> Actor:
        peer: socket.socket = writer.get_extra_info("socket")
        _, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        # A directory service that hangs must not keep anyone from being served.
        with suppress(KeyError, TimeoutError):
            async with asyncio.timeout(_NAME_S), self._naming:
                if not self._names.busy:
                    return Actor(uid, (await self._names.run(pwd.getpwuid, uid)).pw_name)
        return Actor(uid, f"uid {uid}")


async def _answer(writer: asyncio.StreamWriter, line: bytes) -> None:
    async with asyncio.timeout(_LINE_S):
        writer.write(line)
        await writer.drain()
