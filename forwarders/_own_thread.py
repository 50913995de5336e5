"""Blocking work of a destination in a thread of its own, so that a disk or name server that hangs holds up no other."""

from collections.abc import Callable
from typing import TypeVar

from socmon.errors import ComponentError
from socmon.worker import Worker

T = TypeVar("T")

# They outlive the forwarders: one that is made anew after a failure finds the thread that its predecessor left hanging.
workers: dict[str, Worker] = {}


async def in_own_thread(work: Callable[[], T], *, name: str, remedy: str) -> T:
    """Run `work` and return what it returns; the caller bounds the wait.

    A caller that stops waiting leaves the work to its thread, and until that has ended nothing else is begun under the
    same name: what hangs costs one thread, however often it is tried.

    Args:
        name: what the work is and on what, as in `write to /var/log/alerts`.
        remedy: what a person can do when it hangs.

    Raises:
        ComponentError: the last work of this name still hangs; `work` is not begun.
    """
    worker = workers.setdefault(name, Worker(name))
    if worker.busy:
        raise ComponentError(f"the last {name} still hangs; {remedy}")
    return await worker.run(work)
