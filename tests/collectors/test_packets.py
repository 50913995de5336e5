"""The `packets` collector and real sensors: each event once, over any end of either; strangers are refused."""

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from harness import until
from packets_kit import RUN, RealSensor, event, hearing, logged, numbered, packets_context, says, sensor, socket_path

from collectors import packets
from collectors.packets import PacketsCollector
from socmon.capture.told import MAX_LINE_BYTES, Told
from socmon.errors import ComponentError
from socmon.instruments import REGISTRY


def told(following: int = 0, *, name: str = "net1", run: str = RUN, **counts: Any) -> bytes:
    return Told(sensor=name, run=run, next=following, **counts).line()


async def test_each_event_is_a_record_in_order_and_answered_for() -> None:
    with socket_path() as path:
        context = packets_context(path)
        async with hearing(context), sensor(path) as net1:
            for first in range(0, 3000, 100):
                net1.put(*numbered(first, first + 99))
                net1.sending.tell()
                await asyncio.sleep(0)
            await until(lambda: len(context.lines) == 3000 and not net1.sending.waiting)

    assert context.lines == numbered(0, 2999)
    assert {(record.source.peer, record.source.format) for record in context.records} == {("net1", "zeek")}
    assert context.counts == {"received": 3000, "received_bytes": sum(map(len, context.lines))}
    assert context.positions == {"net1": b'["%b",3000,0]' % RUN.encode()}


async def test_what_is_journalled_and_not_answered_for_is_not_doubled_by_the_next_daemon() -> None:
    with socket_path() as path:
        async with sensor(path) as net1:
            first = packets_context(path)
            async with hearing(first):
                net1.put(*numbered(0, 9))
                await until(lambda: len(first.lines) == 10 and not net1.sending.waiting)
                # The answer for these is lost with the daemon, as far as the sensor knows.
                net1.sending._first = 0
                net1.sending._sent.extend(numbered(0, 9))
            net1.put(*numbered(10, 19))
            second = packets_context(path, first.positions)
            async with hearing(second):
                await until(lambda: len(second.lines) == 10 and not net1.sending.waiting)

    assert first.lines + second.lines == numbered(0, 19)


async def test_a_journal_that_is_full_lets_the_sensor_wait_and_drop_and_the_drops_are_told_once() -> None:
    with socket_path() as path:
        context = packets_context(path)
        async with hearing(context), sensor(path, limit_bytes=100_000) as net1:
            net1.put(event(0))
            await until(lambda: context.lines == [event(0)])
            context.gate.clear()
            made = 1
            while not net1.sending.dropped:
                net1.put(*numbered(made, made + 99))
                made += 100
                await asyncio.sleep(0)
            dropped = net1.sending.dropped
            context.gate.set()
            await until(lambda: not net1.sending.waiting)
            net1.sending.tell()
            net1.put(event(made))
            await until(lambda: context.lines[-1:] == [event(made)])
            positions = context.positions
        second = packets_context(path, positions)
        async with hearing(second), sensor(path) as again:
            again.sending.dropped = dropped + 2  # the same run goes on
            again.sending._first = len(context.lines)
            again.put(event(made + 1))
            await until(lambda: second.lines == [event(made + 1)])

    assert len(context.lines) + dropped == made + 1
    assert context.counts["dropped.capture_full"] == dropped
    assert context.counts["received"] == made + 1
    assert second.counts["dropped.capture_full"] == 2
    assert [entry["reason"] for entry in logged(context, "events of a sensor are lost")] == ["capture_full"]


async def test_a_new_run_begins_anew_and_counts_its_own_drops() -> None:
    with socket_path() as path:
        context = packets_context(path, {"net1": b'["another",500,7]'})
        async with hearing(context), sensor(path) as net1:
            net1.sending.dropped = 3
            net1.put(*numbered(0, 4))
            await until(lambda: len(context.lines) == 5)

    assert context.lines == numbered(0, 4)
    assert context.counts["dropped.capture_full"] == 3


async def test_events_that_a_restored_journal_lacks_are_counted_as_missing() -> None:
    with socket_path() as path:
        context = packets_context(path, {"net1": b'["%b",5,0]' % RUN.encode()})
        async with hearing(context), sensor(path) as net1:
            net1.sending._first = 9
            net1.put(*numbered(9, 11))
            await until(lambda: len(context.lines) == 3)

    assert context.counts["dropped.missing"] == 4
    assert context.counts["received"] == 7


async def test_what_the_kernel_counts_is_in_the_metrics() -> None:
    def value(name: str) -> float | None:
        return REGISTRY.get_sample_value(f"socmon_capture_{name}_total", {"component": "net"})

    before = [value(name) or 0 for name in ("kernel_packets", "read_packets", "dropped_packets", "bad_packets")]
    with socket_path() as path:
        context = packets_context(path)
        async with hearing(context) as collector, sensor(path) as net1:
            for packets_read, dropped in ((60, 0), (90, 10)):
                net1.counts = {"kernel_packets": 100, "packets": packets_read, "kernel_dropped": dropped, "bad": 1}
                await until(lambda: net1.sending.connected)
                net1.sending.tell()
                await until(lambda: _packets(collector) == net1.counts["packets"])

    after = [value(name) or 0 for name in ("kernel_packets", "read_packets", "dropped_packets", "bad_packets")]
    assert [new - old for new, old in zip(after, before, strict=True)] == [100, 90, 10, 1]
    warned = logged(context, "the kernel dropped packets before socmon-capture read them")
    assert [entry["packets"] for entry in warned] == [10]


