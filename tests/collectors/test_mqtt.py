"""Collector `mqtt` with a real mosquitto: what is acknowledged when, what comes twice, whom it trusts."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trustme
from harness import FakeContext, running, until
from mqtt_kit import PASSWORD, USER, Broker, broker_in, needs_mosquitto, strange_broker, unheard

from collectors import mqtt
from collectors.mqtt import MqttCollector, MqttSettings
from socmon.errors import BlockedError, ComponentError

pytestmark = needs_mosquitto
SUBACK = b"\x90\x04\x00\x01\x00\x01"
MqttContext = FakeContext[MqttSettings]
Settled = Callable[..., MqttContext]
_numbers = count()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker_in(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture
def settled(broker: Broker, request: pytest.FixtureRequest) -> Settled:
    """Makes a context with a session of the test's own; with `after`, of what went on before."""
    name = re.sub(r"\W", "-", request.node.name[:50]) + f"-{next(_numbers)}"

    def make(after: MqttContext | None = None, **options: Any) -> MqttContext:
        given = {"port": broker.port, "tls": False, "client_id": name, "topics": [f"{name}/#"]} | options
        settings = MqttSettings.model_validate(given)
        return FakeContext(settings, name="sensors", positions=after.positions if after else None)

    return make


def topic_of(context: MqttContext, below: str = "t") -> str:
    return f"{context.settings.client_id}/{below}"


@asynccontextmanager
async def subscribed(context: MqttContext) -> AsyncIterator[MqttCollector]:
    collector = MqttCollector(context)
    async with running(collector):
        await until(lambda: any(entry["event"] == "subscribed" for entry in context.logged))
        yield collector


async def until_it_ends(context: MqttContext, then: Callable[[], None]) -> None:
    async with subscribed(context):
        then()
        await until(lambda: False)


def numbered(first: int, last: int) -> list[bytes]:
    return [b'{"sensor":"t1","n":%d}' % number for number in range(first, last + 1)]


async def test_a_payload_is_a_record_and_its_topic_is_the_peer(broker: Broker, settled: Settled) -> None:
    context = settled()
    async with subscribed(context):
        await broker.publish(topic_of(context, "phòng 1/nhiệt độ"), b'{"t":21}\n{"t":22}', b"")
        await until(lambda: len(context.records) == 2)

    assert context.lines == [b'{"t":21}\n{"t":22}', b""]
    assert {(each.source.collector, each.source.peer) for each in context.records} == {
        ("sensors", topic_of(context, "phòng 1/nhiệt độ"))
    }
    assert context.counts["received"] == 2
    assert context.beats


async def test_what_the_journal_does_not_have_is_not_acknowledged_and_comes_again(
    broker: Broker, settled: Settled
) -> None:
    context = settled(in_flight=5)
    async with subscribed(context):
        context.gate.clear()
        await broker.publish(topic_of(context), *numbered(1, 30))
        await until(lambda: context.waiting)

    assert context.records == []
    assert context.counts["received"] <= 5  # the broker keeps the others back

    again = settled(context)
    async with subscribed(again):
        await until(lambda: len(again.records) == 30)
    assert again.lines == numbered(1, 30)
    assert again.counts["error.repeated"] == 0


