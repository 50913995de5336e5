"""How commands ask the running daemon, over its control socket; and what its refusals are as exit codes."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from socmon.cli import NOT_ALLOWED, NOT_FOUND, PARTLY, PROBLEMS, UNREACHABLE, CommandError
from socmon.control.protocol import NAME, VERSION, Reply, address
from socmon.i18n import Message, mark

T = TypeVar("T")

_ANSWER_S = 15.0  # more than the daemon gives any verb
_MAX_REPLY_BYTES = 16 * 1024 * 1024
_EXIT_CODES = {"not_found": NOT_FOUND, "busy": UNREACHABLE, "timeout": PARTLY}


class Ask(Protocol):
    """What `asking` hands out."""

    def __call__(self, verb: str, result: type[T], **arguments: object) -> T:
        """Ask the daemon for `verb`, and read what it answers as `result`."""


@contextmanager
def asking(state_dir: Path, *, answer_s: float = _ANSWER_S) -> Iterator[Ask]:
    """`ask(verb, type, **arguments)` of the daemon that has `state_dir`, read as `type`.

    Raises:
        CommandError: it is not there, is gone, or refuses; here or in the body.
    """
    path = state_dir / NAME
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(answer_s)
        try:
            with address(state_dir) as place:
                connection.connect(place)
        except PermissionError as error:
            text = mark(
                "this user may not use {path}; use the user of the daemon or root, or become a member of its group"
            )
            raise CommandError(Message(text, path=path), NOT_ALLOWED) from error
        except OSError as error:
            reason = (error.strerror or "no answer").lower()
            text = mark(
                "no daemon at {path}: {reason}; is the daemon running, and is this its configuration? start it, or "
                "name the right one with -c"
            )
            raise CommandError(Message(text, path=path, reason=reason), UNREACHABLE) from error
        with connection.makefile("rb") as answers:

            def ask(verb: str, result: type[T], **arguments: object) -> T:
                request = {"v": VERSION, "verb": verb, "arguments": arguments}
                try:
                    with suppress(BrokenPipeError):  # it may have said why it hangs up
                        connection.sendall(msgspec.json.encode(request) + b"\n")
                    line = answers.readline(_MAX_REPLY_BYTES)
                except OSError as error:
                    text = f"the daemon at {path} does not answer ({error}); see its log"
                    raise CommandError(text, UNREACHABLE) from error
                if not line.endswith(b"\n"):
                    text = f"the daemon at {path} ended while it was asked; see its log, and start it again"
                    raise CommandError(text, UNREACHABLE)
                return _read(line, result)

            yield ask


def _read(line: bytes, result: type[T]) -> T:
    try:
        reply = msgspec.json.decode(line, type=Reply)
        if reply.ok:
            return msgspec.json.decode(reply.result, type=result)
    except msgspec.MsgspecError as error:
        text = f"the daemon's answer cannot be read ({error}); is it of another version than this command?"
        raise CommandError(text, PROBLEMS) from error
    raise CommandError(reply.error, _EXIT_CODES.get(reply.code, PROBLEMS))
