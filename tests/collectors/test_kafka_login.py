"""Signing in to a real Kafka over TLS: what works, and what each refusal says. Collector and forwarder share it."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from harness import FakeContext, running, until
from kafka_kit import PASSWORD, USER, Broker

from collectors._kafka_settings import KafkaSettings
from collectors.kafka import KafkaCollector
from socmon.errors import BlockedError, ComponentError


def settings(broker: Broker, folder: Path, secret: str = PASSWORD, **changes: Any) -> KafkaSettings:
    file = folder / "kafka.password"
    file.write_text(secret + "\n")
    options = {"servers": [broker.tls], "ca": broker.ca, "username": USER, "password": f"file:{file}"}
    return KafkaSettings.model_validate(options | {"topics": ["secret"], "start": "beginning"} | changes)


@pytest.fixture(scope="module")
def topic(kafka: Broker) -> str:
    async def make() -> None:
        await kafka.make_topic("secret")
        await kafka.send("secret", b"behind TLS")

    asyncio.run(make())
    return "secret"


async def refusal_of(settings: KafkaSettings) -> ComponentError:
    """What the collector fails with; no connection is left open behind it."""
    with pytest.raises(ComponentError) as failure:
        async with running(KafkaCollector(FakeContext(settings))):
            await asyncio.sleep(60)
    only_its_own_pipe = 1
    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    await until(lambda: len(selector.get_map()) == only_its_own_pipe)
    return failure.value


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
@pytest.mark.usefixtures("topic")
async def test_an_account_is_let_in_over_tls(kafka: Broker, tmp_path: Path, mechanism: str) -> None:
    context = FakeContext(settings(kafka, tmp_path, mechanism=mechanism, group=mechanism), name=mechanism)
    async with running(KafkaCollector(context)):
        await until(lambda: context.lines == [b"behind TLS"])
    assert all(PASSWORD not in str(entry) for entry in context.logged)


@pytest.mark.parametrize(
    ("secret", "changes", "reason", "says"),
    [
        ("wrong", {"mechanism": "PLAIN"}, "kafka_login", "does not let us in by .*look at username, password"),
        ("wrong", {}, "kafka_login", "does not let us in by .*look at username, password"),
        (
            PASSWORD,
            {"mechanism": "SCRAM-SHA-256"},
            "kafka_login",
            "us in by SCRAM-SHA-256: .*UnsupportedSasl",
        ),
        (PASSWORD, {"ca": None}, "server_untrusted", "not signed by an authority of this system.*set ca"),
        ("", {}, "own_unusable", "holds no password"),
        (PASSWORD, {"password": "file:/no/such"}, "own_unreadable", "cannot read /no/such"),
        (PASSWORD, {"ca": "/no/such"}, "own_unreadable", "cannot read /no/such"),
    ],
)
@pytest.mark.usefixtures("topic")
async def test_a_refusal_says_whose_move_it_is(
    kafka: Broker, tmp_path: Path, secret: str, changes: dict[str, Any], reason: str, says: str
) -> None:
    refusal = await refusal_of(settings(kafka, tmp_path, secret, **changes))

    assert isinstance(refusal, BlockedError)
    assert refusal.reason == reason
    assert re.search(says, str(refusal))
    assert PASSWORD not in str(refusal)


async def test_a_certificate_for_another_name_is_refused(kafka: Broker, tmp_path: Path) -> None:
    server = kafka.tls.replace("127.0.0.1", "localhost")

    refusal = await refusal_of(settings(kafka, tmp_path, servers=[server]))

    assert isinstance(refusal, BlockedError)
    assert refusal.reason == "server_name"


async def test_tls_at_a_port_without_it_is_told(kafka: Broker, tmp_path: Path) -> None:
    refusal = await refusal_of(settings(kafka, tmp_path, servers=[kafka.servers]))

    assert "Kafka at 127.0.0.1" in str(refusal)


def test_an_account_in_the_clear_is_warned_of_except_on_this_machine(kafka: Broker, tmp_path: Path) -> None:
    far = settings(kafka, tmp_path, servers=["127.0.0.1:9092", "kafka.example:9092"], tls=False, ca=None)
    near = settings(kafka, tmp_path, servers=["127.0.0.1:9092", "localhost:9092", "[::1]:9092"], tls=False, ca=None)

    assert far.exposes_password
    assert any("without encryption" in problem for problem in far.problems())
    assert not near.exposes_password
    assert near.problems() == []
