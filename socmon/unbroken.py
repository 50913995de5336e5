"""Work that a cancellation does not break off."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def to_its_end(work: Coroutine[Any, Any, None], name: str) -> None:
    """Do `work`, whole. Whoever is cancelled meanwhile is cancelled when it is done.

    Raises:
        CancelledError: after the work, which has ended; what that raised is lost then.
    """
    task = asyncio.create_task(work, name=name)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    await task
