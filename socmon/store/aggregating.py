"""More than a stream's quota: new alerts of one rule and agency go as one message, what is left waits (ADR 100).

In the outbox an aggregate is one released row, which is `within` itself and whose alert is the aggregate's id; each of
its members is a row too, of its own alert and revision, without sequence and bytes, whose state follows.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct, structs

from socmon.errors import ComponentError
from socmon.event import LEVELS, SECOND_US, Alert
from socmon.outgoing import Aggregate, Member, Outcome, Quota, Release
from socmon.store import pausing, placing, voids
from socmon.store.revisions import revision_of
from socmon.store.routing import Routing
from socmon.store.rows import ALERT_FIELDS, alert_of, read_alert

_MOST_FETCHED = 2_000  # each costs some 50 us of the store's thread
_SPAN_US = 600 * SECOND_US
_MINUTE_US = 60 * SECOND_US
_NAMES = UUID("6f0a8a0e-5f0b-5a51-9c1f-3c1d6f0e7b42")  # of aggregates: any, as long as it stays the same

# Along the sequences, of which an epoch has no more within its quota than it allows. A release in the future is of a
# clock that was set back since, and is not counted: the quota waits for no clock.
_USED = """
select count(*) from released join stream using (destination, stream, epoch)
where destination = ?1 and stream = ?2 and seq >= next_seq - ?3 and released_us > ?4 - ?5 and released_us <= ?4
"""
_DUE = f"""
select {ALERT_FIELDS}, exists (
    select 1 from released where destination = ?1 and alert_id = alert.id and state <> 'retried') as known
from json_each(?2) as due join alert on alert.id = due.value order by due.key
"""  # noqa: S608  constants
_MEMBERS = "select id from released where within = ?1 and seq is null"
# What told of them is lost: nobody will ever answer for it.
_ORPHANS = """
select id from released as member where destination = ? and state in ('waiting', 'held') and seq is null
    and not exists (select 1 from released as whole where whole.id = member.within)
"""
_WITHOUT = """
update released set state = 'retried', code = 'parted', settled_us = ?2, retried_us = ?2, retried_by = 'socmon'
where within = ?1 and state in ('waiting', 'held')
"""
_QUEUE_PARTED = """
insert into pending (destination, alert_id, urgency, since_us, error)
select destination, alert_id, urgency, released_us, null from released
where within = ?1 and seq is null and state = 'retried' and code = 'parted'
    and alert_id in (select id from alert)
