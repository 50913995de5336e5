"""A thread of one's own for calls that may never return, such as reading from a file server that is gone."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

# What runs, and what closes the files after it.
_MAX_UNFINISHED = 2

_Call = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]]


class Worker:
    """Runs one call after the other in one thread, begun by the first: a call that hangs takes no thread from others.

    The thread is a daemon, since the interpreter waits at its exit for the threads of an executor, and for a hung one
    without end. All methods belong to the event loop's thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._unfinished: list[Future[Any]] = []
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether a call has not ended, though its caller may have been cancelled."""
        return not all(call.done() for call in self._unfinished)

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Return or raise what `function` does. Cancelled, it leaves a call that has begun to its thread.

        Raises:
            RuntimeError: closed, or one call runs and another one waits; ask `busy` before.
        """
        self._unfinished = [call for call in self._unfinished if not call.done()]
        if self._closed or len(self._unfinished) >= _MAX_UNFINISHED:
            raise RuntimeError(f"worker {self._name!r} {'is closed' if self._closed else 'has a call waiting already'}")
        call: Future[T] = Future()
        self._unfinished.append(call)
        self._calls.put((call, function, arguments))
        if self._thread is None:
            self._thread = threading.Thread(target=_work, args=(self._calls,), name=self._name, daemon=True)
            self._thread.start()
        return await asyncio.wrap_future(call)

    def close(self) -> None:
        """End the thread after the calls it was given; does not wait."""
        self._closed = True
        self._calls.put(None)


def _work(calls: "SimpleQueue[_Call | None]") -> None:
    while (given := calls.get()) is not None:
        call, function, arguments = given
        if call.set_running_or_notify_cancel():
            try:
                call.set_result(function(*arguments))
            except BaseException as error:  # noqa: BLE001  it is the caller's, whatever it is
                call.set_exception(error)
        del given, call, function, arguments  # nothing is kept alive by a thread that waits
