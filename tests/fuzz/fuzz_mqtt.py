"""Fuzz target: topics and payloads of messages, what a broker sends, and positions of collector `mqtt`.

Run `python -m atheris tests/fuzz/fuzz_mqtt.py` where atheris is installed; test_fuzz_mqtt.py feeds it with hypothesis.
"""

from harness import FakeContext

from collectors._seen_messages import SeenMessages, digest_of
from collectors.mqtt import MqttCollector, MqttSettings
from socmon.mqtt.connection import Connection, Message
from socmon.mqtt.settings import BrokerSettings


def one_input(data: bytes) -> None:
    """Whatever the bytes, a position is read or nothing, and each message becomes records of bounded size."""
    seen = SeenMessages.decode(data)
    assert SeenMessages.decode(seen.encode()).encode() == seen.encode()
    topic, _, payload = data.partition(b"\0")
    name = topic.decode("utf-8", "backslashreplace")
    assert len(digest_of(name, payload)) == 8
    settings = MqttSettings(client_id="c", topics=["#"], max_bytes=256)
    context = FakeContext(settings)
    collector = MqttCollector(context)
    collector._waiting = [Message(name, payload, 1, 7, True, 0), Message(name, payload, 1, 8, False, 0)]
    count, fresh = collector._next_batch()
    assert count == len(fresh) == 2
    assert all(len(each.record.data) <= 256 and len(each.record.source.peer) <= 512 for each in fresh)


async def one_packet(data: bytes) -> list[Message]:
    """Whatever a broker's PUBLISH holds, it is a message, or ends the connection."""
    came: list[Message] = []
    connection = Connection(BrokerSettings(), "c", owner="fuzz", received=came.append)
    paho = connection._client
    paho._in_packet["command"] = 0x32
    paho._in_packet["packet"] = bytearray(data)
    connection._do(paho._handle_publish)
    assert came or connection.lost.done()
    connection.shut()
    for message in came:
        message.topic.encode()
    return came
