"""Keeps components running: a failure is logged, counted, and followed by a restart after a growing, jittered wait."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from structlog.typing import FilteringBoundLogger

from socmon import metrics
from socmon.errors import ComponentError, SocmonError

_WELL_S = 5.0  # a run that lasts so long is no failure any more


class Backoff:
    """Waits of `first_s`, doubled up to `limit_s`, each cut by up to half so that not all clients come back at once."""

    def __init__(self, first_s: float = 0.5, limit_s: float = 60.0) -> None:
        self.first_s = first_s
        self.limit_s = limit_s
        self._next_s = first_s
        self._hurried = asyncio.Event()

    def reset(self) -> None:
        """Begin again: what was tried has worked."""
        self._next_s = self.first_s

    def take(self, at_least_s: float = 0.0) -> float:
        """Seconds to wait now; never less than `at_least_s`, with the jitter on top of it."""
        wait_s, self._next_s = self._next_s, min(self._next_s * 2, self.limit_s)
        jittered_s = wait_s * random.uniform(0.5, 1)  # noqa: S311  jitter needs no secrecy
        return jittered_s if at_least_s <= 0 else at_least_s + jittered_s

    async def rest(self, wait_s: float, at_least_s: float = 0.0) -> None:
        """Wait; `hurry` cuts it short, but not below `at_least_s`, which the other side asked for."""
        self._hurried.clear()
        await asyncio.sleep(at_least_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s - at_least_s):
                await self._hurried.wait()

    def hurry(self) -> None:
        """A person says that it is worth a try now."""
        self.reset()
        self._hurried.set()


def _is_wanted() -> bool:
    """Whether somebody has cancelled this task; a library may raise CancelledError when a task of its own ends."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def supervise(
    name: str,
    run: Callable[[], Awaitable[None]],
    *,
    backoff: Backoff,
    log: FilteringBoundLogger,
    told: Callable[[str], None] = lambda _: None,
) -> None:
    """Run `run` again each time it fails, until it returns, is cancelled, or raises ComponentError(retry=False).

    A run that lasted longer than the longest wait starts the waits over; `run` itself may reset `backoff` when it has
    made progress. `told` is called with the reason of each failure, and with "" when a run after it goes well. This is
    the one place where any exception is caught: one component never takes the daemon down.
    """
    loop = asyncio.get_running_loop()
    up, restarts = metrics.COMPONENT_UP[name], metrics.COMPONENT_RESTARTS[name]
    while True:
        began_s = loop.time()
        at_least_s = 0.0
        up.set(1)
        well = loop.call_later(_WELL_S, told, "")
        try:
            await run()
            log.info("component ended")
            return
        except ComponentError as error:
            if not error.retry:
                told("")  # whoever gave up is told of otherwise
                log.error("component gave up, a person is needed", error=str(error))  # noqa: TRY400  no traceback: the message says it
                return
            at_least_s = error.wait_s
            reason = str(error)
        except SocmonError as error:
            reason = str(error)
        except asyncio.CancelledError:
            if _is_wanted():
                raise
            log.exception("component crashed, this is a bug")
            reason = "cancelled from inside"
        except Exception as error:
            log.exception("component crashed, this is a bug")
            reason = repr(error)
        finally:
            well.cancel()
            up.set(0)
        if loop.time() - began_s > backoff.limit_s:
            backoff.reset()
        wait_s = backoff.take(at_least_s)
        restarts.inc()
        told(reason)
        log.warning("component failed, will restart", error=reason, wait_s=round(wait_s, 1))
        await backoff.rest(wait_s, at_least_s)
