"""A publisher over MQTT at QoS 1 that numbers its messages, and knows which of them the broker has acknowledged."""

import threading
from collections.abc import Callable

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

_PAUSE_S = 0.01
_MOST_UNANSWERED = 20


class NumberedPublisher:
    """Publishes messages number 0, 1, 2, …, each once, from `start` to `finish`; a thread of its own.

    What was on its way when a connection broke is not sent again: whether the broker has it, nobody knows.

    Args:
        message: (topic, payload) of a number.

    Attributes:
        acknowledged: numbers that the broker has.
        uncertain: numbers that it may have.
        sent: how many there are.
        allowed: how many there may be for now.
    """

    def __init__(self, port: int, message: Callable[[int], tuple[str, str]]) -> None:
        self.acknowledged: set[int] = set()
        self.uncertain: set[int] = set()
        self.sent = self.allowed = 0
        self._port = port
        self._message = message
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher")

    def start(self) -> None:
        self._thread.start()

    def more(self, count: int = 2) -> None:
        """Let it go on; so the stream flows as long as somebody waits for what comes of it."""
        self.allowed = min(self.allowed + count, self.sent + 10 * count)

    def finish(self) -> None:
        """Wait for what is on its way, and close the last connection in order."""
        self._ending.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._ending.wait(_PAUSE_S):
            client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5, reconnect_on_failure=False)
            answered: set[int] = set()
            over, connected = threading.Event(), threading.Event()
            client.on_connect = lambda *_, connected=connected: connected.set()
            client.on_publish = lambda _client, _data, mid, *_, answered=answered: answered.add(mid)
            client.on_disconnect = lambda *_, over=over: over.set()
            try:
                client.connect("127.0.0.1", self._port)
            except OSError:
                continue  # it restarts
            client.loop_start()
            numbers: dict[int, int] = {}
            if connected.wait(30):
                self._publish(client, numbers, answered, over)
            client.disconnect()
            client.loop_stop()
            self.acknowledged |= {number for mid, number in numbers.items() if mid in answered}
            self.uncertain |= {number for mid, number in numbers.items() if mid not in answered}

    def _publish(self, client: paho.Client, numbers: dict[int, int], answered: set[int], over: threading.Event) -> None:
        while not over.wait(_PAUSE_S):
            if len(numbers) - len(answered) > _MOST_UNANSWERED:
                continue
            if self._ending.is_set():
                if len(answered) == len(numbers):
                    return
                continue
            while self.sent < self.allowed:
                topic, payload = self._message(self.sent)
                numbers[client.publish(topic, payload, qos=1).mid] = self.sent
                self.sent += 1