on conflict (destination, alert_id) do nothing
"""


class _Due(Struct, frozen=True):
    """`known`: an earlier revision was released already."""

    alert: Alert
    known: bool

    @property
    def may_join(self) -> bool:
        # An aggregate tells of no status, and of what is known there only that something is new.
        return not self.known and self.alert.status == "open"


def fetched(quota: Quota | None, limit: int) -> int:
    """How many alerts that are due are looked at, to see whether there are more than the quota lets go."""
    return 2 * limit if quota is None else min(max(2 * limit, quota.per_minute + 1), _MOST_FETCHED)


def parcels(
    db: sqlite3.Connection,
    routing: Routing,
    due: Sequence[str],
    room: dict[str, int],
    limit: int,
    now_us: int,
    *,
    joins: Callable[[Alert], bool] = lambda _alert: True,
) -> list[list[str]]:
    """The alerts that are due, as what may be released now: each list is one message.

    Args:
        room: how much each stream may still release; streams with a quota are added.
        limit: how much a stream may release that is not in it.
        joins: whether an alert may be told of with others at all; one that may not goes by itself, or is held there.
    """
    quota = routing.quota
    if quota is None:
        return [[alert_id] for alert_id in due]
    streams: dict[str, list[_Due]] = {}
    for each in _read(db, routing.destination, due):
        streams.setdefault(routing.stream(each.alert), []).append(each)
    read = {each.alert.id for those in streams.values() for each in those}
    # One that cannot be read goes by itself, which fails there and keeps nobody.
    found = [[alert_id] for alert_id in due if alert_id not in read]
    for stream, those in streams.items():
        if room.get(stream) == 0 or pausing.stops(db, routing.destination, stream):
            continue  # something waits there for its answer
        left = limit if stream in quota.exempt else _left(db, quota, (routing.destination, stream), now_us)
        room[stream] = min(limit, left)
        over = stream not in quota.exempt and len(those) > left
        found += _joined(those, quota.most, joins) if over else [[each.alert.id] for each in those]
    return found


def _read(db: sqlite3.Connection, destination: str, due: Sequence[str]) -> Iterator[_Due]:
    """Those that can be read."""
    for *row, known in db.execute(_DUE, (destination, msgspec.json.encode(due).decode())):
        with suppress(msgspec.MsgspecError):
            yield _Due(alert_of(row), bool(known))


def _left(db: sqlite3.Connection, quota: Quota, stream: tuple[str, str], now_us: int) -> int:
    (used,) = db.execute(_USED, (*stream, quota.per_minute, now_us, _MINUTE_US)).fetchone()
    return max(0, quota.per_minute - int(used))


def _joined(due: Sequence[_Due], most: int, joins: Callable[[Alert], bool]) -> list[list[str]]:
    """What says most first: alerts that go together, then each other one by itself, in their order."""
    alerts = [each.alert for each in due if each.may_join and _may(joins, each.alert)]
    groups = [group for group in together(alerts, most) if len(group) > 1]
    joined = {alert.id for group in groups for alert in group}
    alone = [[each.alert.id] for each in due if each.alert.id not in joined]
    return [[alert.id for alert in group] for group in groups] + alone


def _may(joins: Callable[[Alert], bool], alert: Alert) -> bool:
    try:
        return joins(alert)
    except (ComponentError, sqlite3.Error):
        raise
    except Exception:  # noqa: BLE001  a forwarder's own code: it is asked again when the alert goes alone, and told
        return False


def together(alerts: Sequence[Alert], most: int) -> list[list[Alert]]:
    """Alerts of one rule and agency whose first events lie within 600 s of each other, at most `most` in a list."""
    by_rule: dict[tuple[str, str], list[Alert]] = {}
    for alert in alerts:
        by_rule.setdefault((alert.rule_id, alert.agency), []).append(alert)
    groups: list[list[Alert]] = []
    for those in by_rule.values():
        group: list[Alert] = []
        for alert in sorted(those, key=lambda each: (each.first_us, each.id)):
            if group and (alert.first_us - group[0].first_us > _SPAN_US or len(group) >= most):
                groups.append(group)
                group = []
            group.append(alert)
        groups.append(group)
    return groups


def release(
    db: sqlite3.Connection, routing: Routing, alert_ids: Sequence[str], room: dict[str, int], now_us: int
) -> list[tuple[str, Exception]]:
    """Release alerts of one stream as one message; return those that cannot be rendered, or are held.

    They keep nobody: the others go without them. Should the others have no message either, they go as two, or one by
    one. A ComponentError goes through, as it does of `outbox.release`.
    """
    members = [
        Member(each.alert, revision_of(db, routing.destination, each.alert))
        for each in _read(db, routing.destination, alert_ids)
    ]
    return _release(db, routing, members, room, now_us)


def _release(
    db: sqlite3.Connection, routing: Routing, members: Sequence[Member], room: dict[str, int], now_us: int
) -> list[tuple[str, Exception]]:
    if not members:
        return []
    stream = routing.stream(members[0].alert)
    if room.get(stream, 0) <= 0:
        return []
    epoch, seq = placing.next_place(db, routing.destination, stream, now_us)
    place = Release(routing.destination, stream, epoch, seq, 1, now_us)
    try:
        if len(members) == 1:
            _put_alone(db, routing, members[0], place)
        else:
            _put(db, routing, members, place)
    except (ComponentError, sqlite3.Error):
        raise  # it is not about these alerts: there is no key to sign with, or the disk is full
    except Exception as error:  # noqa: BLE001  a forwarder's own code: one alert must not hold back the rest
        return _release_less(db, routing, members, (place, error), room)
    room[stream] -= 1
    return []


def _release_less(
    db: sqlite3.Connection,
    routing: Routing,
    members: Sequence[Member],
    failed: tuple[Release, Exception],
    room: dict[str, int],
) -> list[tuple[str, Exception]]:
    place, error = failed
    if len(members) == 1:
        return [(members[0].alert.id, error)]
    refused = _sifted(db, routing, members, place)
    left = [each for each in members if each.alert.id not in refused]
    half = len(left) // 2 if not refused else len(left)
    parts = (left[:half], left[half:])
    found = [each for part in parts for each in _release(db, routing, part, room, place.released_us)]
    return [*refused.items(), *found]


def _sifted(
    db: sqlite3.Connection, routing: Routing, members: Sequence[Member], place: Release
) -> Mapping[str, Exception]:
    """Members that have no message of their own either, and why."""
    refused: dict[str, Exception] = {}
    for member in members:
        try:
            routing.render(_whole(db, member), structs.replace(place, revision=member.revision))
        except ComponentError:
            raise
        except Exception as error:  # noqa: BLE001  as above
            refused[member.alert.id] = error
    return refused


def _whole(db: sqlite3.Connection, member: Member) -> Alert:
    """With its evidence, which an aggregate needs not."""
    return read_alert(db, member.alert.id) or member.alert


def _put_alone(db: sqlite3.Connection, routing: Routing, member: Member, place: Release) -> None:
    own = structs.replace(place, revision=member.revision)
    placing.put(db, own, member.alert, routing.render(_whole(db, member), own))


def _put(db: sqlite3.Connection, routing: Routing, members: Sequence[Member], place: Release) -> None:
    aggregate = Aggregate(name_of(members), tuple(members))
    body = routing.aggregate(aggregate, place)
    highest = max((each.alert for each in members), key=lambda alert: LEVELS.index(alert.level))
    number = placing.put(db, place, structs.replace(highest, id=aggregate.id), body)
    db.execute("update released set within = id where id = ?", (number,))
    for member in members:
        placing.put_member(db, structs.replace(place, revision=member.revision), member.alert, number)


def name_of(members: Sequence[Member]) -> str:
    """The id of the aggregate of `members`."""
    return str(uuid5(_NAMES, "\n".join(sorted(f"{each.alert.id} {each.revision}" for each in members))))


def members_of(db: sqlite3.Connection, number: int) -> list[int]:
    """Rows that follow the row `number`; none of one that is no aggregate."""
    return [member for (member,) in db.execute(_MEMBERS, (number,))]


def spread(db: sqlite3.Connection, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Outcomes with those of members behind them: what is said of an aggregate is said of each."""
    return [
        each
        for outcome in outcomes
        for each in (
            outcome,
            *(structs.replace(outcome, id=member, revision=None) for member in members_of(db, outcome.id)),
        )
    ]


def part(db: sqlite3.Connection, number: int, now_us: int) -> None:
    """Let an aggregate that has no answer go out anew without its member `number`, which was taken back just now.

    The caller has given that row a state in which it waits for nothing; what is no member is left alone.
    """
    found = db.execute("select within from released where id = ? and seq is null", (number,)).fetchone()
    if found is None or not db.execute(_WITHOUT, (found[0], now_us)).rowcount:
        return
    voids.queue_for(db, found[0], "retried", "replaced", now_us)
    db.execute(_QUEUE_PARTED, found)


def orphans(db: sqlite3.Connection, destination: str) -> list[int]:
    """Members without an answer whose aggregate is gone, since the outbox was damaged."""
    return [number for (number,) in db.execute(_ORPHANS, (destination,))]