def _packets(collector: PacketsCollector) -> int:
    """What was heard last of net1, which may be nothing."""
    return collector._heard["net1"].packets if "net1" in collector._heard else 0


async def test_two_sensors_are_two_peers_and_the_same_name_is_refused() -> None:
    with socket_path() as path:
        context = packets_context(path)
        async with hearing(context), sensor(path) as net1, sensor(path, sensor="net2", run="b") as net2:
            net1.put(event(1))
            net2.put(event(2))
            await until(lambda: len(context.lines) == 2)
            assert await says(path, told(name="net2")) == b""

    assert {record.source.peer: record.data for record in context.records} == {"net1": event(1), "net2": event(2)}
    assert context.counts["error.sensor_in_use"] == 1


@pytest.mark.parametrize(
    ("data", "answered"),
    [
        (b"\n", b""),
        (event(1) + b"\n", b""),
        (b"x" * 2_000_000, b""),
        (b'{"_path":"socmon_capture","sensor":"../../etc"}\n', b""),
        (b'{"_path":"socmon_capture","sensor":"net1","next":-1}\n', b""),
        (b'{"_path":"socmon_capture","sensor":"net1","next":1e400}\n', b""),
        (b"[" * 100_000 + b"\n", b""),
        (told() + b"no event\n", b"0\n"),
        (told() + b"\n", b"0\n"),
        (told() + b"\xff\xfe\n", b"0\n"),
        (told() + b'{"_path":"socmon_capture",\n', b"0\n"),
        (told() + told(1), b"0\n"),  # one is left out
        (told() + told(run="another"), b"0\n"),
        (told() + b"{" + b"x" * (MAX_LINE_BYTES + 300_000), b"0\n"),
    ],
)
async def test_who_makes_no_sense_is_disconnected_and_counted(data: bytes, answered: bytes) -> None:
    with socket_path() as path:
        context = packets_context(path)
        async with hearing(context), sensor(path, sensor="net2") as net2:
            answer = await says(path, data)
            net2.put(event(1))
            await until(lambda: context.lines == [event(1)])

    assert answered.startswith(answer)
    assert context.counts["error.bad_line"] == 1
    assert len(logged(context, "a sensor makes no sense, connection closed")) == 1


async def test_a_sensor_that_falls_silent_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "SILENT_S", 0.5)
    with socket_path() as path:
        context = packets_context(path)
        async with hearing(context):
            assert await says(path, told()) == b"0\n"
            await until(lambda: context.counts["error.connection_lost"] == 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize(("users", "answered"), [([], b""), (["nobody"], b"0\n"), (["no-such-user"], b"")])
async def test_a_user_that_is_not_named_is_refused(users: list[str], answered: bytes) -> None:
    with socket_path() as path, socket.socket(socket.AF_UNIX) as caller:
        path.parent.chmod(0o755)
        context = packets_context(path, users=users)
        async with hearing(context):
            assert path.stat().st_mode & 0o777 == 0o660
            path.chmod(0o666)  # an administrator's mistake
            os.seteuid(65534)
            try:
                caller.connect(str(path))
            finally:
                os.seteuid(0)
            caller.sendall(told())
            caller.shutdown(socket.SHUT_WR)
            try:
                received = await asyncio.to_thread(caller.recv, 100)
            except ConnectionResetError:
                received = b""

    assert received == answered
    assert context.counts["error.not_allowed"] == (not answered)


async def test_a_file_that_is_no_socket_is_left_alone() -> None:
    with socket_path() as path:
        path.write_text("mine")

        with pytest.raises(ComponentError, match="it is no socket; set another one"):
            await PacketsCollector(packets_context(path)).run()

        assert path.read_text() == "mine"


async def test_a_socket_of_a_daemon_that_is_gone_is_taken_over_and_of_one_that_lives_is_not() -> None:
    with socket_path() as path:
        first = packets_context(path)
        async with hearing(first):
            with pytest.raises(ComponentError, match="another program does; stop it, or set another socket"):
                await PacketsCollector(packets_context(path)).run()
        assert not path.exists()
        with socket.socket(socket.AF_UNIX) as left:  # as a killed one leaves it
            left.bind(str(path))
        async with hearing(packets_context(path)):
            pass


@pytest.mark.parametrize("path", [Path("/nowhere/capture.sock"), Path("/" + "x" * 200)])
async def test_a_socket_that_cannot_be_made_is_told(path: Path) -> None:
    with pytest.raises(ComponentError, match=r"cannot listen on /.*: .*; create its folder, or set another socket"):
        await PacketsCollector(packets_context(path)).run()


def test_the_socket_must_be_absolute() -> None:
    with pytest.raises(ValueError, match="is not absolute"):
        packets_context(Path("capture.sock"))


async def test_a_line_for_which_there_is_no_room_is_dropped_and_counted_while_no_daemon_is_there() -> None:
    with socket_path() as path:
        made = RealSensor(path, limit_bytes=1000)
        made.put(*numbered(0, 99))

        assert made.sending.waiting == 1000 // (len(event(0)) + 100)
        assert made.sending.dropped == 100 - made.sending.waiting
        assert await made.sending.finish(0.01) == made.sending.waiting
