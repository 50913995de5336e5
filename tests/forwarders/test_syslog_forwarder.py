"""Forwarder `syslog`: an alert counts as delivered when the receiver has read it, and not before."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from feed_kit import alert, release
from harness import FakeContext, until
from listening_kit import where
from port_kit import kept_port
from pydantic import ValidationError
from syslog_kit import cef_of, frames, read_cef, receiver
from tcp_kit import listening, tcp_context

from forwarders.syslog import SyslogForwarder, SyslogSettings
from socmon.errors import BlockedError, ComponentError
from socmon.event import Record
from socmon.outgoing import Released
from socmon.parsers import parse


def forwarder_to(port: int, **options: Any) -> SyslogForwarder:
    settings = SyslogSettings(**{"host": "127.0.0.1", "port": port, "timeout_s": 30, **options})
    return SyslogForwarder(FakeContext(settings))


def batch(forwarder: SyslogForwarder, *numbers: int, **changes: Any) -> list[Released]:
    places = {number: release(number, destination="siem", stream="alerts") for number in numbers}
    return [
        Released(n, alert(n).id, place, forwarder.render(alert(n, **changes), place)) for n, place in places.items()
    ]


Handling = Callable[[socket.socket], object]


@asynccontextmanager
async def peer(handle: Handling) -> AsyncIterator[int]:
    """A listener that does `handle` with each connection, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            listener.settimeout(30)
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(30)
                handle(connection)

        serving = asyncio.create_task(asyncio.to_thread(serve))
        try:
            yield listener.getsockname()[1]
        finally:
            await serving


