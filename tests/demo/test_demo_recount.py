"""The recount over journals and stores that are made wrong, one thing at a time."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from socmon.demo import sample
from socmon.demo.centre import Held
from socmon.demo.recount import Recount, recount
from socmon.demo.scene import COLLECTOR, DESTINATION, Scene
from socmon.event import Alert, Record, Source
from socmon.journal import Journal
from socmon.ledger import Account, Ledger
from socmon.store import Checkpoint, Store

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
LINE = sample.Line("mail-01 sshd", "Failed password for root from 203.0.113.7 port 40100 ssh2")
ALERT = Alert(
    id="a1",
    rule_id="rule",
    title="SSH brute force",
    level="high",
    tags=[],
    group={"src_ip": "203.0.113.7"},
    first_us=1,
    last_us=2,
    count=5,
    revision=4,
    opened_seq=5,
)


async def counted(
    folder: Path,
    *,
    sent: int = 3,
    journalled: Sequence[int] = (1, 2, 3),
    evaluated: int | None = None,
    held: Held | None = None,
    attackers: Sequence[str] = (),
) -> Recount:
    """The recount of a run that sent numbers 1 to `sent` and journalled `journalled`."""
    scene = Scene(folder)
    scene.log.write_bytes(b"".join(sample.written(LINE, number, 0, NOW) for number in range(1, sent + 1)))
    scene.journal.parent.mkdir()
    journal = Journal.open(scene.journal, segment_bytes=65536)
    source = Source(COLLECTOR, "auth.log", format="rfc3164")
    records = [Record(sample.written(LINE, number, 0, NOW).rstrip(), source, NOW_US) for number in journalled]
    journal.append(records, written_us=NOW_US)
    journal.close()
    book = Account(journalled=len(journalled), evaluated=len(journalled) if evaluated is None else evaluated)
    store = Store(scene.store, destinations=[DESTINATION])
    checkpoint = Checkpoint(str(journal.incarnation), 1, Ledger({COLLECTOR: book}), {})
    await store.commit([ALERT], depends_on=1, now_us=NOW_US, checkpoint=checkpoint)
    await store.close()
    return recount(scene, held or Held({"a1": 4}, rows_twice=0, sent_again=0), attackers)


async def test_a_run_in_which_all_is_well_has_no_problems(tmp_path: Path) -> None:
    found = await counted(tmp_path, attackers=["203.0.113.7"])

    assert found.problems == []
    assert (found.counts.sent, found.counts.received, found.counts.evaluated, found.counts.matches) == (3, 3, 3, 3)
    assert (found.counts.alerts, found.counts.delivered, found.counts.acknowledged) == (1, 0, 0)


async def test_a_line_that_is_not_in_the_journal_is_lost(tmp_path: Path) -> None:
    found = await counted(tmp_path, journalled=(1, 3))

    assert found.counts.lost_while_down == 1
    assert not found.counts.balance_ok
    assert found.problems == ["1 lines are not in the journal, the first is number 2"]


async def test_a_line_that_is_in_the_journal_twice_does_not_balance(tmp_path: Path) -> None:
    found = await counted(tmp_path, journalled=(1, 2, 2, 3))

    assert found.counts.lost_while_down == 0
    assert found.problems == ["1 lines are in the journal more than once, the first is number 2"]


async def test_a_loss_is_not_hidden_by_a_line_that_came_twice(tmp_path: Path) -> None:
    found = await counted(tmp_path, journalled=(1, 3, 3))

    assert found.counts.sent == found.counts.received
    assert len(found.problems) == 2
    assert not found.counts.balance_ok


async def test_lines_in_another_order_do_not_balance(tmp_path: Path) -> None:
    found = await counted(tmp_path, journalled=(2, 1, 3))

    assert not found.counts.balance_ok
    assert "another order" in found.problems[0]


async def test_a_ledger_that_says_otherwise_does_not_balance(tmp_path: Path) -> None:
    found = await counted(tmp_path, evaluated=2)

    assert not found.counts.balance_ok
    assert "1 are in flight" in found.problems[0]


async def test_an_older_revision_at_the_centre_is_another_set(tmp_path: Path) -> None:
    found = await counted(tmp_path, held=Held({"a1": 3}, rows_twice=0, sent_again=0))

    assert (found.counts.sets_equal, found.counts.balance_ok) == (False, True)
    assert "holds 1 at another revision" in found.problems[0]


async def test_rows_that_the_centre_stored_twice_are_a_problem(tmp_path: Path) -> None:
    found = await counted(tmp_path, held=Held({"a1": 4}, rows_twice=2, sent_again=0))

    assert found.counts.duplicates_at_centre == 2
    assert found.problems == ["the centre has stored 2 rows twice"]


async def test_an_attacker_without_an_alert_is_a_problem(tmp_path: Path) -> None:
    found = await counted(tmp_path, attackers=["203.0.113.7", "2001:db8:1:7::c0de"])

    assert found.problems == ["there is no alert SSH brute force for 2001:db8:1:7::c0de"]
