"""The recount over journals and stores that are made wrong, one thing at a time."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from socmon.demo import sample
from socmon.demo.capture import capture, events
from socmon.demo.centre import Held
from socmon.demo.recount import Recount, Sent, recount
from socmon.demo.scene import DESTINATION, Scene, doors
from socmon.event import Alert, Record, Source
from socmon.journal import Journal
from socmon.ledger import Account, Ledger
from socmon.store import Checkpoint, Store

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
LINE = sample.Line("", " mail-01 sshd[", "]: Failed password for root from 203.0.113.7 port 40100 ssh2")
DROP = sample.Line(
    "<4>", " ttdl-fw-01 kernel: [", ".5] FW-DROP: IN=wan0 OUT= SRC=192.0.2.7 DST=192.0.2.25 PROTO=TCP SPT=40000 DPT=23"
)
PAID = sample.Line('{"time":"', '","id":', ',"host":"stc-app-01","message":"Duyệt chứng từ"}')
CAPTURE = capture(0, NOW_US)
SEEN = events(CAPTURE)
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
    agency="000.00.11.H07",
)


async def counted(
    folder: Path,
    *,
    sent: int = 3,
    journalled: Sequence[int] = (1, 2, 3),
    over_tcp: Sequence[int] = (1, 2, 3),
    over_udp: Sequence[int] = (1, 2, 3),
    resumed: Sequence[int] = (),
    killed: Sequence[int] = (),
    evaluated: int | None = None,
    held: Held | None = None,
    wanted: Sequence[tuple[str, str]] = (),
    of_sensor: Sequence[int] | None = None,
    over_mqtt: Sequence[int] = (),
    published: int = 0,
) -> Recount:
    """The recount of a run that sent 1 to `sent` by each way, and journalled these of them."""
    scene = Scene(folder)
    scene.journal.parent.mkdir()
    journal = Journal.open(scene.journal, segment_bytes=65536)
    scene.captures.mkdir()
    (scene.captures / "000000.pcap").write_bytes(CAPTURE)
    records = [*_records("servers", journalled), *_records("mail", over_tcp), *_records("firewall", over_udp)]
    seen = of_sensor if of_sensor is not None else range(1, len(SEEN) + 1)
    records += [Record(SEEN[number - 1], Source("sensor", "peer", format="zeek"), NOW_US) for number in seen]
    records += _records("finance", over_mqtt)
    journal.append(records, written_us=NOW_US)
    journal.close()
    file = Account(journalled=len(journalled), evaluated=len(journalled) if evaluated is None else evaluated)
    tcp = Account(journalled=len(over_tcp), evaluated=len(over_tcp))
    udp = Account(journalled=len(over_udp), evaluated=len(over_udp))
    store = Store(scene.store, destinations=[DESTINATION])
    sensor = Account(journalled=len(seen), evaluated=len(seen))
    mqtt = Account(journalled=len(over_mqtt), evaluated=len(over_mqtt))
    accounts = {"servers": file, "mail": tcp, "firewall": udp, "sensor": sensor, "finance": mqtt}
    checkpoint = Checkpoint(str(journal.incarnation), 1, Ledger(accounts), {})
    await store.commit([ALERT], depends_on=1, now_us=NOW_US, checkpoint=checkpoint)
    await store.close()
    told = {stream.name: Sent(0) for stream in sample.STREAMS}
    told |= {"servers": Sent(sent), "mail": Sent(sent, list(resumed)), "firewall": Sent(sent, killed=list(killed))}
    told |= {"sensor": Sent(len(SEEN)), "finance": Sent(published, resumed=[4], killed=[4])}
    return recount(scene, told, held or Held({"a1": 4}, rows_twice=0, sent_again=0), wanted)


def _records(name: str, numbers: Sequence[int]) -> list[Record]:
    source = Source(name, "peer", format="json" if name == "finance" else "rfc3164")
    stream = sample.BY_NAME[name]
    line = {"firewall": DROP, "finance": PAID}.get(name, LINE)
    return [Record(sample.written(stream, line, number, 0, NOW), source, NOW_US) for number in numbers]


async def test_a_run_in_which_all_is_well_has_no_problems(tmp_path: Path) -> None:
    found = await counted(tmp_path, wanted=[("SSH brute force", "203.0.113.7")])

    assert found.problems == []
    assert {found.counts.sent, found.counts.received, found.counts.evaluated} == {9 + len(SEEN)}
    # A failed connection for each port, two of which are SMB's and RDP's; and a name for each look-up.
    assert found.counts.matches == 9 + 22 + 2 + 60
    assert (found.counts.alerts, found.counts.delivered, found.counts.acknowledged) == (1, 0, 0)


async def test_a_line_that_is_not_in_the_journal_is_lost(tmp_path: Path) -> None:
    found = await counted(tmp_path, journalled=(1, 3))

    assert found.counts.lost_in_kill == 1
    assert not found.counts.balance_ok
    assert found.problems == ["servers: messages are not in the journal, up to number 2, that no break explains"]


async def test_a_line_that_is_in_the_journal_twice_does_not_balance(tmp_path: Path) -> None:
    found = await counted(tmp_path, journalled=(1, 2, 2, 3))

    assert found.counts.lost_in_kill == 0
    assert found.problems == ["servers: 1 messages are in the journal twice, the first is number 2"]


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
    found = await counted(
        tmp_path, wanted=[("SSH brute force", "203.0.113.7"), ("SSH brute force", "2001:db8:1:7::c0de")]
    )

    assert found.problems == ["there is no alert SSH brute force for 2001:db8:1:7::c0de"]


async def test_an_alert_that_names_no_agency_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ALERT, "agency", "")

    found = await counted(tmp_path)

    assert found.problems == ["1 alerts name no agency, the first is SSH brute force"]


async def test_what_a_broken_connection_lost_is_counted_and_explained(tmp_path: Path) -> None:
    found = await counted(
        tmp_path, sent=5, journalled=(1, 2, 3, 4, 5), over_tcp=(1, 4, 5), over_udp=(1, 2, 3, 4, 5), resumed=[4]
    )

    assert found.problems == []
    assert found.counts.lost_in_kill == 2
    assert found.counts.balance_ok


async def test_a_message_that_tcp_lost_where_nothing_broke_does_not_balance(tmp_path: Path) -> None:
    found = await counted(
        tmp_path, sent=5, journalled=(1, 2, 3, 4, 5), over_tcp=(1, 3, 5), over_udp=(1, 2, 3, 4, 5), resumed=[3]
    )

    assert found.problems == ["mail: messages are not in the journal, up to number 4, that no break explains"]
    assert not found.counts.balance_ok


ALL = (1, 2, 3, 4, 5, 6, 7, 8)


async def by_udp(folder: Path, *, journalled: Sequence[int], killed: Sequence[int]) -> Recount:
    return await counted(folder, sent=8, journalled=ALL, over_tcp=ALL, over_udp=journalled, killed=killed)


async def test_what_a_killed_daemon_had_read_of_udp_is_counted_and_explained(tmp_path: Path) -> None:
    found = await by_udp(tmp_path, journalled=(1, 4, 5, 6, 8), killed=[4, 7])

    assert found.problems == []
    assert found.counts.lost_in_kill == 3


async def test_a_second_run_lost_of_udp_by_one_kill_does_not_balance(tmp_path: Path) -> None:
    found = await by_udp(tmp_path, journalled=(1, 3, 4, 6, 7, 8), killed=[6])

    assert found.problems == ["firewall: messages are not in the journal, up to number 5, that no break explains"]


async def test_a_datagram_sent_while_nobody_was_there_must_not_be_lost(tmp_path: Path) -> None:
    found = await by_udp(tmp_path, journalled=(1, 2, 3, 4, 5, 7, 8), killed=[5])

    assert found.problems == ["firewall: messages are not in the journal, up to number 6, that no break explains"]
    assert not found.counts.balance_ok


async def test_an_event_of_a_capture_that_is_not_in_the_journal_is_lost(tmp_path: Path) -> None:
    there = [number for number in range(1, len(SEEN) + 1) if number != 7]

    found = await counted(tmp_path, of_sensor=there)

    assert found.problems == ["sensor: messages are not in the journal, up to number 7, that no break explains"]
    assert found.counts.lost_in_kill == 1


async def test_an_event_of_a_capture_that_is_in_the_journal_twice_does_not_balance(tmp_path: Path) -> None:
    found = await counted(tmp_path, of_sensor=[*range(1, 8), *range(7, len(SEEN) + 1)])

    assert found.problems == ["sensor: 1 messages are in the journal twice, the first is number 7"]


async def test_over_mqtt_a_kill_explains_neither_a_loss_nor_a_double(tmp_path: Path) -> None:
    (lost := tmp_path / "lost").mkdir()
    (doubled := tmp_path / "doubled").mkdir()

    found = [
        await counted(lost, published=4, over_mqtt=[1, 2, 4]),
        await counted(doubled, published=4, over_mqtt=[1, 2, 2, 3, 4]),
    ]

    assert [each.problems for each in found] == [
        ["finance: messages are not in the journal, up to number 3, that no break explains"],
        ["finance: 1 messages are in the journal twice, the first is number 2"],
    ]


def test_a_scene_without_a_broker_collects_all_but_what_is_published(tmp_path: Path) -> None:
    streams = tuple(stream for stream in sample.STREAMS if stream.transport != "mqtt")
    scene = Scene(tmp_path, streams)
    ports, held = doors(streams)
    for each in held.values():
        each.close()

    scene.configure("https://127.0.0.1:1", ports)

    kinds = {each["kind"] for each in yaml.safe_load(scene.config.read_text("utf-8"))["collectors"].values()}
    assert kinds == {"file", "syslog_tcp", "syslog_udp", "pcap"}
