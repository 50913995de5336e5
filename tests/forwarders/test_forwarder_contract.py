"""What every forwarder must do (socmon.component), tried on each kind."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from feed_kit import ORG, alert, centre_running, release
from harness import FakeContext
from mqtt_kit import broker_in, needs_mosquitto
from syslog_kit import receiver
from webhook_kit import Receiver

from forwarders._ncsc_settings import NcscSettings
from forwarders.file import FileForwarder, FileSettings
from forwarders.kafka import KafkaForwarder, KafkaSettings
from forwarders.mqtt import MqttForwarder, MqttSettings
from forwarders.ncsc import NcscForwarder
from forwarders.syslog import SyslogForwarder, SyslogSettings
from forwarders.webhook import WebhookForwarder
from socmon.component import Forwarder, Released
from socmon.feed.keys import generate, public_file

Opened = Callable[[Path], AbstractAsyncContextManager[Callable[[], Forwarder[Any]]]]


@asynccontextmanager
async def file_forwarder(folder: Path) -> AsyncIterator[Callable[[], Forwarder[Any]]]:
    yield lambda: FileForwarder(FakeContext(FileSettings(path=folder / "alerts.ndjson")))


@asynccontextmanager
async def ncsc_forwarder(folder: Path) -> AsyncIterator[Callable[[], Forwarder[Any]]]:
    keys = generate(folder / "keys", ORG)
    async with centre_running(folder, keys) as centre:
        key = f"file:{keys.client_key}"
        signing = {"signing_key": f"file:{keys.client_signing}", "centre_key": public_file(keys.centre_signing)}
        settings = NcscSettings.model_validate(
            {"url": centre.feed_url, "ca": keys.ca, "cert": keys.client, "key": key, "org_id": ORG, **signing}
        )
        yield lambda: NcscForwarder(FakeContext(settings))


@asynccontextmanager
async def webhook_forwarder(folder: Path) -> AsyncIterator[Callable[[], Forwarder[Any]]]:
    async with Receiver(folder).running() as receiver:
        yield lambda: WebhookForwarder(FakeContext(receiver.settings()))


@asynccontextmanager
async def mqtt_forwarder(folder: Path) -> AsyncIterator[Callable[[], Forwarder[Any]]]:
    with broker_in(folder / "broker") as broker:
        settings = MqttSettings(port=broker.port, tls=False)
        yield lambda: MqttForwarder(FakeContext(settings))


@asynccontextmanager
async def kafka_forwarder(_folder: Path) -> AsyncIterator[Callable[[], Forwarder[Any]]]:
    """As far as no broker is asked; with one: test_kafka_forwarder.py."""
    settings = KafkaSettings(servers=["127.0.0.1:1"], tls=False, topic="alerts")
    yield lambda: KafkaForwarder(FakeContext(settings))


@asynccontextmanager
async def syslog_forwarder(folder: Path) -> AsyncIterator[Callable[[], Forwarder[Any]]]:
    with receiver(folder) as real:
        yield lambda: SyslogForwarder(
            FakeContext(SyslogSettings(host="127.0.0.1", port=real.port, ca=real.ca, timeout_s=30))
        )


@pytest.mark.parametrize(
    ("opened", "repeated"),
    [
        (file_forwarder, "duplicate"),
        (ncsc_forwarder, "duplicate"),
        (webhook_forwarder, "duplicate"),
        # These know no repeats themselves; those behind them do, by (epoch, seq).
        pytest.param(mqtt_forwarder, "accepted", marks=needs_mosquitto),
        (syslog_forwarder, "accepted"),
    ],
)
async def test_a_forwarder_keeps_its_contract(tmp_path: Path, opened: Opened, repeated: str) -> None:
    async with opened(tmp_path) as make:
        first, second = make(), make()
        await first.open()
        stream = first.stream(alert())
        places = [release(seq, stream=stream) for seq in (1, 2, 3)]
        batch = [
            Released(place.seq, alert(place.seq).id, place, first.render(alert(place.seq), place)) for place in places
        ]

        sent = await first.send(batch[:2])
        await first.close()
        await second.open()
        sent_again = await second.send(batch)

        assert [(outcome.id, outcome.status) for outcome in sent] == [(1, "accepted"), (2, "accepted")]
        assert [outcome.status for outcome in sent_again] == [repeated, repeated, "accepted"]
        assert second.render(alert(1), places[0]) == batch[0].body
        await second.close()
        assert issubclass(first.settings_type, type(first.settings))


@pytest.mark.parametrize(
    ("opened", "changes"),
    [
        (file_forwarder, {"title": "\ud800"}),
        (file_forwarder, {"last_us": 10**19}),
        (file_forwarder, {"first_us": 10**40}),
        (file_forwarder, {"count": object()}),
        (webhook_forwarder, {"title": "\ud800"}),
        (webhook_forwarder, {"last_us": 10**19}),
        (kafka_forwarder, {"title": "\ud800"}),
        (kafka_forwarder, {"last_us": 10**19}),
        (syslog_forwarder, {"level": "mad"}),
        (syslog_forwarder, {"count": object()}),
        (syslog_forwarder, {"tags": [7]}),
        (ncsc_forwarder, {"title": "\ud800"}),
        (ncsc_forwarder, {"level": "mad"}),
        (ncsc_forwarder, {"tags": [7]}),
        (ncsc_forwarder, {"count": object()}),
    ],
)
async def test_an_alert_that_cannot_be_rendered_is_named(
    tmp_path: Path, opened: Opened, changes: dict[str, Any]
) -> None:
    async with opened(tmp_path) as make:
        forwarder = make()
        if opened is ncsc_forwarder:  # it signs by keys that it reads then
            await forwarder.open()
        with pytest.raises(ValueError, match=rf"^alert '{alert(3).id}' cannot be rendered: \w+: .*; report it"):
            forwarder.render(alert(3, **changes), release())
        await forwarder.close()
