"""The collector of flows and real exporters: what arrives, what waits, what is lost and counted, and a restart."""

import json
import socket
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, closing
from typing import Any

import pytest
from harness import until
from listening_kit import listens, where
from manager_kit import passed, udp_socket
from netflow_kit import FIELDS4, NetflowContext, a_set, flow, ipfix, netflow_context, records, template, v5, v9

from collectors import _receiving, netflow
from collectors.netflow import NetflowCollector

TEMPLATE = v9(a_set(0, template(256, FIELDS4)))
TEMPLATES_OF = "templates of 127.0.0.1"


def data(first: int, count: int, *, sequence: int = 0) -> bytes:
    return v9(
        a_set(256, records(FIELDS4, *(flow(number) for number in range(first, first + count)))), sequence=sequence
    )


def listening(context: NetflowContext) -> AbstractAsyncContextManager[NetflowCollector]:
    return listens(NetflowCollector(context), context)


def send(context: NetflowContext, *datagrams: bytes, source: str = "127.0.0.1") -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        for each in datagrams:
            sender.sendto(each, ("127.0.0.1", where(context)[1]))


def packets(lines: Sequence[bytes]) -> list[int]:
    """What tells the numbered flows apart."""
    return [json.loads(line)["orig_pkts"] - 10 for line in lines]


def events(context: NetflowContext, event: str) -> list[dict[str, Any]]:
    return [dict(entry) for entry in context.logged if entry["event"] == event]


def next_context(before: NetflowContext) -> NetflowContext:
    """Of the same collector after a restart: it knows what the journal has."""
    after = netflow_context(**before.settings.model_dump())
    after.positions = before.positions
    return after


async def test_each_flow_is_a_record_of_its_exporter_in_the_order_of_arrival() -> None:
    context = netflow_context()
    async with listening(context):
        send(context, v5(flow(0), flow(1)), TEMPLATE, data(2, 40), data(42, 3))
        await until(lambda: len(context.lines) == 45)
    assert packets(context.lines) == list(range(45))
    source = context.records[0].source
    assert (source.peer, source.format, source.authenticated) == ("127.0.0.1", "zeek", False)
    assert json.loads(context.lines[0])["netflow.exporter"] == "127.0.0.1"
    assert context.counts["received"] == 45


async def test_flows_wait_for_their_template_and_are_dropped_and_counted_at_the_stop() -> None:
    context = netflow_context()
    async with listening(context):
        send(context, data(0, 2), TEMPLATE, ipfix(a_set(300, bytes(40))), ipfix(a_set(301, bytes(40))), v5(flow(2)))
        await until(lambda: len(context.lines) == 3)
        assert "dropped.no_template" not in context.counts
    assert packets(context.lines) == [0, 1, 2]
    assert (context.counts["dropped.no_template"], context.counts["received"]) == (2, 5)
    assert [entry["sets"] for entry in events(context, "flows are lost, their template did not come")] == [2]


async def test_what_is_wrong_is_counted_and_told_rarely() -> None:
    context = netflow_context(address="0.0.0.0")
    async with listening(context):
        send(context, b"<38>a", b"<38>b", v5(flow(1))[:60], v9(a_set(0, template(300, [(1, 4)])), a_set(300, bytes(4))))
        send(context, v5(flow(1), sequence=10), v5(flow(2), sequence=100), v5(flow(3), sequence=200))
        send(context, v5(flow(9)), source="127.0.0.2")
        await until(lambda: len(context.lines) == 4)
    assert {name: count for name, count in context.counts.items() if name.startswith("error")} == {
        "error.unknown_version": 2,
        "error.malformed": 1,
        "error.not_a_flow": 1,
        "error.gap": 3,
    }
    bad = events(context, "datagram is no whole message of NetFlow or IPFIX")
    assert [(entry["reason"], entry["times"]) for entry in bad] == [("unknown_version", 1), ("malformed", 1)]
    gaps = events(context, "the numbering of an exporter has gaps")
    assert [(entry["log_level"], entry["missed"]) for entry in gaps] == [("info", 9)]


async def test_exporters_that_allow_does_not_name_are_refused() -> None:
    context = netflow_context(address="0.0.0.0", allow=["127.0.0.1"])
    async with listening(context):
        send(context, v5(flow(1)), source="127.0.0.2")
        send(context, v5(flow(2)))
        await until(lambda: context.lines)
    assert packets(context.lines) == [2]
    assert context.counts["error.not_allowed"] == 1


