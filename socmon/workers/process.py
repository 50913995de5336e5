"""One worker as its parent sees it: started, written to, read from, looked at, ended; but for the end nothing waits."""

import fcntl
import mmap
import os
import signal
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from typing import IO, cast

from socmon.errors import SocmonError
from socmon.workers.messages import HEAD, MAX_BODY_BYTES

_PIPE_BYTES = 1024 * 1024  # what the kernel lets anyone have; so a worker finds its next chunk without our help
_READ_BYTES = 1024 * 1024
_END_S = 5.0
_SOON_S = 0.2
_CPU_CLOCK = 2  # of a process, in the clock id that its number makes (Linux, include/linux/posix-timers.h)
_IGNORED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class GoneError(SocmonError):
    """The worker has ended, or says what none would say."""


class Process:
    """A process that runs `python -m socmon.workers`.

    Linux ends it with the thread that made this object, which must outlive it.

    Attributes:
        pid: process id.
        source: descriptor to wait at for answers.
        sink: descriptor to wait at while `unsent`.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self) -> None:
        mark = os.memfd_create("socmon-worker", os.MFD_CLOEXEC)
        try:
            os.ftruncate(mark, mmap.PAGESIZE)
            self._mark = mmap.mmap(mark, mmap.PAGESIZE)
            self._process = _started(mark)
        finally:
            os.close(mark)
        self.pid = self._process.pid
        self._ends = cast("tuple[IO[bytes], IO[bytes]]", (self._process.stdin, self._process.stdout))
        self.sink, self.source = (end.fileno() for end in self._ends)
        for end in (self.sink, self.source):
            os.set_blocking(end, False)
            with suppress(OSError):  # the user has too many such pipes: it works with a small one
                fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._outgoing: deque[memoryview] = deque()
        self._incoming = bytearray()

    @property
    def unsent(self) -> bool:
        """Whether there is more to be written than the pipe has taken."""
        return bool(self._outgoing)

    @property
    def mark(self) -> int:
        """Sequence of the record that it has begun last; 0 where it is at none."""
        return int.from_bytes(self._mark[:8], sys.byteorder)

    @property
    def used_s(self) -> float:
        """Seconds of processor time that it has used; 0 once it is gone."""
        with suppress(OSError):
            return time.clock_gettime((~self.pid << 3) | _CPU_CLOCK)
        return 0.0

    @property
    def ending(self) -> str:
        """How it ended, for people; "" while it has not."""
        code = self._process.poll()
        if code is None:
            return ""
        return f"exit code {code}" if code >= 0 else f"signal {-code}"

    def send(self, kind: int, token: int, *body: bytes) -> None:
        """Hand over a message, as far as the pipe takes it. Raises GoneError."""
        self._outgoing.append(memoryview(HEAD.pack(kind, token, sum(map(len, body)))))
        self._outgoing.extend(memoryview(part) for part in body if part)
        self.flush()

    def flush(self) -> None:
        """Write what the pipe takes. Raises GoneError."""
        try:
            while self._outgoing:
                written = os.writev(self.sink, list(self._outgoing)[:16])
                while self._outgoing and written >= len(self._outgoing[0]):
                    written -= len(self._outgoing.popleft())
                if written:
                    self._outgoing[0] = self._outgoing[0][written:]
        except BlockingIOError:
            pass
        except OSError as error:
            raise GoneError(str(error)) from error

    def receive(self) -> list[tuple[int, int, bytes]]:
        """The answers that are here: (kind, token, body). Raises GoneError once it has ended and all is read."""
        ended = False
        try:
            while data := os.read(self.source, _READ_BYTES):
                self._incoming += data
            ended = True
        except BlockingIOError:
            pass
        answers = list(self._whole())
        if ended and not answers:
            raise GoneError("the worker has ended")
        return answers

    def _whole(self) -> list[tuple[int, int, bytes]]:
        answers, at = [], 0
        while len(self._incoming) - at >= HEAD.size:
            kind, token, size = HEAD.unpack_from(self._incoming, at)
            if size > MAX_BODY_BYTES:
                raise GoneError("the worker says what no worker would")
            if len(self._incoming) - at - HEAD.size < size:
                break
            at += HEAD.size + size
            answers.append((kind, token, bytes(memoryview(self._incoming)[at - size : at])))
        del self._incoming[:at]
        return answers

    def end(self, *, gone: bool = False) -> None:
        """Kill it, and close all that leads to it; one that is `gone` has closed its pipes, and says soon why."""
        if gone:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_SOON_S)
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # a disk that does not answer holds it: init has it later
            self._process.wait(_END_S)
        for end in self._ends:
            with suppress(OSError):
                end.close()
        self._mark.close()


def _started(mark: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", "socmon.workers", str(os.getpid()), str(mark)]
    # A worker begins with the mask of this thread, so that not even its first moment is ended by what is meant for us.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)
    try:
        return subprocess.Popen(  # noqa: S603  our own program, arguments of our own
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, pass_fds=[mark], start_new_session=True
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
