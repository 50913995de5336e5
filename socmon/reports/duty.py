"""When an incident must have been told, and whether it was (Decree 331/2026, article 31.2.d, as settings)."""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, get_args

from msgspec import Struct

from socmon.event import SECOND_US, Alert, ReportDuty
from socmon.feed.vocabulary import TEST_TAG, rsit
from socmon.reports.told import Kind, Part, Telling, parts_of
from socmon.sections import ReportSettings, SeriousSettings
from socmon.store.triage import Entry

Known = Literal["received", "detected", "first_event"]
State = Literal["met", "late", "open", "missed", "none", "unknown"]
Because = Literal["level", "test", "own", "not_an_incident", "unknown", ""]

KINDS: tuple[Kind, ...] = get_args(Kind)
CENTRE = "ncsc"  # the kind of destination that is one
# The tag of the rules behind the alarms of deadlines: what they alert of has a duty of its own.
OWN_TAG = "socmon.report"

_MINUTE_US = 60 * SECOND_US
_HOUR_US = 3600 * SECOND_US
_MAX_REASON = 200
_NO_INCIDENT = frozenset({"fp", "benign", "duplicate"})
_T0 = "select received_us, opened_us, first_us from alert where id = ?"
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
    """One of them: told in time (met), or after it (late), or not told yet (open, missed); none: nothing is due.

    It is unknown where only the settings could say whether who accepted it is a centre, or whether anything is due.

    Attributes:
        hours: from T0; 0 is at once.
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
        t0_known: received: when the event that opened the alert was; of an alert that older versions stored, when that
            was done (detected), or else when its first event happened.
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
    names: tuple[Known, ...] = ("received", "detected", "first_event")
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
    told = _told(found, entries, centres or ())
    deadlines = []
    for kind, hours, due_us in _dues(alert, found.t0_us, settings):
        state: State = "none" if because else _state(due_us, told[kind], now_us)
        by_a_centre = kind == "first" and told[kind] is None and centres is None and found.accepted_us
        if because == "unknown" or (by_a_centre and not because):
            state = "unknown"
        deadlines.append(Deadline(kind, hours, due_us, state, told[kind]))
    return Duty(
        applies=not because,
        because=because,
        levels=tuple(settings.levels),
        t0_us=found.t0_us,
        t0_known=found.t0_known,
        deadlines=tuple(deadlines),
    )


def next_report(alert: Alert, settings: ReportSettings) -> ReportDuty:
    """What a message of the feed says is due next: a function of the alert's revision, whoever was told what.

    The notice of what is new, the detailed report of what somebody sees to, the final one of what is closed.
    """
    if because := _because(alert, settings):
        return ReportDuty("none", because)
    kind: Kind = "first"
    if alert.status != "open":
        kind = "final" if alert.status == "closed" else "detailed"
    t0_us = alert.first_us if alert.t0_us is None else alert.t0_us
    due_us = next((us for each, _, us in _dues(alert, t0_us, settings) if each == kind), None)
    return ReportDuty(kind, _reason(alert, settings), due_us)


def _dues(alert: Alert, t0_us: int, settings: ReportSettings) -> Iterator[tuple[Kind, int, int]]:
    """Kind, hours from T0, and when that is."""
    if _at_once(alert, settings):
        yield "first", 0, t0_us + settings.at_once_minutes * _MINUTE_US
    else:
        yield "first", settings.first_h, t0_us + settings.first_h * _HOUR_US
    yield "detailed", settings.detailed_h, t0_us + settings.detailed_h * _HOUR_US
    if settings.final_h is not None:
        yield "final", settings.final_h, t0_us + settings.final_h * _HOUR_US


def _told(found: Facts, entries: Sequence[Entry], centres: Collection[str]) -> Mapping[Kind, Told | None]:
    """By kind, the first that told it; a later kind of report tells what the ones before it do."""
    parts = parts_of(entries)
    by_hand = {kind: _by_hand(parts, kind) for kind in KINDS}
    by_feed = [Told(us, "feed", name) for name, us in found.accepted_us.items() if name in centres]
    detailed = by_hand["detailed"] + by_hand["final"]
    return {
        "first": _earliest(by_feed + by_hand["first"] + detailed),
        "detailed": _earliest(detailed),
        "final": _earliest(by_hand["final"]),
    }


def _because(alert: Alert, settings: ReportSettings) -> Because:
    """Why nothing is due by `settings`; "" if something is."""
    if TEST_TAG in alert.tags:
        return "test"
    if OWN_TAG in alert.tags:
        return "own"
    if alert.status == "closed" and alert.reason in _NO_INCIDENT:
        return "not_an_incident"
    return "" if _reason(alert, settings) else "level"


def _reason(alert: Alert, settings: ReportSettings) -> str:
    """Which setting makes it serious, such as `level critical`; "" if none does."""
    found = [f"level {alert.level}"] if alert.level in settings.levels else []
    found = [each for each in (_fit(alert, block) for block in settings.also) if each] + found
    return "; ".join(dict.fromkeys(found))[:_MAX_REASON]


def _at_once(alert: Alert, settings: ReportSettings) -> bool:
    return any(block.at_once and _fit(alert, block) for block in settings.also)


def _fit(alert: Alert, block: SeriousSettings) -> str:
    """All of the block that fits; "" if anything of it does not."""
    whole = rsit(alert.tags)
    told = []
    for name, wanted, found in (
        ("level", block.levels, [alert.level]),
        ("tag", block.tags, alert.tags),
        ("rsit", block.rsit, [whole, whole.partition("/")[0]]),
        ("system level", block.system_levels, [alert.system_level]),
    ):
        fits = [each for each in wanted if each in found]
        if wanted and not fits:
            return ""
        told += [f"{name} {each}" for each in fits]
    return ", ".join([*told, *(["at once"] if block.at_once else [])])


def _by_hand(parts: Mapping[Part, Sequence[Telling]], kind: Kind) -> list[Told]:
    return [Told(each.time_us, "hand", each.actor, each.text) for each in parts.get(kind, ())]


def _earliest(told: Sequence[Told]) -> Told | None:
    return min(told, key=lambda each: each.time_us, default=None)


def _state(due_us: int, told: Told | None, now_us: int) -> State:
    if told is None:
        return "open" if now_us <= due_us else "missed"
    return "met" if told.time_us <= due_us else "late"
