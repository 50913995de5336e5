"""The recount: every number taken anew from log, journal, store and centre, never from a counter."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing

from msgspec import Struct

from socmon.demo.centre import Held
from socmon.demo.sample import number_of
from socmon.demo.scene import COLLECTOR, DESTINATION, Scene
from socmon.event import Alert
from socmon.journal import Journal
from socmon.ledger import Account
from socmon.matching import Matcher
from socmon.resources import shipped
from socmon.sigma import load_rules
from socmon.store import Reading, read

_BRUTE_FORCE = "SSH brute force"
_RELEASED = "select count(distinct alert_id) from released where destination = ?"


class Counts(Struct, frozen=True):
    """One number a stage, and the two verdicts.

    Attributes:
        sent: lines written to the log.
        lost_while_down: of these, neither in the journal nor dropped.
        received: records in the journal, and those dropped before it.
        evaluated, unparsed: what the matcher makes of the journal.
        matches: events and rules that match, in pairs.
        delivered: alerts released to the centre at least once.
        acknowledged: alerts whose last revision the centre has acknowledged.
        duplicates_at_centre: rows that the centre stored twice.
        balance_ok: nothing lost, doubled or out of order, and the daemon's own ledger says the same.
        sets_equal: the centre holds the province's alerts, each at its last revision, and no other.
    """

    sent: int
    lost_while_down: int
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
    """Counts, and a sentence for each thing that is not as it should be."""

    counts: Counts
    problems: list[str]


class _Journalled(Struct):
    """What the journal holds of the collector: message numbers in its order, and what came of the records."""

    numbers: list[int] = []
    dropped: int = 0
    evaluated: int = 0
    unparsed: int = 0
    matches: int = 0


def recount(scene: Scene, held: Held, attackers: Sequence[str]) -> Recount:
    """Count after daemon and centre have stopped; `held` is what the centre said last.

    Args:
        attackers: addresses that must have an alert of their own.

    Raises:
        SocmonError: journal or store cannot be read.
    """
    with scene.log.open("rb") as log:
        sent = [number_of(line) for line in log]
    journalled, reading = _journalled(scene), read(scene.store)
    unbalanced = [*_numbering(sent, journalled), *_bookkeeping(reading.ledger.account(COLLECTOR), journalled)]
    province = {alert.id: alert.revision + alert.analyst_revision for alert in reading.alerts}
    different = _difference(province, held.findings)
    counts = Counts(
        sent=len(sent),
        lost_while_down=len(set(sent) - set(journalled.numbers)) - journalled.dropped,
        received=len(journalled.numbers) + journalled.dropped,
        evaluated=journalled.evaluated,
        unparsed=journalled.unparsed,
        dropped=journalled.dropped,
        matches=journalled.matches,
        alerts=len(province),
        delivered=_released(scene),
        acknowledged=_acknowledged(reading, province),
        duplicates_at_centre=held.rows_twice,
        balance_ok=not unbalanced,
        sets_equal=not different,
    )
    problems = [*unbalanced, *different, *_unseen(reading.alerts, attackers)]
    if held.rows_twice:
        problems.append(f"the centre has stored {held.rows_twice} rows twice")
    return Recount(counts, problems)


def _journalled(scene: Scene) -> _Journalled:
    matcher = Matcher(load_rules([shipped("rules")]))
    found = _Journalled()
    journal = Journal.open(scene.journal, read_only=True)
    for batch in journal.read_after(0):
        matched = matcher.match(batch)
        found.numbers += [number_of(record.data) for record in batch.records]
        found.dropped += sum(drop.count for drop in batch.drops)
        found.evaluated += sum(matched.evaluated.values())
        found.unparsed += sum(matched.unparsed.values())
        found.matches += sum(len(match.rules) for match in matched.matches)
    journal.close()
    return found


def _numbering(sent: Sequence[int], journalled: _Journalled) -> list[str]:
    """Whether each number is in the journal once, in its order: a file loses nothing, not even by a kill."""
    times = Counter(journalled.numbers)
    problems = []
    if lost := [number for number in sent if number not in times]:
        problems.append(f"{len(lost)} lines are not in the journal, the first is number {lost[0]}")
    if doubled := [number for number, count in times.items() if count > 1]:
        problems.append(f"{len(doubled)} lines are in the journal more than once, the first is number {doubled[0]}")
    if not problems and journalled.numbers != list(sent):
        problems.append("the journal holds the lines in another order than the log, or lines that are not in the log")
    return problems


def _bookkeeping(book: Account, journalled: _Journalled) -> list[str]:
    """Whether the ledger that the daemon saved agrees with the journal, and nothing is in flight."""
    dropped = sum(book.dropped.values())
    written = (book.journalled, book.evaluated, book.unparsed, dropped)
    counted = (len(journalled.numbers), journalled.evaluated, journalled.unparsed, journalled.dropped)
    if written == counted and book.in_flight == 0:
        return []
    names = "journalled, evaluated, unparsed, dropped"
    return [f"the daemon's ledger says {written} ({names}), the journal {counted}, {book.in_flight} are in flight"]


def _difference(province: dict[str, int], centre: dict[str, int]) -> list[str]:
    if province == centre:
        return []
    missing, foreign = province.keys() - centre.keys(), centre.keys() - province.keys()
    other = [uid for uid in province.keys() & centre.keys() if province[uid] != centre[uid]]
    first = min([*missing, *foreign, *other])
    lacks = f"the centre lacks {len(missing)} of the province's alerts, holds {len(other)} at another revision"
    return [f"{lacks}, and {len(foreign)} that the province does not know; the first is {first}"]


def _unseen(alerts: Sequence[Alert], attackers: Sequence[str]) -> list[str]:
    caught = {alert.group.get("src_ip") for alert in alerts if alert.title == _BRUTE_FORCE}
    return [f"there is no alert {_BRUTE_FORCE} for {address}" for address in attackers if address not in caught]


def _acknowledged(reading: Reading, province: dict[str, int]) -> int:
    answered = reading.acknowledged.get(DESTINATION, {})
    return sum(answered.get(uid) == revision for uid, revision in province.items())


def _released(scene: Scene) -> int:
    with closing(sqlite3.connect(f"file:{scene.store}?mode=ro", uri=True)) as db:
        return int(db.execute(_RELEASED, (DESTINATION,)).fetchone()[0])
