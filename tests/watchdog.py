"""Ends what takes no end: a guard for code that reads hostile bytes, far above what it needs on any machine."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PATIENCE_S = 10.0  # of the processor's time; a reader needs milliseconds, a quadratic one a minute


@contextmanager
def watchdog(what: str, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Fail with `what` when the body has used `patience_s` of the processor; in the main thread only."""

    def bark(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"{what} does not end")

    before = signal.signal(signal.SIGVTALRM, bark)
    signal.setitimer(signal.ITIMER_VIRTUAL, patience_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