async def test_a_repeat_of_what_the_journal_has_is_acknowledged_and_not_journalled(
    broker: Broker, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = settled(in_flight=10)
    with unheard(monkeypatch):
        async with subscribed(context):
            await broker.publish(topic_of(context), *numbered(1, 30))
            await until(lambda: len(context.records) == 10)

    again = settled(context, in_flight=3)  # fewer than the broker may repeat; mosquitto sends more all the same
    async with subscribed(again):
        await until(lambda: len(again.records) == 20)
    assert context.lines + again.lines == numbered(1, 30)
    assert again.counts["error.repeated"] == 10

    third = settled(again)
    async with subscribed(third):
        await broker.publish(topic_of(context), b"the last")
        await until(lambda: third.records)
    assert third.lines == [b"the last"]
    assert third.counts["error.repeated"] == 0


async def test_equal_payloads_are_all_kept_before_and_after_a_restart_of_both(
    broker: Broker, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = settled()
    with unheard(monkeypatch):
        async with subscribed(context):
            await broker.publish(topic_of(context), b"alive", b"alive")
            await until(lambda: len(context.records) == 2)
    await broker.publish(topic_of(context), b"alive")

    broker.restart()
    again = settled(context)
    async with subscribed(again):
        await broker.publish(topic_of(context), b"alive")
        await until(lambda: len(again.records) >= 2)

    assert again.lines == [b"alive", b"alive"]
    assert again.counts["error.repeated"] == 2


async def test_the_end_of_the_broker_ends_the_run(broker: Broker, settled: Settled) -> None:
    with pytest.raises(ComponentError, match=rf"127\.0\.0\.1:{broker.port}: it ended without a word; it restarts, or"):
        await until_it_ends(settled(), broker.restart)


async def test_a_session_that_another_takes_over_says_so(settled: Settled) -> None:
    async with strange_broker(SUBACK + b"\xe0\x02\x8e\x00") as port:
        with pytest.raises(ComponentError, match="another client has the same client_id; give each its own"):
            await MqttCollector(settled(port=port)).run()


async def test_qos_0_is_taken_and_counted_as_such(broker: Broker, settled: Settled) -> None:
    context = settled()
    context.room = 2
    async with subscribed(context):
        await broker.publish(topic_of(context), b"1", b"2", b"3", qos=0)
        await until(lambda: context.counts["error.qos_0"] == 3 and context.counts["dropped.full"])

    assert context.lines == [b"1", b"2"]
    assert context.positions == {}
    assert [entry["topic"] for entry in context.logged if "QoS 0" in entry["event"]] == [topic_of(context)]


async def test_what_comes_at_qos_0_while_the_run_ends_is_kept(
    broker: Broker, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "GATHER_S", 600)
    context, written = settled(), asyncio.Event()

    async def emit(batch: object) -> None:
        context.waiting += 1
        try:
            await written.wait()
        except asyncio.CancelledError:  # what is being written already is written
            await written.wait()
            raise

    monkeypatch.setattr(context, "emit", emit)
    async with running(MqttCollector(context)) as run:
        await until(lambda: any(entry["event"] == "subscribed" for entry in context.logged))
        await broker.publish(topic_of(context), b"sure")
        await until(lambda: context.waiting)
        run.cancel()
        await broker.publish(topic_of(context), b"late", qos=0)
        await until(lambda: context.counts["error.qos_0"])
        written.set()
    assert context.lines == [b"late"]


@pytest.mark.parametrize("wanted", [False, True])
async def test_what_the_broker_retains_comes_only_if_it_is_wanted_and_once(
    broker: Broker, settled: Settled, wanted: bool
) -> None:
    context = settled(retained=wanted)
    await broker.publish(topic_of(context), b"an old state", retain=True)
    async with subscribed(context):
        await broker.publish(topic_of(context), b"live")
        await until(lambda: b"live" in context.lines)
    again = settled(context, retained=wanted)
    async with subscribed(again):
        await broker.publish(topic_of(context), b"live")
        await until(lambda: b"live" in again.lines)

    assert context.lines == ([b"an old state"] if wanted else []) + [b"live"]
    assert again.lines == [b"live"]


async def test_shared_subscriptions_and_single_levels_are_understood(broker: Broker, settled: Settled) -> None:
    context = settled(topics=["$share/soc/shared/+/t", "single/+"])
    async with subscribed(context):
        await broker.publish("shared/a/t", b"1")
        await broker.publish("shared/a/t/deeper", b"2")
        await broker.publish("single/x", b"3")
        await until(lambda: len(context.records) == 2)
    assert context.lines == [b"1", b"3"]


async def test_a_long_message_is_cut_and_its_repeat_known_all_the_same(
    broker: Broker, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = settled(max_bytes=256)
    with unheard(monkeypatch):
        async with subscribed(context):
            await broker.publish(topic_of(context), b"x" * 300, b"y" * 256)
            await until(lambda: len(context.records) == 2)
    assert context.lines == [b"x" * 256, b"y" * 256]
    assert context.counts["error.too_long"] == 1

    again = settled(context, max_bytes=256)
    async with subscribed(again):
        await until(lambda: again.counts["error.repeated"] == 2)
    assert again.records == []


async def test_a_topic_over_its_quota_goes_apart_and_the_position_tells_of_what_is_journalled(
    broker: Broker, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = settled()
    loud, quiet = topic_of(context, "loud"), topic_of(context, "quiet")
    context.over[loud] = asyncio.Event()
    async with subscribed(context):
        async with broker.client() as client:
            for number in range(4):
                await client.publish(loud if number % 2 else quiet, b"%d" % number, qos=1)
        await until(lambda: context.waiting and b"0" in context.lines)
    assert b"1" not in context.lines

    again = settled(context)
    async with subscribed(again):
        await until(lambda: len(context.records) + len(again.records) == 4)
    assert sorted(context.lines + again.lines) == [b"0", b"1", b"2", b"3"]


async def test_made_up_topics_become_one_source(
    broker: Broker, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "MAX_TOPICS", 2)
    context = settled()
    async with subscribed(context):
        for name in ("a", "b", "c", "d", "a"):
            await broker.publish(topic_of(context, name), name.encode())
        await until(lambda: len(context.records) == 5)
    assert [each.source.peer for each in context.records] == [
        topic_of(context, "a"), topic_of(context, "b"), "#", "#", topic_of(context, "a")
    ]  # fmt: skip
    assert context.counts["error.too_many_topics"] == 2


async def test_a_broker_with_tls_and_a_password_is_used(broker: Broker, settled: Settled) -> None:
    secure = {"port": broker.tls_port, "tls": True, "ca": broker.ca}
    context = settled(**secure, username=USER, password=f"file:{broker.password}")
    async with subscribed(context):
        await broker.publish(topic_of(context), b"through")
        await until(lambda: context.records)
    assert context.lines == [b"through"]
    assert PASSWORD not in str(context.logged)


async def test_a_broker_that_asks_for_a_certificate_is_shown_ours(
    broker: Broker, settled: Settled, tmp_path: Path
) -> None:
    secure = {"port": broker.cert_port, "tls": True, "ca": broker.ca}
    context = settled(**secure, cert=broker.cert, key=f"file:{broker.key}")
    async with subscribed(context):
        await broker.publish(topic_of(context), b"through")
        await until(lambda: context.records)
    assert context.lines == [b"through"]

    stranger = trustme.CA().issue_cert("socmon.example")
    cert, key = tmp_path / "stranger.pem", tmp_path / "stranger.key"
    stranger.cert_chain_pems[0].write_to_path(str(cert))
    stranger.private_key_pem.write_to_path(str(key))
    for shown, reason in ({}, "refused_missing"), ({"cert": cert, "key": f"file:{key}"}, "refused_untrusted"):
        with pytest.raises(BlockedError, match=r"does not accept our certificate.*set cert and key") as caught:
            await MqttCollector(settled(**secure, **shown)).run()
        assert caught.value.reason == reason


async def test_who_is_refused_or_not_trusted_is_told_why(broker: Broker, settled: Settled, tmp_path: Path) -> None:
    secure = {"port": broker.tls_port, "tls": True, "ca": broker.ca, "username": USER}
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    where = rf"127\.0\.0\.1:{broker.tls_port}"
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "wrong password": ({"password": f"file:{wrong}"}, rf"^{where} refuses us: not authorized; correct username"),
        "no such file": ({"password": f"file:{tmp_path}/none"}, "cannot read .*none: no such file"),
        "other authority": ({"ca": stranger}, f"{where}: the broker's certificate is not signed by {stranger}"),
        "other name": ({"host": "localhost"}, "certificate is for another name .*write in host a name that it holds"),
        "no TLS there": ({"port": broker.port}, "^(no TLS with|no connection with)"),
        "no TLS here": ({"tls": False, "ca": None}, "ended without a word|no connection with"),
        "nobody there": ({"port": 1}, "nothing listens at 127.0.0.1:1; is the broker up"),
    }
    for changes, words in cases.values():
        with pytest.raises(ComponentError, match=words) as caught:
            await MqttCollector(settled(**(secure | changes))).run()
        assert caught.value.retry
        assert "wrong" not in str(caught.value).replace("wrong password", "")


async def test_a_topic_that_may_not_be_read_is_named(settled: Settled) -> None:
    async with strange_broker(b"\x90\x04\x00\x01\x00\x87") as port:
        context = settled(port=port, topics=["secret/#"])
        with pytest.raises(ComponentError, match=r"refuses to let us read 'secret/#' \(Not authorized\); correct"):
            await MqttCollector(context).run()


async def test_of_a_broker_that_sends_more_than_it_may_no_more_is_read_for_a_while(
    settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "MAX_WAITING", 2)
    published = b"".join(b"\x32\x07\x00\x01t\x00%c\x00%c" % (number, 48 + number) for number in range(1, 10))
    async with strange_broker(SUBACK + published) as port:
        context = settled(port=port, in_flight=1)
        context.gate.clear()
        async with subscribed(context) as collector:
            await until(lambda: context.waiting)
            assert len(collector._waiting) <= 2
            context.gate.set()
            await until(lambda: len(context.records) == 9)
    assert context.lines == [b"%d" % number for number in range(1, 10)]


async def test_what_the_broker_knows_to_be_acknowledged_is_forgotten(broker: Broker, settled: Settled) -> None:
    context = settled()
    async with subscribed(context) as collector:
        await broker.publish(topic_of(context), *numbered(1, 100))
        await until(lambda: len(context.records) == 100 and not len(collector._seen))
    assert len(context.positions[context.settings.client_id]) < 1000


@pytest.mark.parametrize("rubbish", [b"\xff" * 40, b"\x32\x05\x00\xff123", b"\x30\x04\x00\x01\xffx", bytes(9)])
async def test_rubbish_of_a_broker_ends_the_connection_or_is_taken_but_never_hangs(
    settled: Settled, rubbish: bytes
) -> None:
    async with strange_broker(SUBACK + rubbish + b"\xe0\x00") as port:
        with pytest.raises(ComponentError, match=f"127.0.0.1:{port}"):
            await MqttCollector(settled(port=port)).run()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"topics": ["a#"]}, "no topic to subscribe to: [+] stands for one whole level"),
        ({"topics": ["a/#/b"]}, "at the end"),
        ({"topics": ["$share/x"]}, r"write \$share/GROUP/TOPICS"),
        ({"topics": [""]}, "1 to 65535 bytes"),
        ({"topics": []}, "at least 1 item"),
        ({"client_id": "a b"}, "pattern"),
        ({"password": "file:/p"}, "a password needs a username"),
        ({"cert": "/c"}, "cert and key belong together"),
        ({"ca": "/c"}, "ca, cert and key are for TLS"),
        ({"in_flight": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(settled: Settled, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        settled(**options)


def test_a_password_in_the_clear_is_told_of(settled: Settled, tmp_path: Path) -> None:
    (tmp_path / "p").write_text("p")
    port = settled().settings.port
    clear = {"username": "u", "password": f"file:{tmp_path}/p"}
    assert settled(**clear, host="broker.example").settings.problems() == [
        f"the password goes to broker.example:{port} readable for everybody on the way; set tls to true"
    ]
    assert settled(**clear).settings.problems() == []
