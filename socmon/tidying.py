"""Keeps the journal within its bounds: old segments are compressed, and those go that the settings keep no longer."""

import asyncio
import time

from socmon import log
from socmon.correlating import Correlating
from socmon.errors import JournalError
from socmon.event import SECOND_US
from socmon.journal import Journal
from socmon.sections import JournalSettings

_TIDY_S = 10.0  # between two looks at the journal's size
_DAY_US = 86_400 * SECOND_US

_log = log.get("daemon")


async def tidy(journal: Journal, correlating: Correlating, settings: JournalSettings) -> None:
    """Compress and trim the journal, never past the last durable checkpoint; until cancelled."""
    while True:
        await asyncio.sleep(_TIDY_S)
        checkpoint = correlating.committed
        try:
            await asyncio.to_thread(
                journal.trim,
                checkpoint=checkpoint,
                keep_bytes=settings.keep_bytes,
                max_age_us=settings.keep_days * _DAY_US,
                now_us=time.time_ns() // 1000,
            )
            await asyncio.to_thread(journal.compress, checkpoint=checkpoint)
        except JournalError as error:
            _log.warning("the journal could not be tidied, will try again", error=str(error))
