"""Batches of every kind of record, and what one Matcher makes of them, for tests of workers."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from socmon import parsers
from socmon.enrich import Assets, Inventory
from socmon.event import OWN, SECOND_US, Owner, Record, Source
from socmon.failpoints import HARM
from socmon.journal import Batch, Drop, Frame
from socmon.matching import Matched, Matcher
from socmon.resources import shipped
from socmon.sigma import load_rules
from socmon.sigma.cases import SUFFIX, load_cases
from socmon.workers import Pool

NOW_US = 1_795_000_000 * SECOND_US  # 2026-11-18T11:06:40Z
RULES = load_rules([shipped("rules")])
INVENTORY = Inventory(patterns={"web*": Owner("H01"), "db1": Owner("H02", "s", 3)})
BIG = b'{"@timestamp": "2026-11-18T11:00:00Z", "host": "big", "id": 123456789012345678901234567890, "message": "x"}'


def batches(times: int = 1) -> list[Batch]:
    """The lines of all cases of the shipped rules, and what else a journal holds, in frames of up to 40 records."""
    rows = [row for _ in range(times) for row in _rows()]
    made: list[Batch] = []
    seq = 1
    for first in range(0, len(rows), 40):
        records = [msgspec.structs.replace(row, seq=seq + n) for n, row in enumerate(rows[first : first + 40])]
        drops = [Drop("udp", "buffer_full", 2)] if len(made) % 3 == 0 else []
        made.append(Batch(len(made) + 1, seq, NOW_US + len(made), records, drops, tick=False))
        seq += len(records)
        made.append(Batch(len(made) + 1, seq, NOW_US + len(made), [], [], tick=True))
    return made


def _rows() -> Iterator[Record]:
    for path in sorted(Path(shipped("rules")).rglob(f"*{SUFFIX}")):
        for placed in load_cases(path):
            for n, line in enumerate(placed.case.lines):
                kind = placed.case.format
                if kind == "auto":
                    kind = parsers.detect([line.encode()]) or "rfc3164"
                source = Source(f"logs-{kind}", f"/var/{n % 3}", kind)
                yield Record(line.encode(), source, NOW_US + n, ("stream", b"7"), None, 1 + n % 2)
    yield Record(b"\0nothing of the kind \xff", Source("logs-rfc3164", "/var/0", "rfc3164"), NOW_US)
    yield Record(BIG, Source("json", "/big", "json"), NOW_US)
    own = {"service": "test", "time_us": NOW_US, "message": "a test", "fields": {"test_id": "7", "actor": "an"}}
    yield Record(msgspec.json.encode(own), Source(OWN, "test", OWN), NOW_US)


def told(matched: Sequence[Matched]) -> list[Matched]:
    """As workers tell it: events without the bytes and positions of their records."""
    for each in matched:
        for event in (*(match.event for match in each.matches), *each.own):
            event.record = msgspec.structs.replace(event.record, data=b"", position=None)
        for match in each.matches:
            match.rules = list(match.rules)
    return list(matched)


def inline(
    given: Sequence[Batch], assets: Assets | None = None, *, aside: frozenset[int] = frozenset()
) -> list[Matched]:
    """What one Matcher makes of them."""
    matcher = Matcher(RULES, assets=assets)
    return told([matcher.match(batch, aside=aside) for batch in given])


def frames(given: Sequence[Batch]) -> list[Frame]:
    return [Frame.of(batch) for batch in given]


def harmful(given: Sequence[Batch], place: int) -> int:
    """Put a record that does harm into a batch in place of the one at `place`; return its sequence."""
    batch = given[place]
    old = batch.records[5]
    batch.records[5] = msgspec.structs.replace(old, data=old.data + b" " + HARM)
    return old.seq


def ready(pool: Pool) -> None:
    """Wait until every worker is."""
    while not pool.ready:
        pool.step()
