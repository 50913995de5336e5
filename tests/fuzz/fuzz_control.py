"""Fuzz target: a line on the control socket, as any member of its group could write it."""

import msgspec

from socmon.control.protocol import Request, done, read_request, refused
from socmon.errors import ParseError
from socmon.verbs import ChangeArguments, ProgressArguments, RetryArguments, TestArguments


def one_input(data: bytes) -> None:
    """Read `data` as a request and as each verb's arguments; only ParseError may come out; an answer is a line."""
    try:
        request = read_request(data)
    except ParseError as error:
        _check(refused("bad_request", str(error)))
        return
    assert isinstance(request, Request)
    for kind in (ChangeArguments, TestArguments, ProgressArguments, RetryArguments):
        try:
            asked = msgspec.json.decode(request.arguments, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        _check(done(asked))


def _check(line: bytes) -> None:
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    msgspec.json.decode(line)
