"""Which reports are due and not made, out of the store: the alarms that are to be raised, and those that are over."""

import sqlite3
from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct

from socmon.event import SECOND_US, Alert, rfc3339
from socmon.reports.alarms import Alarm, Raised, alarms
from socmon.reports.duty import Deadline, duty, facts, next_report
from socmon.reports.told import Kind
from socmon.sections import ReportSettings
from socmon.store.rows import ALERT_FIELDS, alert_of
from socmon.store.triage import history

_HOUR_US = 3600 * SECOND_US
# What fell before that is no news: it stands in the report, and raises no alarm after an upgrade or a long outage.
_OLD_US = 7 * 24 * _HOUR_US
_STEP = 500  # changes of alerts in one look: the store's thread does nothing else meanwhile
_FOREVER_US = 1 << 62

# By the number of the alert's last change, so that one that changes is looked at again.
_NEXT = "select max(number), count(*) from (select number from change where number > ? order by number limit ?)"
_CHANGED = f"""
select {ALERT_FIELDS} from change as changed cross join alert on alert.id = changed.alert_id
where changed.number > :after and changed.number <= :until
  and coalesce(received_us, opened_us, first_us) > :since order by changed.number
"""  # noqa: S608  constants
_ONE = f"select {ALERT_FIELDS} from alert where id = ?"  # noqa: S608  constants


class Due(Struct, frozen=True):
    """An alarm that is to be raised."""

    alarm: Alarm
    title: str
    due_us: int


class Over(Struct, frozen=True):
    """An alert of an alarm that is over; `why`: told, nothing due any more, or a later alarm took its place."""

    id: str
    why: str


class Found(Struct, frozen=True):
    """What a look found; `more`: not all changes were looked at yet."""

    due: list[Due]
    over: list[Over]
    near: int
    missed: int
    more: bool


class Outstanding:
    """Follows the alerts that have a duty, and says what is due of them. What was raised is read from the store.

    Args:
        centres: names of the destinations that are a national centre.
    """

    def __init__(self, settings: ReportSettings, centres: Collection[str]) -> None:
        self._settings = settings
        self._centres = centres
        longest_h = max(settings.first_h, settings.detailed_h, settings.final_h or 0)
        self._window_us = longest_h * _HOUR_US + _OLD_US
        self._after = 0
        self._next_us: dict[str, int] = {}  # finding that has a duty → when one of its alarms may be due

    def look(self, db: sqlite3.Connection, now_us: int) -> Found:
        """What is to be done as of `now_us`."""
        if self._follow(db, now_us):
            return Found([], [], 0, 0, more=True)  # something later may say otherwise
        raised = [*alarms(db)]
        latest: dict[tuple[str, Kind], int] = {}
        for each in raised:
            about = (each.alarm.finding, each.alarm.kind)
            latest[about] = min(latest.get(about, each.alarm.before_h), each.alarm.before_h)
        due = [each for finding in self._to_look_at(now_us) for each in self._due(db, finding, latest, now_us)]
        over: list[Over] = []
        still: list[Raised] = []
        for each in raised:
            if each.is_open:
                why = self._why_over(db, each, latest, now_us)
                over += [Over(each.id, why)] if why else []
                still += [] if why else [each]
        missed = sum(not each.alarm.before_h for each in still)
        return Found(due, over, len(still) - missed, missed, more=False)

    def forget(self) -> None:
        """Look at all of them again: what was found could not be done."""
        self._next_us = dict.fromkeys(self._next_us, 0)

    def _follow(self, db: sqlite3.Connection, now_us: int) -> bool:
        """Take note of the alerts that changed; whether there may be more."""
        until, count = db.execute(_NEXT, (self._after, _STEP)).fetchone()
        if until is None:
            return False
        values = {"after": self._after, "until": until, "since": now_us - self._window_us}
        for row in db.execute(_CHANGED, values).fetchall():
            alert = alert_of(row)
            self._next_us.pop(alert.id, None)
            if next_report(alert, self._settings).kind != "none":
                self._next_us[alert.id] = 0
        self._after = until
        return bool(count == _STEP)

    def _to_look_at(self, now_us: int) -> list[str]:
        return [finding for finding, next_us in self._next_us.items() if next_us <= now_us]

    def _due(
        self, db: sqlite3.Connection, finding: str, latest: Mapping[tuple[str, Kind], int], now_us: int
    ) -> Iterator[Due]:
        """The alarms to raise for a finding, at most one a deadline: the last whose time has come."""
        next_us = _FOREVER_US
        alert = _read(db, finding)
        for each in self._untold(db, alert, now_us) if alert else ():
            moments = self._moments(each, alert.t0_us if alert else None)
            come = [before_h for before_h, at_us in moments if at_us <= now_us]
            next_us = min([next_us, *(at_us for _, at_us in moments if at_us > now_us)])
            known = latest.get((finding, each.kind))
            if come and now_us - each.due_us < _OLD_US and (known is None or min(come) < known):
                title = alert.title if alert else ""
                yield Due(Alarm(finding, each.kind, min(come)), title, each.due_us)
        self._next_us[finding] = next_us
        if alert is None:
            del self._next_us[finding]

    def _untold(self, db: sqlite3.Connection, alert: Alert, now_us: int) -> list[Deadline]:
        found, entries = facts(db, alert.id), history(db, alert.id)
        whole = duty(alert, found, entries, self._settings, centres=self._centres, now_us=now_us)
        return [each for each in whole.deadlines if each.state in {"open", "missed"}]

    def _moments(self, each: Deadline, t0_us: int | None) -> list[tuple[int, int]]:
        """(hours before, when) of each alarm of a deadline; none is before the clocks have started."""
        before = [(hours, each.due_us - hours * _HOUR_US) for hours in self._settings.alarm_h]
        return [(hours, at_us) for hours, at_us in before if t0_us is None or at_us > t0_us] + [(0, each.due_us + 1)]

    def _why_over(
        self, db: sqlite3.Connection, raised: Raised, latest: Mapping[tuple[str, Kind], int], now_us: int
    ) -> str:
        alarm = raised.alarm
        if latest[alarm.finding, alarm.kind] < alarm.before_h:
            return "later"
        alert = _read(db, alarm.finding)
        if alert is None:
            return "gone"
        whole = duty(
            alert, facts(db, alert.id), history(db, alert.id), self._settings, centres=self._centres, now_us=now_us
        )
        if not whole.applies:
            return "nothing"
        return "told" if any(each.kind == alarm.kind and each.told for each in whole.deadlines) else ""


def _read(db: sqlite3.Connection, alert_id: str) -> Alert | None:
    row = db.execute(_ONE, (alert_id,)).fetchone()
    return None if row is None else alert_of(row)


def fields_of(due: Due) -> dict[str, str]:
    """What socmon's own record of an alarm says, and rules/socmon/report_deadline.yml reads."""
    return {
        "finding": due.alarm.finding,
        "kind": due.alarm.kind,
        "before_h": str(due.alarm.before_h),
        "due": rfc3339(due.due_us),
        "state": "near" if due.alarm.before_h else "missed",
        "title": due.title,
    }
