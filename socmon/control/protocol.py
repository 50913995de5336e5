"""What goes over the control socket: one JSON object a line in, one out; both ends bounded.

In `{"v":1,"verb":"feed.retry","arguments":{"ids":[17]}}`, out `{"v":1,"ok":true,"result":{…}}` or
`{"v":1,"ok":false,"code":"not_found","error":"…"}`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from socmon.errors import ParseError, SocmonError

VERSION = 1
MAX_LINE_BYTES = 64 * 1024
NAME = "control.sock"

Code = Literal["bad_request", "not_found", "busy", "timeout", "failed"]


class RefusedError(SocmonError):
    """A verb was not done; `code` says why to programs, the text to people."""

    def __init__(self, code: Code, message: str) -> None:
        self.code: Code = code
        super().__init__(message)


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked; `arguments` are the verb's own."""

    v: int
    verb: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class Reply(Struct, frozen=True, omit_defaults=True):
    """What became of it: a result where `ok`, else code and text."""

    v: int
    ok: bool
    result: msgspec.Raw = msgspec.Raw(b"null")
    code: str = ""
    error: str = ""


_requests = msgspec.json.Decoder(Request)


def read_request(line: bytes) -> Request:
    """The request that `line` holds.

    Raises:
        ParseError: it holds none, or one of another version.
    """
    try:
        request = _requests.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ParseError(f"no request: {str(error)[:200]}; write one JSON object a line") from error
    if request.v != VERSION:
        raise ParseError(f"this is version {VERSION} of the protocol, not {request.v}; use the socmon of the daemon")
    return request


def done(result: object) -> bytes:
    """The line that says a verb was done."""
    encoded = msgspec.Raw(msgspec.json.encode(result))
    return msgspec.json.encode(Reply(VERSION, ok=True, result=encoded)) + b"\n"


def refused(code: Code, error: str) -> bytes:
    """The line that says it was not."""
    return msgspec.json.encode(Reply(VERSION, ok=False, code=code, error=error[:1000])) + b"\n"


@contextmanager
def address(state_dir: Path) -> Iterator[str]:
    """What to bind or connect a socket to, however long the path of `state_dir` is.

    The kernel takes 107 bytes (unix(7), `sun_path`); the way over the folder's descriptor is always shorter.

    Raises:
        OSError: the folder cannot be opened.
    """
    folder = os.open(state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{NAME}"
    finally:
        os.close(folder)