class Tls:
    """Both sides' keys, made at run time."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self.server)
        authority.configure_trust(self.server)
        ours = authority.issue_cert("socmon.example")
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        ours.cert_chain_pems[0].write_to_path(str(self.cert))
        ours.private_key_pem.write_to_path(str(self.key))


def read_all(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(65_536):
        data += piece
    return data


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_batch_is_read_by_the_receiver_before_it_counts_as_delivered(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    tls, seen = Tls(tmp_path), list[bytes]()
    tls.server.verify_mode = ssl.CERT_REQUIRED
    tls.server.minimum_version = tls.server.maximum_version = version

    def handle(plain: socket.socket) -> None:
        with tls.server.wrap_socket(plain, server_side=True) as connection:
            seen.append(read_all(connection))
            connection.unwrap().close()

    async with peer(handle) as port:
        forwarder = forwarder_to(port, ca=tls.ca, cert=tls.cert, key=f"file:{tls.key}")
        await forwarder.open()
        sent = batch(forwarder, 1, 2, 3, title="Dò mật khẩu | SSH")
        outcomes = await forwarder.send(sent)

    assert [(each.id, each.status) for each in outcomes] == [(n, "accepted") for n in (1, 2, 3)]
    assert frames(seen[0]) == [item.body for item in sent]
    assert read_cef(cef_of(sent[0].body.decode()))[0][5] == "Dò mật khẩu | SSH"


async def test_our_own_collector_reads_what_we_send() -> None:
    context = tcp_context()
    async with listening(context):
        forwarder = forwarder_to(where(context)[1], tls=False)
        await forwarder.send(batch(forwarder, 1, 2, level="critical"))
        await until(lambda: len(context.records) == 2)

    event = parse(Record(context.lines[1], context.records[1].source, 0))
    said = {name.partition(".")[2]: value for name, value in event.fields.items() if name.startswith("socmon@32473.")}
    place = release(2)
    assert said == {
        "id": alert(2).id,
        "revision": "5",
        "stream": "alerts",
        "epoch": place.epoch,
        "seq": "2",
        "status": "open",
    }
    assert event.time_us == place.released_us
    assert (event.fields["facility"], event.fields["severity"], event.fields["msgid"]) == (16, 2, "alert")
    assert event.fields["message"].startswith("CEF:0|socmon|")


async def test_structured_data_hold_whatever_stands_in_them() -> None:
    context = tcp_context()
    async with listening(context):
        forwarder = forwarder_to(where(context)[1], tls=False, hostname="soc.example", facility="authpriv")
        place = release(1)
        body = forwarder.render(alert(1, id='a"]\\ x\n'), place)
        await forwarder.send([Released(1, "a", place, body)])
        await until(lambda: context.records)

    event = parse(context.records[0])
    assert event.fields["socmon@32473.id"] == 'a"]\\ x\\x0a'
    assert event.host == "soc.example"


def close_unread(connection: socket.socket) -> None:
    """As the kernel closes for a process that is killed: what it has not read makes the end a reset."""
    connection.recv(1, socket.MSG_PEEK)


def close_quietly(tls: Tls) -> Handling:
    def handle(plain: socket.socket) -> None:
        connection = tls.server.wrap_socket(plain, server_side=True)
        read_all(connection)
        socket.socket(fileno=connection.detach()).close()

    return handle


async def test_what_a_receiver_has_not_read_is_sent_again() -> None:
    async with peer(close_unread) as port:
        forwarder = forwarder_to(port, tls=False)
        with pytest.raises(ComponentError, match=r"cannot deliver to 127\.0\.0\.1:\d+: connection reset by peer"):
            await forwarder.send(batch(forwarder, 1))


async def test_a_receiver_that_dies_behind_tls_has_nothing_delivered_unless_its_silence_is_usual(
    tmp_path: Path,
) -> None:
    tls = Tls(tmp_path)
    async with peer(close_quietly(tls)) as port:
        forwarder = forwarder_to(port, ca=tls.ca)
        with pytest.raises(ComponentError, match=r"closed without an end of TLS, .* close_notify: false"):
            await forwarder.send(batch(forwarder, 1))
    async with peer(close_quietly(tls)) as port:
        forwarder = forwarder_to(port, ca=tls.ca, close_notify=False)
        assert [each.status for each in await forwarder.send(batch(forwarder, 1))] == ["accepted"]


async def test_a_receiver_that_never_closes_is_not_waited_for_without_end() -> None:
    given_up = threading.Event()
    async with peer(lambda _: given_up.wait(30)) as port:
        forwarder = forwarder_to(port, tls=False, timeout_s=0.3)
        with pytest.raises(ComponentError, match=r"took longer than 0\.3 s|no answer, or no end, within 0\.3 s"):
            await forwarder.send(batch(forwarder, 1))
        given_up.set()


async def test_one_that_talks_is_no_receiver() -> None:
    def talk(connection: socket.socket) -> None:
        read_all(connection)
        with suppress(ConnectionError):
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n" * 20_000)

    async with peer(talk) as port:
        forwarder = forwarder_to(port, tls=False)
        with pytest.raises(ComponentError, match="talks instead of closing; is it a receiver of syslog"):
            await forwarder.send(batch(forwarder, 1))


async def test_one_who_is_not_the_receiver_is_told_nothing(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    stranger = Tls(other)
    with receiver(tmp_path) as real:
        for options, reason in (
            ({"ca": stranger.ca}, "server_untrusted"),
            ({"ca": real.ca, "host": "localhost"}, "server_name"),
        ):
            forwarder = forwarder_to(real.port, **options)
            with pytest.raises(BlockedError) as caught:
                await forwarder.send(batch(forwarder, 1))
            assert caught.value.reason == reason
        assert real.messages() == []
    assert "write in host a name" in caught.value.remedy


async def test_a_receiver_that_wants_a_certificate_is_never_taken_for_one_that_has_read(tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    tls.server.verify_mode = ssl.CERT_REQUIRED

    def refuse(plain: socket.socket) -> None:
        with pytest.raises(ssl.SSLError):
            tls.server.wrap_socket(plain, server_side=True)

    for _ in range(20):  # the alert races with the data, and each order must be told
        async with peer(refuse) as port:
            forwarder = forwarder_to(port, ca=tls.ca)
            with pytest.raises(ComponentError, match=r"the receiver refused the connection|reset|end of TLS|eof|pipe"):
                await forwarder.send(batch(forwarder, 1))


async def test_where_nobody_listens_that_is_said() -> None:
    with kept_port() as port:
        forwarder = forwarder_to(port, tls=False)
        with pytest.raises(ComponentError, match="nothing listens there; is it up, are host and port right"):
            await forwarder.send(batch(forwarder, 1))


async def test_a_killed_receiver_gets_everything_from_its_next_life_on(tmp_path: Path) -> None:
    with receiver(tmp_path) as real:
        forwarder = forwarder_to(real.port, ca=real.ca)
        first = batch(forwarder, 1, 2)
        await forwarder.send(first)
        real.kill()
        with pytest.raises(ComponentError):
            await forwarder.send(batch(forwarder, 3))
        real.start()
        last = batch(forwarder, 3)
        await forwarder.send(last)

        assert real.messages() == [item.body.decode() for item in [*first, *last]]


@pytest.mark.parametrize(
    "options",
    [
        {"host": "siem.example", "tls": False},
        {"host": "siem.example", "cert": "/c.pem"},
        {"host": "siem.example", "key": "file:/k.pem"},
        {"host": "two words"},
        {"host": "siem.example", "app_name": "a b"},
        {"host": "siem.example", "facility": "kern"},
        {"host": "siem.example", "max_bytes": 1000},
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any]) -> None:
    SyslogSettings(host="siem.example", tls=False, allow_plain=True)
    SyslogSettings(host="localhost", tls=False)

    with pytest.raises(ValidationError):
        SyslogSettings(**options)


async def test_keys_that_are_missing_show_before_there_is_an_alert(tmp_path: Path) -> None:
    forwarder = forwarder_to(1, ca=tmp_path / "none.pem")

    with pytest.raises(BlockedError) as caught:
        await forwarder.open()

    assert caught.value.reason == "own_unreadable"
    assert not forwarder.settings.problems()
