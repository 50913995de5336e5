"""The alarms of deadlines that were raised, as the store has them; light, for commands that only show them."""

import sqlite3
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from socmon.reports.told import Kind

NEAR = "0d3e0b52-6f5c-4b0e-9c63-7a4f0e1b8d21"  # rules/socmon/report_deadline.yml, both
MISSED = "b7c1f4a8-2c9d-4f37-8e55-1d6a93e0c4f2"
_ALARMS = "select id, rule_id, grouped, status from alert where rule_id in (?, ?)"


class Alarm(Struct, frozen=True):
    """One moment of one deadline: so many hours before it, or 0 when it falls."""

    finding: str
    kind: Kind
    before_h: int


class Raised(Struct, frozen=True):
    """An alert that was raised for an alarm."""

    id: str
    alarm: Alarm
    due: str
    is_open: bool


def alarms(db: sqlite3.Connection) -> Iterator[Raised]:
    """Every alert that was raised for an alarm."""
    for alert_id, _, grouped, status in db.execute(_ALARMS, (NEAR, MISSED)).fetchall():
        group = msgspec.json.decode(grouped, type=dict[str, str])
        try:
            told = {name: group[name] for name in ("finding", "kind", "before_h")}
            alarm = msgspec.convert(told, Alarm, strict=False)
        except (KeyError, msgspec.ValidationError):
            continue  # a rule file of somebody else's, with the id of ours
        yield Raised(alert_id, alarm, group.get("due", ""), status != "closed")
