"""Which open alert a match joins, and what a new one is called (docs/semantics.md, "Alert identity and joining")."""

import uuid
from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from socmon.event import SECOND_US, Event
from socmon.sigma.windows import Group, OpenAlert

MAX_ALERTS = 300  # that a group's matches may join: in a day, five minutes apart, there are 288
_MAX_ENTITIES = 20  # values of one kind that an alert lists; its evidence holds the rest
_MAX_ENTITY_CHARS = 1_000  # a longer value is not listed; cut, it would pass for another one


class Limits(NamedTuple):
    """The bounds of correlation; what each does: docs/semantics.md, "Correlation".

    Attributes:
        suppress_us: an event this close to an open alert's span joins it.
        lateness_us: a match further behind its own source is counted, not correlated.
        max_alert_us: an alert spans this much at most.
        max_skew_us: how far the slowest source holds back the forgetting of the others' events.
        keep_events: first and last sequences kept per alert; None keeps all (replay).
        ahead_us: how far an event time may be ahead of its receipt; None where the receipt is not known (replay).
    """

    suppress_us: int = 300 * SECOND_US
    lateness_us: int = 300 * SECOND_US
    max_alert_us: int = 24 * 3600 * SECOND_US
    max_skew_us: int = 24 * 3600 * SECOND_US
    max_groups: int = 200_000
    max_members: int = 1_000_000
    keep_events: int | None = 20
    ahead_us: int | None = 600 * SECOND_US


class Row(NamedTuple):
    """An event that joins an alert; `weight` counts its repeats."""

    seq: int
    time_us: int
    weight: int


def alert_id(incarnation: uuid.UUID, rule_id: str, key: Sequence[str], opened_seq: int) -> str:
    """UUIDv5 (RFC 9562, section 5.5) of what makes an alert itself; the same in every run over one journal."""
    name = msgspec.json.encode([rule_id, list(key), opened_seq])
    return str(uuid.uuid5(incarnation, name.decode()))


def find(group: Group, time_us: int, near: Collection[int], limits: Limits) -> OpenAlert | None:
    """The alert that a match at `time_us` joins, or None if it opens one.

    Args:
        near: `opened_seq` of alerts that the match's own window is in already: while a condition stays true, its events
            join however long the timespan is. Else the oldest alert whose span ± `suppress` holds the time.
    """
    beside = None
    for alert in group.alerts:
        if abs(time_us - alert.opened_us) <= limits.max_alert_us:
            if alert.opened_seq in near:
                return alert
            if beside is None and _is_beside(alert, time_us, limits):
                beside = alert
    return beside


def _is_beside(alert: OpenAlert, time_us: int, limits: Limits) -> bool:
    return alert.first_us - limits.suppress_us <= time_us <= alert.last_us + limits.suppress_us


def is_approximate(
    group: Group, alert: OpenAlert, time_us: int, near: Collection[int], lost_us: int, limits: Limits
) -> bool:
    """Whether a match at `time_us` may make of `alert` what it would not without bounds.

    Args:
        near: as in `find`.
        lost_us: the newest event time that the match's window may lack, less how far back that reaches.
    """
    # Where there is no other alert to join, what is missing matters only in the window.
    other_us = limits.suppress_us if not alert.revision or len(group.alerts) > 1 else 0
    if lost_us >= time_us - other_us:
        return True
    # One that is approximate may have taken in this match, if it had opened at another time.
    for known in group.alerts:
        if known.approximate and (known.opened_seq in near or _is_beside(known, time_us, limits)):
            return True
    return False


def join(alert: OpenAlert, rows: Sequence[Row], event: Event, keep: int | None) -> None:
    """Add `rows`, brought by the match of `event`, to `alert`."""
    alert.revision += 1
    for _, time_us, weight in rows:
        alert.count += weight
        alert.first_us = min(alert.first_us, time_us)
        alert.last_us = max(alert.last_us, time_us)
    if keep is None:
        alert.first += [row.seq for row in rows]
    else:
        kept = sorted([*alert.first, *alert.last, *(row.seq for row in rows)])
        alert.first, alert.last = kept[:keep], kept[keep:][-keep:]
    for kind, values in event.entities.items():
        known = alert.entities.setdefault(kind, [])
        for value in values:
            if value not in known and len(known) < _MAX_ENTITIES and len(value) <= _MAX_ENTITY_CHARS:
                known.append(value)
