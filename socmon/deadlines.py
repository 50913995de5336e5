"""Deadlines of reports: one that is near or has fallen raises an alert of socmon's own, which ends when it is told.

What is written goes the way of every record, and rules/socmon/report_deadline.yml makes the alert. Which alarms were
raised is read back from the store, so a restart neither forgets one nor raises it twice.
"""

import asyncio
import time
from collections.abc import Collection

from socmon import log, metrics
from socmon.correlating import Correlating
from socmon.errors import JournalError, StoreError
from socmon.event import OWN
from socmon.intake import Intake
from socmon.journal import Journal
from socmon.own import Own
from socmon.reports.outstanding import Due, Found, Outstanding, Over, fields_of
from socmon.sections import ReportSettings
from socmon.store import Store
from socmon.store.triage import Change

SERVICE = "report"
LOOK_S = 5.0
_WRITE_S = 5.0  # for one record; then it is tried again at the next look

_log = log.get("deadlines")


class Deadlines:
    """Looks for reports that must be made and are not, by the wall clock: a deadline is a time of day.

    Args:
        centres: names of the destinations that are a national centre; what one has accepted is told.
    """

    def __init__(
        self,
        settings: ReportSettings,
        centres: Collection[str],
        *,
        intake: Intake,
        journal: Journal,
        correlating: Correlating,
        store: Store,
    ) -> None:
        self._own = Own(intake, journal)
        self._journal = journal
        self._correlating = correlating
        self._store = store
        self._outstanding = Outstanding(settings, centres)
        self._unsettled = journal.last_number  # nothing is said until the store has the alarms of up to here
        self._told_trouble = False

    async def run(self) -> None:
        """Look every `LOOK_S`, until cancelled."""
        while True:
            more = await self.look()
            await asyncio.sleep(0 if more else LOOK_S)

    async def look(self) -> bool:
        """Raise the alarms whose time has come and end those that are over; whether to look again at once."""
        if self._correlating.committed < self._unsettled:
            return False
        now_us = time.time_ns() // 1000
        try:
            found = await self._store.look(lambda db: self._outstanding.look(db, now_us))
            if not found.more:
                await self._act(found)
            self._told_trouble = False
        except (JournalError, StoreError, TimeoutError) as error:
            self._complain(error)
            self._outstanding.forget()
            return False
        return found.more

    async def _act(self, found: Found) -> None:
        metrics.REPORT_DEADLINES["near"].set(found.near)
        metrics.REPORT_DEADLINES["missed"].set(found.missed)
        for due in found.due:
            await self._write(due)
        for over in found.over:
            await self._close(over)

    async def _write(self, due: Due) -> None:
        fields = fields_of(due)
        self._unsettled = self._journal.last_number + 1  # it may be written though we are told otherwise
        async with asyncio.timeout(_WRITE_S):
            message = _MESSAGES[fields["state"]].format(**fields)
            await self._own.write(SERVICE, message, fields)
        self._unsettled = self._journal.last_number
        told = {name: fields[name] for name in ("finding", "kind", "due", "before_h")}
        if due.alarm.before_h:
            _log.warning("a report is due soon and not made", **told)
        else:
            _log.error("a report was not made in time", **told)

    async def _close(self, over: Over) -> None:
        change = Change("close", reason="tp", text=_ENDINGS[over.why])
        await self._store.triage([over.id], change, actor=OWN, now_us=time.time_ns() // 1000)

    def _complain(self, error: Exception) -> None:
        if not self._told_trouble:
            self._told_trouble = True
            reason = str(error) or f"the journal took nothing for {_WRITE_S:g} s"
            _log.warning("deadlines of reports cannot be looked after now, will try again", error=reason)


_MESSAGES = {
    "near": "the {kind} report of {finding} is due at {due}, in less than {before_h} h, and not made",
    "missed": "the {kind} report of {finding} was due at {due}, and is not made",
}
# In both languages, as a rule's description is.
_ENDINGS = {
    "told": "The report was made. Đã báo cáo.",
    "nothing": "Nothing is due any more: it is no incident. Không còn phải báo cáo: không phải sự cố.",
    "gone": "The incident is not in the store any more. Sự cố không còn trong kho.",
    "later": "A later alarm took its place. Đã có báo động sau thay thế.",
}