async def test_flows_beyond_the_free_room_wait_and_none_is_dropped() -> None:
    context = netflow_context()
    async with listening(context):
        context.room = 7
        send(context, TEMPLATE, data(0, 30), data(30, 30))
        await until(lambda: len(context.lines) == 7)
        looked = context.beats
        await until(lambda: context.beats > looked + 1)
        assert len(context.lines) == 7
        context.room = None
        await until(lambda: len(context.lines) == 60)
    assert packets(context.lines) == list(range(60))
    assert context.counts["dropped.full"] == 0


async def test_a_stop_journals_what_was_read_and_what_the_kernel_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    context = netflow_context()
    async with listening(context):
        context.room = 7
        send(context, TEMPLATE, data(0, 30))
        await until(lambda: len(context.lines) == 7)
        send(context, data(30, 30))
    assert packets(context.lines) == list(range(60))


async def test_a_stop_on_an_inherited_socket_journals_what_was_read_and_leaves_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = netflow_context()
    with closing(udp_socket()) as held, passed(monkeypatch, ("flows", held)):
        async with listening(context):
            context.room = 7
            send(context, TEMPLATE, data(0, 30))
            await until(lambda: len(context.lines) == 7)
            send(context, data(30, 30))
        assert packets(context.lines) == list(range(30))
        again = next_context(context)
        async with listening(again):
            await until(lambda: len(again.lines) == 30)
    assert packets(again.lines) == list(range(30, 60))


async def test_what_was_read_and_the_journal_does_not_take_in_time_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_receiving, "STOP_S", 0.05)
    context = netflow_context()
    with closing(udp_socket()) as held, passed(monkeypatch, ("flows", held)):
        async with listening(context):
            context.room = 7
            send(context, TEMPLATE, data(0, 30))
            await until(lambda: len(context.lines) == 7)
            context.gate.clear()
    assert (context.counts["received"], context.counts["dropped.not_journalled"]) == (30, 23)


async def test_after_a_restart_flows_are_read_before_their_template_is_told_again() -> None:
    context = netflow_context()
    async with listening(context):
        send(context, TEMPLATE, data(0, 2))
        await until(lambda: len(context.lines) == 2)
    again = next_context(context)
    async with listening(again):
        send(again, data(2, 2))
        await until(lambda: len(again.lines) == 2)
    assert packets(again.lines) == [2, 3]
    assert [record.position is not None for record in again.records] == [True, False]


async def test_templates_are_told_to_the_journal_with_the_first_flow_and_again_when_they_change() -> None:
    context = netflow_context()
    async with listening(context) as collector:
        send(context, TEMPLATE, data(0, 2), data(2, 2))
        await until(lambda: len(context.lines) == 4)
        collector._exporters["127.0.0.1"].told_s -= netflow.SOON_S
        send(context, data(4, 1), v9(a_set(0, template(257, FIELDS4[:5]))), data(5, 1))
        await until(lambda: len(context.lines) == 6)
        collector._exporters["127.0.0.1"].told_s -= netflow.AGAIN_S
        send(context, data(6, 1))
        await until(lambda: len(context.lines) == 7)
    given = [record.position[0] if record.position else "" for record in context.records]
    assert given == [TEMPLATES_OF, "", "", "", "", TEMPLATES_OF, TEMPLATES_OF]


async def test_an_exporter_that_always_tells_others_does_not_fill_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netflow, "SOON_S", 3600)
    context = netflow_context()
    async with listening(context):
        for number in range(20):
            send(context, v9(a_set(0, template(300 + number, FIELDS4)), a_set(300 + number, records(FIELDS4, flow(1)))))
        await until(lambda: len(context.lines) == 20)
    assert sum(record.position is not None for record in context.records) == 1


async def test_templates_that_are_not_understood_are_told_and_the_exporter_tells_them_again() -> None:
    context = netflow_context()
    context.positions[TEMPLATES_OF] = b"\xc1"
    async with listening(context):
        send(context, TEMPLATE, data(0, 1))
        await until(lambda: context.lines)
    assert [entry["exporter"] for entry in events(context, "templates of before the start are not understood")] == [
        "127.0.0.1"
    ]


async def test_the_kernels_drops_and_templates_do_not_take_each_others_place(monkeypatch: pytest.MonkeyPatch) -> None:
    context = netflow_context(receive_buffer_bytes=64 * 1024)
    with closing(udp_socket(buffer_bytes=64 * 1024)) as held, passed(monkeypatch, ("flows", held)):
        async with listening(context):
            send(context, TEMPLATE, *[data(number, 1) for number in range(1000)])
            await until(lambda: len(context.lines) + context.counts["dropped.kernel"] == 1000)
            send(context, data(1, 2))
            await until(lambda: _receiving.STREAM in context.positions)
    assert context.counts["dropped.kernel"] > 0
    assert TEMPLATES_OF in context.positions
