"""A worker: `python -m socmon.workers PARENT MARK`, begun by a Pool; not for people.

Standard input brings rules and chunks, standard output takes the answers (see messages.py). It ends with its parent,
and by nothing that is meant for that: the service manager sends SIGTERM to all processes of the daemon.
"""

import ctypes
import faulthandler
import mmap
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from socmon import failpoints
from socmon.event import Event, Record
from socmon.garbage import settle
from socmon.matching import Begun, Matcher
from socmon.workers.messages import CHUNK, HEAD, MATCHED, MAX_BODY_BYTES, READY, RULES, answer, read_task
from socmon.workers.recipe import Recipe

_PR_SET_PDEATHSIG = 1
_OOM_SCORE = b"300"  # where memory ends, a worker goes before the daemon: it holds nothing


def main(parent: int, mark: int) -> None:
    """Work until standard input ends.

    Args:
        parent: process id.
        mark: descriptor of shared memory whose first eight bytes tell the record at hand.
    """
    _belong_to(parent)
    faulthandler.enable()
    source, sink = os.fdopen(os.dup(0), "rb", 0), os.fdopen(os.dup(1), "wb", 0)
    # What a library prints must not be taken for an answer.
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if failpoints.armed("worker.refuse"):
        raise SystemExit("failpoint worker.refuse")
    matching = _Harmed if failpoints.armed("worker.spin") or failpoints.armed("worker.crash") else Matcher
    begun = cast("Begun", memoryview(mmap.mmap(mark, mmap.PAGESIZE)).cast("Q"))
    matchers: list[Matcher] = []
    while (message := _read(source)) is not None:
        kind, token, body = message
        if kind == RULES:
            recipe = Recipe.unpack(body)
            matchers = [recipe.matcher(undated=undated, kind=matching) for undated in (False, True)]
            settle()
            _write(sink, READY, token, b"")
        elif kind == CHUNK:
            frame, undated, aside = read_task(body)
            batch = frame.batch()
            matched = matchers[undated].match(batch, aside=aside, begun=begun) if batch else None
            begun[0] = 0
            _write(sink, MATCHED, token, answer(matched))


class _Harmed(Matcher):
    """A matcher with a failpoint."""

    def parse(self, record: Record) -> Event:
        failpoints.harm(record.data)
        return super().parse(record)


def _belong_to(parent: int) -> None:
    """End with the parent, even amid a loop in C; see Pool for what thread that must be."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended before
        raise SystemExit(0)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # ours were blocked from the first moment on
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(_OOM_SCORE)


def _read(source: BinaryIO) -> tuple[int, int, bytes] | None:
    head = _exactly(source, HEAD.size)
    if head is None:
        return None
    kind, token, size = HEAD.unpack(head)
    body = _exactly(source, size) if size <= MAX_BODY_BYTES else None
    return None if body is None else (kind, token, body)


def _exactly(source: BinaryIO, size: int) -> bytes | None:
    """`size` bytes; None where they end before."""
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        got = source.readinto(view[done:])  # type: ignore[attr-defined]  # unbuffered, it is a RawIOBase
        if not got:
            return None
        done += got
    return bytes(data)


def _write(sink: BinaryIO, kind: int, token: int, body: bytes) -> None:
    left = memoryview(HEAD.pack(kind, token, len(body)) + body)
    while left:
        left = left[sink.write(left) :]


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main(int(sys.argv[1]), int(sys.argv[2]))
