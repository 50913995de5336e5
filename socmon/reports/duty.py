"""When an incident must have been told, and whether it was (Decree 331/2026, article 31.2.d, as settings)."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from socmon.event import SECOND_US, Alert
from socmon.feed.vocabulary import TEST_TAG
from socmon.reports.told import Part, Telling, parts_of
from socmon.sections import ReportSettings
from socmon.store.triage import Entry

Kind = Literal["first", "detailed"]
Known = Literal["detected", "received", "first_event"]
State = Literal["met", "late", "open", "missed", "none", "unknown"]
Because = Literal["level", "test", "not_an_incident", "unknown", ""]

_HOUR_US = 3600 * SECOND_US
_NO_INCIDENT = frozenset({"fp", "benign", "duplicate"})
_T0 = "select opened_us, received_us, first_us from alert where id = ?"
# A row that the centre put into quarantine may count as answered for; it has told nobody anything.
_ACCEPTED = """
select destination, min(settled_us) from released
where alert_id = ? and state = 'acknowledged' and coalesce(code, '') in ('', 'accepted', 'stored', 'duplicate', 'stale')
group by destination
"""


class Told(Struct, frozen=True):
    """That the incident was told.

    Attributes:
        way: feed: a centre has accepted the alert; hand: somebody wrote a comment that says so.
        who: the destination, or the user that wrote the comment.
        text: what the comment says; "" of the feed.
    """

    time_us: int
    way: Literal["feed", "hand"]
    who: str
    text: str = ""


class Deadline(Struct, frozen=True):
    """One of the two: told in time (met), or after it (late), or not told yet (open, missed); none: nothing is due.

    It is unknown where only the settings could say whether who accepted it is a centre, or whether anything is due.
    """

    kind: Kind
    hours: int
    due_us: int
    state: State
    told: Told | None


class Duty(Struct, frozen=True):
    """What must be told of an alert by when.

    Attributes:
        applies: whether it must be told at all, by the settings; `because` says why not.
        t0_us: when the clocks started.
        t0_known: detected: when the alert was stored first; of an alert that older versions stored, when its event was
            received, or else when it happened.
    """

    applies: bool
    because: Because
    levels: tuple[str, ...]
    t0_us: int
    t0_known: Known
    deadlines: tuple[Deadline, ...]


class Facts(Struct, frozen=True):
    """What the store holds of it; `accepted_us` is by destination, the first time."""

    t0_us: int
    t0_known: Known
    accepted_us: Mapping[str, int]


def facts(db: sqlite3.Connection, alert_id: str) -> Facts:
    """Read them; the alert must be there."""
    moments: tuple[int | None, ...] = db.execute(_T0, (alert_id,)).fetchone()
    names: tuple[Known, ...] = ("detected", "received", "first_event")
    t0_us, t0_known = next((us, name) for us, name in zip(moments, names, strict=True) if us is not None)
    return Facts(t0_us, t0_known, dict(db.execute(_ACCEPTED, (alert_id,)).fetchall()))


def duty(
    alert: Alert,
    found: Facts,
    entries: Sequence[Entry],
    settings: ReportSettings,
    *,
    centres: Collection[str] | None,
    now_us: int,
) -> Duty:
    """The alert's duty as of `now_us`.

    The first notice is told by the feed as soon as a centre has accepted the alert, by whatever revision. The detailed
    report holds what no message of the feed does, so only a person can say that it was told.

    Args:
        centres: names of the destinations that are a national centre; None where the settings cannot be read, and
            `settings` are not those of this house.
    """
    because = _because(alert, settings)
    if because == "level" and centres is None:
        because = "unknown"
    parts = parts_of(entries)
    by_feed = [Told(us, "feed", name) for name, us in found.accepted_us.items() if name in (centres or ())]
    first = _earliest([*by_feed, *_by_hand(parts, "first"), *_by_hand(parts, "detailed")])
    detailed = _earliest(_by_hand(parts, "detailed"))
    wanted: tuple[tuple[Kind, int, Told | None], ...] = (
        ("first", settings.first_h, first),
        ("detailed", settings.detailed_h, detailed),
    )
    deadlines = []
    for kind, hours, told in wanted:
        due_us = found.t0_us + hours * _HOUR_US
        state: State = "none" if because else _state(due_us, told, now_us)
        by_a_centre = kind == "first" and told is None and centres is None and found.accepted_us
        if because == "unknown" or (by_a_centre and not because):
            state = "unknown"
        deadlines.append(Deadline(kind, hours, due_us, state, told))
    return Duty(
        applies=not because,
        because=because,
        levels=tuple(settings.levels),
        t0_us=found.t0_us,
        t0_known=found.t0_known,
        deadlines=tuple(deadlines),
    )


def _because(alert: Alert, settings: ReportSettings) -> Because:
    """Why nothing is due by `settings`; "" if something is."""
    if TEST_TAG in alert.tags:
        return "test"
    if alert.status == "closed" and alert.reason in _NO_INCIDENT:
        return "not_an_incident"
    return "" if alert.level in settings.levels else "level"


def _by_hand(parts: Mapping[Part, Sequence[Telling]], kind: Kind) -> list[Told]:
    return [Told(each.time_us, "hand", each.actor, each.text) for each in parts.get(kind, ())]


def _earliest(told: Sequence[Told]) -> Told | None:
    return min(told, key=lambda each: each.time_us, default=None)


def _state(due_us: int, told: Told | None, now_us: int) -> State:
    if told is None:
        return "open" if now_us <= due_us else "missed"
    return "met" if told.time_us <= due_us else "late"
