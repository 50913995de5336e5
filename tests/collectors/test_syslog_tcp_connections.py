"""Connections to the TCP collector: who may, how many, how they end, and what is counted then."""

import asyncio
import errno
import socket
from typing import Any

import pytest
from harness import running, until
from pydantic import ValidationError
from tcp_kit import Sender, counted, lines, listening, numbered, tcp_context

from collectors import syslog_tcp
from collectors._listening import cannot_listen, listen_tcp
from collectors.syslog_tcp import SyslogTcpCollector, SyslogTcpSettings
from socmon.errors import ComponentError
from socmon.log import Rarely


def warnings(context: Any, event: str) -> list[dict[str, Any]]:
    return [entry for entry in context.logged if entry["event"] == event and entry["log_level"] == "warning"]


# ── who may connect ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_only_networks_that_are_allowed_may_send() -> None:
    context = tcp_context(allow=["127.0.0.8/29", "2001:db8::/32"])
    async with listening(context):
        with Sender(context, source="127.0.0.9") as inside, Sender(context, source="127.0.0.1") as outside:
            await outside.ended()
            await inside.send(lines(b"<1>one"))
            await until(lambda: context.lines)
    assert context.lines == [b"<1>one"]
    assert context.counts["error.not_allowed"] == 1
    assert [(each["reason"], each["peer"]) for each in warnings(context, "connection refused")] == [
        ("not_allowed", "127.0.0.1")
    ]


async def test_a_sender_over_ipv4_is_allowed_by_its_ipv4_network_on_a_dual_stack_listener() -> None:
    context = tcp_context(address="::", allow=["127.0.0.0/8"])
    async with listening(context):
        with Sender(context, target="127.0.0.1") as inside, Sender(context, target="::1") as outside:
            await outside.ended()
            await inside.send(lines(b"<1>one"))
            await until(lambda: context.lines)
    assert context.counts["error.not_allowed"] == 1


async def test_connections_beyond_the_limits_are_refused_and_a_closed_one_makes_room() -> None:
    context = tcp_context(max_connections=3, max_connections_per_source=2)
    async with listening(context) as collector:
        first, second = Sender(context), Sender(context)
        await until(lambda: len(collector._connections) == 2)
        with Sender(context) as third_of_one:
            await third_of_one.ended()
        other = Sender(context, source="127.0.0.2")
        await until(lambda: len(collector._connections) == 3)
        with Sender(context, source="127.0.0.3") as fourth:
            await fourth.ended()
        first.close()
        await until(lambda: len(collector._connections) == 2)
        with Sender(context) as again:
            await again.send(lines(b"<1>one"))
            await until(lambda: context.lines)
        for sender in (second, other):
            sender.close()
        await until(lambda: not collector._by_source)
    assert context.counts["error.too_many_from_source"] == context.counts["error.too_many_connections"] == 1


async def test_a_flood_of_refused_connections_is_counted_and_told_once() -> None:
    context = tcp_context(allow=["127.0.0.9/32"])
    async with listening(context):
        for _ in range(50):
            with Sender(context) as sender:
                await sender.ended()
    assert context.counts["error.not_allowed"] == 50
    assert len(warnings(context, "connection refused")) == 1


def test_what_was_not_told_is_told_with_the_next_warning() -> None:
    rarely, always = Rarely(), Rarely(every_s=0)

    assert [rarely.times("a"), rarely.times("a"), rarely.times("b")] == [1, 0, 1]
    assert [always.times("a"), always.times("a")] == [1, 1]
    rarely._every_s = 0
    assert rarely.times("a") == 2


# ── how a connection ends ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("data", "messages", "counts"),
    [
        (lines(b"<1>one") + b"<1>no end", [b"<1>one", b"<1>no end"], {}),
        (counted(b"<1>one") + b"9 <1>no", [b"<1>one"], {"dropped.incomplete": 1}),
    ],
)
async def test_after_a_close_a_last_line_counts_and_a_cut_frame_does_not(
    data: bytes, messages: list[bytes], counts: dict[str, int]
) -> None:
    context = tcp_context()
    async with listening(context) as collector:
        with Sender(context) as sender:
            await sender.send(data)
        await until(lambda: len(context.lines) == len(messages) and not collector._connections)
    assert context.lines == messages
    assert context.counts == {"received": 2, "received_bytes": len(data), **counts}


async def test_a_reset_is_counted_and_the_others_go_on() -> None:
    context = tcp_context()
    async with listening(context) as collector:
        with Sender(context) as other:
            sender = Sender(context)
            await sender.send(lines(b"<1>one") + b"<1>not who")
            await until(lambda: context.lines)
            sender.reset()
            await until(lambda: len(collector._connections) == 1)
            await other.send(lines(b"<1>two"))
            await until(lambda: len(context.lines) == 2)
    assert context.lines == [b"<1>one", b"<1>two"]
    assert context.counts["error.connection_lost"] == context.counts["dropped.incomplete"] == 1


async def test_lost_framing_ends_that_connection_and_no_other() -> None:
    context = tcp_context()
    async with listening(context):
        with Sender(context) as broken, Sender(context) as sound:
            await broken.send(counted(b"<1>one") + b"\x1b[2Jnonsense")
            await broken.ended()
            await sound.send(lines(b"<1>two"))
            await until(lambda: len(context.lines) == 2)
    assert context.lines == [b"<1>one", b"<1>two"]
    assert context.counts["dropped.bad_frame"] == 1
    (warning,) = warnings(context, "framing lost, connection closed")
    assert warning["found"] == b"\x1b[2Jnonsense"


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 40, b"\0" * 99]
)
async def test_garbage_is_survived(garbage: bytes) -> None:
    context = tcp_context(max_bytes=256)
    async with listening(context) as collector:
        with Sender(context) as sender:
            await sender.send(garbage)
        await until(lambda: context.counts["received_bytes"] == len(garbage) and not collector._connections)
        with Sender(context) as sender:
            await sender.send(lines(b"<1>sound"))
            await until(lambda: b"<1>sound" in context.lines)


