"""The recount: every number taken anew from logs, journal, store and centre, never from a counter."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial

from msgspec import Struct

from socmon.demo import capture
from socmon.demo.centre import Held
from socmon.demo.sample import Stream, number_of
from socmon.demo.scene import DESTINATION, Scene
from socmon.event import Alert
from socmon.journal import Journal
from socmon.ledger import Account
from socmon.matching import Matcher
from socmon.resources import shipped
from socmon.sigma import load_rules
from socmon.store import Reading, read

LOSSLESS = frozenset({"file", "mqtt", "capture"})  # transports
_RELEASED = "select count(distinct alert_id) from released where destination = ? and within is not id"


class Sent(Struct, frozen=True):
    """What was written to one stream.

    Attributes:
        count: messages, numbered from 1.
        resumed: over TCP, the first message of each connection after the first.
        killed: for each kill of the daemon, the last message that was sent before it, or a few behind that.
    """

    count: int
    resumed: list[int] = []
    killed: list[int] = []


class Counts(Struct, frozen=True):
    """One number a stage, and the two verdicts.

    Attributes:
        sent: messages written to logs and sent over TCP, UDP and MQTT, and events of captures.
        lost_in_kill: of these, neither in the journal nor dropped; only what comes over the network can be lost, when
            the daemon is killed with it in its hands.
        received: records in the journal, and those dropped before it.
        evaluated, unparsed: what the matcher makes of the journal.
        matches: events and rules that match, in pairs.
        delivered: alerts released to the centre at least once.
        acknowledged: alerts whose last revision the centre has acknowledged.
        duplicates_at_centre: rows that the centre stored twice.
        balance_ok: all that was sent is received, once and in order, or was lost in one run for each kill; and the
            daemon's own ledger says the same.
        sets_equal: the centre holds the province's alerts, each at its last revision, and no other.
    """

    sent: int
    lost_in_kill: int
    received: int
    evaluated: int
    unparsed: int
    dropped: int
    matches: int
    alerts: int
    delivered: int
    acknowledged: int
    duplicates_at_centre: int
    balance_ok: bool
    sets_equal: bool


class Recount(Struct, frozen=True):
    """Counts, a sentence for each thing that is not as it should be, and the story that the alerts tell."""

    counts: Counts
    problems: list[str]
    story: list[Alert] = []


class Journalled(Struct):
    """What the journal holds of one collector: message numbers in its order, and what came of the records."""

    numbers: list[int] = []
    dropped: int = 0
    evaluated: int = 0
    unparsed: int = 0


def recount(scene: Scene, sent: Mapping[str, Sent], held: Held, wanted: Iterable[tuple[str, str]]) -> Recount:
    """Count after daemon and centre have stopped; `held` is what the centre said last.

    Args:
        sent: by stream.
        wanted: (title, address) of alerts that the story must have.

    Raises:
        SocmonError: journal or store cannot be read.
    """
    journalled, matches = _journalled(scene)
    reading = read(scene.store)
    unbalanced: list[str] = []
    for stream in scene.streams:
        found = journalled[stream.name]
        unbalanced += _numbering(stream, sent[stream.name], found)
        unbalanced += _bookkeeping(stream.name, reading.ledger.account(stream.name), found)
    province = {alert.id: alert.revision + alert.analyst_revision for alert in reading.alerts}
    different = _difference(province, held.findings)
    counts = Counts(
        sent=sum(each.count for each in sent.values()),
        lost_in_kill=sum(len(_absent(sent[name], found)) - found.dropped for name, found in journalled.items()),
        received=sum(len(found.numbers) + found.dropped for found in journalled.values()),
        evaluated=sum(found.evaluated for found in journalled.values()),
        unparsed=sum(found.unparsed for found in journalled.values()),
        dropped=sum(found.dropped for found in journalled.values()),
        matches=matches,
        alerts=len(province),
        delivered=_released(scene),
        acknowledged=_acknowledged(reading, province),
        duplicates_at_centre=held.rows_twice,
        balance_ok=not unbalanced,
        sets_equal=not different,
    )
    problems = [*unbalanced, *different, *_unseen(reading.alerts, wanted)]
    if homeless := [alert.title for alert in reading.alerts if not alert.agency]:
        problems.append(f"{len(homeless)} alerts name no agency, the first is {homeless[0]}")
    if held.rows_twice:
        problems.append(f"the centre has stored {held.rows_twice} rows twice")
    return Recount(counts, problems, reading.alerts)


def _journalled(scene: Scene) -> tuple[dict[str, Journalled], int]:
    """By stream; and how many (event, rule) pairs match."""
    matcher = Matcher(load_rules([shipped("rules")]))
    found = {stream.name: Journalled() for stream in scene.streams}
    numbers = _numbers(scene)
    matches = 0
    journal = Journal.open(scene.journal, read_only=True)
    for batch in journal.read_after(0):
        matched = matcher.match(batch)
        matches += sum(len(match.rules) for match in matched.matches)
        for record in batch.records:
            name = record.source.collector
            found[name].numbers.append(numbers[name](record.data))
        for drop in batch.drops:
            found[drop.collector].dropped += drop.count
        for name, each in found.items():
            each.evaluated += matched.evaluated.get(name, 0)
            each.unparsed += matched.unparsed.get(name, 0)
    journal.close()
    return found, matches


def _numbers(scene: Scene) -> dict[str, Callable[[bytes], int]]:
    """By stream, what says which message a record is; 0 of one that was never sent.

    What the sensor told is what its capture files give when they are decoded anew, one after the other.
    """
    told = [line for file in sorted(scene.captures.glob("*.pcap")) for line in capture.events(file.read_bytes())]
    of_sensor = {line: number for number, line in enumerate(told, 1)}
    return {
        stream.name: (lambda data: of_sensor.get(data, 0))
        if stream.transport == "capture"
        else partial(number_of, stream)
        for stream in scene.streams
    }


def _absent(sent: Sent, found: Journalled) -> list[int]:
    return sorted(set(range(1, sent.count + 1)) - set(found.numbers))


def _numbering(stream: Stream, sent: Sent, found: Journalled) -> list[str]:
    """Whether each number is in the journal once, in order, or was lost as `_unexplained` allows."""
    problems, name = [], stream.name
    lost = _unexplained(stream, sent, _ends(_absent(sent, found)))
    if lost and not found.dropped:
        problems.append(f"{name}: messages are not in the journal, up to number {lost[0]}, that no break explains")
    if doubled := [number for number, count in Counter(found.numbers).items() if count > 1]:
        problems.append(f"{name}: {len(doubled)} messages are in the journal twice, the first is number {doubled[0]}")
    elif found.numbers != sorted(found.numbers) or not set(found.numbers) <= set(range(1, sent.count + 1)):
        problems.append(f"{name}: the journal holds messages in another order, or some that were never sent")
    return problems


def _unexplained(stream: Stream, sent: Sent, ends: Sequence[int]) -> list[int]:
    """Of the last numbers of absent runs, those that should not be.

    A file loses nothing, not even by a kill, be it a log or a capture; nor does MQTT at QoS 1. Over TCP a run may be
    absent at the end of each connection. Over UDP a kill takes one run along, of messages that the daemon had read;
    what it had not read waits in the kernel.
    """
    if stream.transport in LOSSLESS:
        return list(ends)
    if stream.transport != "datagram":
        return [last for last in ends if last + 1 not in sent.resumed]
    left = list(ends)
    for before in sent.killed:
        if left and left[0] <= before:
            del left[0]
    return left


def _ends(numbers: Sequence[int]) -> list[int]:
    """The last number of each unbroken run."""
    known = set(numbers)
    return [number for number in numbers if number + 1 not in known]


def _bookkeeping(name: str, book: Account, journalled: Journalled) -> list[str]:
    """Whether the ledger that the daemon saved agrees with the journal, and nothing is in flight."""
    dropped = sum(book.dropped.values())
    written = (book.journalled, book.evaluated, book.unparsed, dropped)
    counted = (len(journalled.numbers), journalled.evaluated, journalled.unparsed, journalled.dropped)
    if written == counted and book.in_flight == 0:
        return []
    names = "journalled, evaluated, unparsed, dropped"
    said = f"the daemon's ledger says {written} ({names}), the journal {counted}"
    return [f"{name}: {said}, {book.in_flight} are in flight"]


def _difference(province: dict[str, int], centre: dict[str, int]) -> list[str]:
    if province == centre:
        return []
    missing, foreign = province.keys() - centre.keys(), centre.keys() - province.keys()
    other = [uid for uid in province.keys() & centre.keys() if province[uid] != centre[uid]]
    first = min([*missing, *foreign, *other])
    lacks = f"the centre lacks {len(missing)} of the province's alerts, holds {len(other)} at another revision"
    return [f"{lacks}, and {len(foreign)} that the province does not know; the first is {first}"]


def _unseen(alerts: Sequence[Alert], wanted: Iterable[tuple[str, str]]) -> list[str]:
    told = {
        (alert.title, value)
        for alert in alerts
        for value in (*alert.group.values(), *(each for values in alert.entities.values() for each in values))
    }
    return [f"there is no alert {title} for {address}" for title, address in wanted if (title, address) not in told]


def _acknowledged(reading: Reading, province: dict[str, int]) -> int:
    answered = reading.acknowledged.get(DESTINATION, {})
    return sum(answered.get(uid) == revision for uid, revision in province.items())


def _released(scene: Scene) -> int:
    with closing(sqlite3.connect(f"file:{scene.store}?mode=ro", uri=True)) as db:
        return int(db.execute(_RELEASED, (DESTINATION,)).fetchone()[0])
