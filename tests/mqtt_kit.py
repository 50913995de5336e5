"""Debian's mosquitto as a real broker on a free loopback port, which can be stopped in order and started again."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import trustme
from field import wait_for
from harness import LIMIT_S
from port_kit import keep

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="no mosquitto here: apt install mosquitto")
USER, PASSWORD = "socmon", "trời xanh 1"


class Broker:
    """One mosquitto, its state in `folder`.

    Attributes:
        port: without TLS, for whoever comes.
        tls_port: with TLS and a password.
        cert_port: with TLS, for whoever shows a certificate such as `cert`.
        held: what keeps these ports from others while it is down.
    """

    def __init__(self, folder: Path, **options: str | int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.held = [keep() for _ in range(3)]
        self.port, self.tls_port, self.cert_port = (each.getsockname()[1] for each in self.held)
        self.process: subprocess.Popen[bytes] | None = None
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "broker.pem"))
        self.cert, self.key = folder / "client.pem", folder / "client.key"
        ours = authority.issue_cert(f"{USER}.example", common_name=USER)
        ours.cert_chain_pems[0].write_to_path(str(self.cert))
        ours.private_key_pem.write_to_path(str(self.key))
        self.password = folder / "password"
        self.password.write_text(f"{PASSWORD}\n")
        self._config(options)

    def _config(self, options: dict[str, str | int]) -> None:
        assert MOSQUITTO is not None
        users = self.folder / "users"
        users.write_text(f"{USER}:{PASSWORD}\n")
        subprocess.run(["mosquitto_passwd", "-U", str(users)], check=True, timeout=60)
        acl = options.pop("acl_file", None)  # belongs to a listener
        told = {"max_queued_messages": 0, "log_dest": f"file {self.folder}/log"} | options
        tls = [f"cafile {self.ca}", f"certfile {self.folder}/broker.pem", f"keyfile {self.folder}/broker.pem"]
        lines = [
            "per_listener_settings true",
            *(["user root"] if os.geteuid() == 0 else []),  # another one could not enter the folders of a test
            "persistence true",
            f"persistence_location {self.folder}/",
            *(f"{name} {value}" for name, value in told.items()),
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            *([f"acl_file {acl}"] if acl else []),
            f"listener {self.tls_port} 127.0.0.1",
            "allow_anonymous false",
            f"password_file {users}",
            *tls,
            f"listener {self.cert_port} 127.0.0.1",
            "require_certificate true",
            "use_identity_as_username true",
            *tls,
        ]
        (self.folder / "mosquitto.conf").write_text("".join(f"{line}\n" for line in lines))

    def start(self) -> None:
        assert MOSQUITTO is not None
        with (self.folder / "stderr").open("ab") as errors:
            self.process = subprocess.Popen(
                [MOSQUITTO, "-c", str(self.folder / "mosquitto.conf")], stdout=subprocess.DEVNULL, stderr=errors
            )
        wait_for(self._listens, "mosquitto listens")

    def stop(self) -> None:
        """In order: it writes down sessions and what waits for them."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0

    def restart(self) -> None:
        self.stop()
        self.start()

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "stderr").read_text()
        for port in (self.port, self.tls_port, self.cert_port):
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    return False
        return True

    def client(self, **options: Any) -> aiomqtt.Client:
        """One that is not socmon's, to publish or to subscribe."""
        return aiomqtt.Client("127.0.0.1", self.port, protocol=aiomqtt.ProtocolVersion.V5, **options)

    async def publish(self, topic: str, *payloads: bytes, qos: int = 1, retain: bool = False) -> None:
        async with self.client() as client:
            for payload in payloads:
                await client.publish(topic, payload, qos=qos, retain=retain)


@contextmanager
def broker_in(folder: Path, **options: str | int) -> Iterator[Broker]:
    """A broker that runs, and is ended, by id, whatever happens."""
    broker = Broker(folder, **options)
    try:
        broker.start()
        yield broker
    finally:
        if broker.process is not None and broker.process.poll() is None:
            broker.process.kill()
            broker.process.wait(30)
        for each in broker.held:
            each.close()


@contextmanager
def unheard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that the collector acknowledges meanwhile reaches the broker, nor is it told that it did."""

    async def barrier(*_: object) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as mute:
        mute.setattr("socmon.mqtt.connection.Connection.acknowledge", lambda *_: None)
        mute.setattr("socmon.mqtt.connection.Connection.barrier", barrier)
        yield


@asynccontextmanager
async def strange_broker(*answers: bytes) -> AsyncIterator[int]:
    """The port of one that accepts whoever comes, and then says `answers`, one to each packet it gets."""

    serving: list[asyncio.Task[Any] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        with suppress(OSError):
            for answer in (b"\x20\x03\x00\x00\x00", *answers):
                if not await reader.read(65536):
                    break
                writer.write(answer)
            await reader.read()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait([task for task in serving if task is not None], timeout=LIMIT_S)
