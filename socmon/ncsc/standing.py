"""How each organisation stands at the centre: what it sent, what is missing, when it was heard, who it is."""

import asyncio
import time
from typing import Any

import msgspec

from socmon.event import rfc3339
from socmon.ncsc.gate import Gate
from socmon.ncsc.inbox import Inbox
from socmon.ncsc.liveness import Heard, Liveness
from socmon.ncsc.reading import Reading, Row
from socmon.ncsc.roll import Period, Roll

# What an organisation has that never sent anything.
_NOTHING: Row = {
    "events_received": 0,
    "findings": 0,
    "rows_stored": 0,
    "rows_stored_twice": 0,
    "duplicates_answered": 0,
    "stale": 0,
    "quarantined": 0,
    "voided": {},
    "lost": 0,
    "unknown": 0,
    "unknown_members": {},
    "committed": {},
}


class Standings:
    """Puts together what inbox, register and heartbeats know."""

    def __init__(self, inbox: Inbox, gate: Gate, liveness: Liveness) -> None:
        self._inbox = inbox
        self._gate = gate
        self._liveness = liveness
        self.reading = Reading(inbox.path)

    async def all(self) -> dict[str, Row]:
        """By organisation, each that ever was enrolled.

        Raises:
            StoreError: the register cannot be read.
            sqlite3.Error: the inbox cannot be read.
        """
        roll = await self._gate.look()
        counts = await self._inbox.stats()
        gaps = await asyncio.to_thread(self.reading.gaps)
        now_us = time.time_ns() // 1000
        return {
            org_id: {**_NOTHING, **counts.get(org_id, {})}
            | {"gaps": [_without_org(gap) for gap in gaps if gap["org"] == org_id]}
            | self._heard(org_id, enrolled=roll.at(org_id, now_us) is not None)
            | _entry(roll, org_id, periods, now_us)
            for org_id, periods in roll.known.items()
        }

    async def audit(self, limit: int) -> list[Row]:
        """The newest entries of the register's audit."""
        found: list[Row] = []
        await self._gate.change(lambda register: found.extend(register.audit(limit)))
        return found

    def _heard(self, org_id: str, *, enrolled: bool) -> Row:
        heard = self._liveness.last.get(org_id)
        return {"silent": enrolled and self._liveness.silent(org_id)} | heard_row(heard)


def heard_row(heard: Heard | None) -> Row:
    """A heartbeat as programs are shown it; all of it None where none came yet."""
    if heard is None:
        nothing = ("last_heartbeat", "skew_s", "clock_off", "certificate_expires", "heartbeat")
        return dict.fromkeys(nothing)
    return {
        "last_heartbeat": rfc3339(heard.received_us),
        "skew_s": heard.skew_s,
        "clock_off": heard.clock_off,
        "certificate_expires": heard.certificate_expires or None,
        "heartbeat": msgspec.to_builtins(heard.beat),
    }


def missing(gaps: list[Row]) -> int:
    """How many sequences of the epochs that senders are in are missing."""
    return sum(gap["last"] - gap["first"] + 1 for gap in gaps if gap["newest"])


def _entry(roll: Roll, org_id: str, periods: list[Period], now_us: int) -> dict[str, Any]:
    entry = roll.at(org_id, now_us)
    last = entry or periods[-1]
    return {
        "name": last.name,
        "enrolled": entry is not None,
        "enrolled_from": rfc3339(last.from_us),
        "enrolled_to": None if last.to_us is None else rfc3339(last.to_us),
        "org_path": roll.path(org_id, now_us),
    }


def _without_org(gap: Row) -> Row:
    return {name: value for name, value in gap.items() if name != "org"}