async def test_long_messages_are_cut_counted_and_told_once() -> None:
    context = tcp_context(max_bytes=256)
    async with listening(context):
        with Sender(context) as sender:
            await sender.send(lines(*[b"<1>" + b"x" * 1000] * 3, b"<1>short"))
            await until(lambda: len(context.lines) == 4)
    assert [len(line) for line in context.lines] == [256, 256, 256, 8]
    assert context.counts["error.too_long"] == 3
    assert len(warnings(context, "message cut at max_bytes")) == 1


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    context = tcp_context(idle_s=1.5)
    async with listening(context) as collector:
        with Sender(context) as idle, Sender(context) as busy:
            await idle.send(b"<1>begun")
            ending = asyncio.create_task(idle.ended())
            sent = 0
            while not ending.done():
                sent += 1
                await busy.send(lines(b"<1>beat"))
                await asyncio.sleep(0.02)
            await until(lambda: len(context.lines) == sent)
            assert len(collector._connections) == 1
    assert context.counts["error.idle"] == context.counts["dropped.incomplete"] == 1


async def test_a_half_open_connection_is_found_by_keepalive() -> None:
    context = tcp_context()
    async with listening(context) as collector:
        with Sender(context):
            await until(lambda: collector._connections)
            (connection,) = collector._connections
            sender = connection._transport.get_extra_info("socket")
            assert sender.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


# ── the stop ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_stop_hands_in_what_was_sent_before_the_sender_saw_it() -> None:
    context = tcp_context()
    sender = None
    async with listening(context):
        sender = Sender(context)
        await sender.send(lines(*numbered(1, 100)) + b"<1>half")
    await sender.ended()  # it did not look, so it was cut off in the end
    sender.close()
    assert context.lines == numbered(1, 100)
    assert context.counts["dropped.incomplete"] == 1


async def test_a_sender_that_looks_loses_nothing_at_a_stop() -> None:
    context = tcp_context()
    sent: list[bytes] = []

    async def send(sender: Sender) -> None:
        """Go on until the collector closes its side, as rsyslog does."""
        loop = asyncio.get_running_loop()
        end = asyncio.create_task(loop.sock_recv(sender.socket, 1))
        while not end.done():
            message = b"<1>%d" % len(sent)
            await sender.send(lines(message))
            sent.append(message)
            await asyncio.sleep(0)
        sender.close()

    async with listening(context):
        sending = asyncio.create_task(send(Sender(context)))
        await until(lambda: len(context.lines) > 100)
    await sending
    assert context.lines == sent
    assert set(context.counts) == {"received", "received_bytes"}


async def test_what_the_journal_does_not_take_at_a_stop_is_counted_as_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog_tcp, "STOP_S", 0.05)
    context = tcp_context()
    context.gate.clear()
    async with listening(context):
        with Sender(context) as sender:
            await sender.send(lines(*numbered(1, 2500)))
            await until(lambda: context.counts["received"] == 2500)
    assert context.lines == []
    assert context.counts["dropped.not_journalled"] == 2500
    assert warnings(context, "messages received are lost, the journal did not take them")[0]["records"] == 2500


# ── where it listens ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_port_in_use_is_told_with_the_remedy_and_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ComponentError, match=rf"127.0.0.1 port {port}: another program does; stop it") as caught:
            async with running(SyslogTcpCollector(tcp_context(port=port))):
                await asyncio.Event().wait()
    assert caught.value.retry


def test_an_address_of_another_machine_is_told_with_the_remedy() -> None:
    with pytest.raises(ComponentError, match="this machine has no such address; correct address"):
        listen_tcp("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EACCES, "Permission denied"), "permission denied; give socmon the capability CAP_NET_BIND"),
        (OSError(errno.EMFILE, "Too many open files"), "too many open files; correct address and port"),
        (ValueError("dualstack_ipv6 not supported"), "this machine has no IPv6"),
    ],
)
def test_each_reason_not_to_listen_has_its_remedy(error: OSError, told: str) -> None:
    assert f"cannot listen on :: port 514: {told}" in str(cannot_listen("::", 514, error))


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("address", "localhost", "'localhost' is no IP address; write one such as 127.0.0.1"),
        ("allow", ["10.1.2.3/8"], "has host bits set; write 10.0.0.0/8"),
        ("allow", ["office"], "write one such as 10.20.0.0/16 or 2001:db8::/32"),
        ("allow", [], "at least 1 item"),
        ("port", 70_000, "less than or equal to 65535"),
    ],
)
def test_a_mistaken_option_is_told_with_what_was_meant(option: str, value: object, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        SyslogTcpSettings.model_validate({option: value})


def test_the_default_listens_for_and_allows_this_machine_alone() -> None:
    settings = SyslogTcpSettings()

    assert (settings.address, settings.allow) == ("127.0.0.1", ["127.0.0.0/8", "::1/128"])
    assert settings.problems() == []


def test_listening_for_others_without_allowing_any_is_a_problem() -> None:
    (problem,) = SyslogTcpSettings(address="0.0.0.0").problems()

    assert "add the networks of the senders to allow" in problem
    assert SyslogTcpSettings(address="0.0.0.0", allow=["10.20.0.0/16"]).problems() == []
