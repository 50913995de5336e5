"""A real Apache Kafka for tests: one node in KRaft mode on free ports of this machine, from the jars of tests/needs."""

import asyncio
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import trustme
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError
from cryptography.hazmat.primitives import serialization
from port_kit import keep

HOME = Path(__file__).parents[1] / ".venv" / "kafka"
POM = Path(__file__).parent / "kafka" / "pom.xml"
USER, PASSWORD = "socmon", "of-the-province"
MISSING = "Apache Kafka is not here: tests/needs fetches it where java and mvn are"
_ARCHIVE = HOME / "classes.jsa"  # what the JVM has loaded once: a start takes two thirds of the time
_START_S = 120.0
_SECURITY = "org.apache.kafka.common.security"
_JVM = ("-Xmx256m", "-Xss512k", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xlog:disable")
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{tls},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{tls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={root}/data
ssl.keystore.type=PEM
ssl.keystore.location={root}/broker.pem
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={security}.plain.PlainLoginModule required user_{user}="{password}";
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={security}.scram.ScramLoginModule required;
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=200
auto.create.topics.enable=false
num.network.threads=1
num.io.threads=2
background.threads=1
log.cleaner.enable=false
controlled.shutdown.enable=false
broker.heartbeat.interval.ms=100
broker.session.timeout.ms={session_ms}
controller.quorum.election.timeout.ms=100
controller.quorum.election.backoff.max.ms=100
"""


# It tells of each try while a broker is away, which is what most tests are about.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def is_here() -> bool:
    """Whether tests that need Kafka can run."""
    return (HOME / "made").exists() and shutil.which("java") is not None


class Broker:
    """One node, its data and its ports, which stay over restarts.

    Attributes:
        servers: HOST:PORT without encryption or account.
        tls: HOST:PORT with TLS and an account, USER with PASSWORD.
        ca: the authority of its certificate.
    """

    def __init__(self, root: Path, jvm: Sequence[str] = (), session_ms: int = 400) -> None:
        self.root = root
        self._jvm = jvm or ((f"-XX:SharedArchiveFile={_ARCHIVE}",) if _ARCHIVE.exists() else ())
        (root / "data").mkdir(parents=True)
        self._kept = [keep() for _ in range(3)]  # it must know its ports before it starts
        plain, tls, controller = [each.getsockname()[1] for each in self._kept]
        self.servers, self.tls = f"127.0.0.1:{plain}", f"127.0.0.1:{tls}"
        self._port = plain
        self.process: subprocess.Popen[bytes] | None = None
        self.ca = root / "ca.pem"
        self._make_certificate()
        numbers = {"plain": plain, "tls": tls, "controller": controller, "session_ms": session_ms}
        text = _PROPERTIES.format(root=root, security=_SECURITY, user=USER, password=PASSWORD, **numbers)
        (root / "server.properties").write_text(text)

    def format(self, *, scram: bool = False) -> None:
        """Make its data folder one of Kafka's; with an account for SCRAM that costs a start of Java."""
        # Not at random in the first byte: an id that begins with a dash is taken for an option.
        cluster = urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
        if not scram:
            (self.root / "data" / "meta.properties").write_text(f"version=1\ncluster.id={cluster}\nnode.id=1\n")
            return
        account = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
        command = [
            "kafka.tools.StorageTool",
            "format",
            "-t",
            cluster,
            "-c",
            "server.properties",
            "--add-scram",
            account,
        ]
        subprocess.run(self._java(*command), cwd=self.root, check=True, capture_output=True, timeout=_START_S)

    def start(self) -> None:
        with (self.root / "kafka.log").open("ab") as log:
            command = self._java("kafka.Kafka", "server.properties")
            self.process = subprocess.Popen(command, cwd=self.root, stdout=log, stderr=log)

    def wait(self) -> None:
        """Return when it takes requests."""
        deadline = time.monotonic() + _START_S
        while True:
            assert self.process is not None
            assert self.process.poll() is None, (self.root / "kafka.log").read_text()[-3000:]
            assert time.monotonic() < deadline, "Kafka did not come up"
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def halt(self) -> None:
        """Let it hang, its connections open, until `go_on`; returns when every one of its threads stands still."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def go_on(self) -> None:
        """End `halt`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def close(self) -> None:
        """Let go of its ports."""
        for each in self._kept:
            each.close()

    def _java(self, *command: str) -> list[str]:
        return ["java", *_JVM, *self._jvm, "-cp", f"{HOME / 'lib'}/*", *command]

    def _make_certificate(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca))
        issued = authority.issue_cert("127.0.0.1")
        key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
        # Java reads no other form of a key.
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        pem = key.private_bytes(encoding, form, serialization.NoEncryption())
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        (self.root / "broker.pem").write_bytes(pem + chain)

    # ── what tests do with it ────────────────────────────────────────────────────────────────────────────────────

    async def make_topic(self, name: str, partitions: int = 1, **options: Any) -> None:
        async def make() -> None:
            async with self.admin() as admin:
                with suppress(TopicAlreadyExistsError):  # by a try of which the answer was lost
                    await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=options)])
                while name not in await admin.list_topics():  # the node hears of it from itself
                    await asyncio.sleep(0.01)

        await _patiently(make)

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await _patiently(admin.start)
        try:
            yield admin
        finally:
            await admin.close()

    @asynccontextmanager
    async def producer(self, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(bootstrap_servers=self.servers, acks="all", **options)
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def send(self, topic: str, *values: bytes | None, partition: int | None = None, **options: Any) -> None:
        async with self.producer(**options) as producer:
            while partition and partition not in await producer.partitions_for(topic):
                await producer.client.force_metadata_update()
            sent = [await producer.send(topic, value, key=b"k", partition=partition) for value in values]
            await asyncio.gather(*sent)

    async def read(self, topic: str) -> dict[int, list[Any]]:
        """All that each partition holds, as a reader that is of no group sees it."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers, auto_offset_reset="earliest", isolation_level="read_committed"
        )
        await consumer.start()
        try:
            parts = [TopicPartition(topic, each) for each in sorted(await _partitions(consumer, topic))]
            consumer.assign(parts)
            ends = await consumer.end_offsets(parts)
            found: dict[int, list[Any]] = {part.partition: [] for part in parts}
            await consumer.seek_to_beginning(*parts)
            while any([await consumer.position(part) < ends[part] for part in parts]):
                for part, messages in (await consumer.getmany(timeout_ms=200)).items():
                    found[part.partition] += messages
            return found
        finally:
            await consumer.stop()

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        """What the group has of each partition."""
        async with self.admin() as admin:
            offsets = await _patiently(partial(admin.list_consumer_group_offsets, group))
            return {part.partition: at.offset for part, at in offsets.items() if part.topic == topic and at.offset >= 0}


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    return await consumer._client._wait_on_metadata(topic)  # type: ignore[no-any-return]


async def _patiently(call: Any) -> Any:
    """A node that has just come up may not know itself yet."""
    deadline = time.monotonic() + _START_S
    while True:
        try:
            return await call()
        except (KafkaError, AttributeError):  # aiokafka's, while the node knows no controller
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


@contextmanager
def broker_in(root: Path, *, scram: bool = False, jvm: Sequence[str] = (), session_ms: int = 400) -> Iterator[Broker]:
    """A node that runs; ended, by id, whatever happens.

    Args:
        session_ms: so long may it stand still before it takes itself for gone; a start after a kill waits as long.
    """
    broker = Broker(root, jvm, session_ms)
    try:
        broker.format(scram=scram)
        broker.start()
        broker.wait()
        yield broker
    finally:
        broker.stop()
        broker.close()


def fetch() -> None:
    """Fetch Kafka from Maven Central, and keep what the JVM loads at a start; nothing to do when that is done."""
    if (HOME / "made").exists():
        return
    shutil.rmtree(HOME, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={HOME / 'lib'}"]
    subprocess.run(command, check=True, timeout=600)
    with broker_in(HOME / "first", jvm=[f"-XX:ArchiveClassesAtExit={_ARCHIVE}"]) as broker:
        asyncio.run(broker.make_topic("first"))
        asyncio.run(broker.send("first", b"message"))
    shutil.rmtree(HOME / "first")
    (HOME / "made").touch()


if __name__ == "__main__":
    if shutil.which("mvn") and shutil.which("java"):
        fetch()
    else:
        sys.exit("java or mvn is missing")
