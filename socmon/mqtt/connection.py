"""A connection to an MQTT 5 broker.

aiomqtt 2 acknowledges a message before anybody has seen it, and tells neither whether it is a repeat (DUP) nor what the
broker said of a publication. paho below it knows all that, so `Connection` asks paho; no other file does.
"""

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import aiomqtt
from msgspec import Struct
from paho.mqtt.client import Client as Paho
from paho.mqtt.client import ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from socmon.errors import BlockedError, ComponentError
from socmon.mqtt.settings import BrokerSettings
from socmon.mqtt.trouble import trouble
from socmon.worker import Worker

NEVER_SUBSCRIBED = "socmon/never-subscribed"  # to unsubscribe from it changes nothing, and is answered
MAX_PACKET_BYTES = 4 * 1024 * 1024
_KEEPALIVE_S = 30
_REFUSED = 0x80  # reason codes from here on are failures (section 2.4)
_MOST_UNANSWERED = 20  # publications; brokers that take fewer say so
_OVERHEAD_BYTES = 64  # of a PUBLISH packet, beside topic and payload
# Nothing of aiomqtt's and paho's own log: what matters reaches the component as an error.
_silent = logging.getLogger("socmon.mqtt.silent")
_silent.disabled = True
# They outlive connections: whoever connects anew finds the thread that a hung attempt was left to.
_workers: dict[str, Worker] = {}


class Message(Struct, frozen=True):
    """What was published.

    Attributes:
        number: packet identifier; 0 at QoS 0.
        repeated: the broker sends it again, since it has seen no acknowledgement (DUP).
    """

    topic: str
    payload: bytes
    qos: int
    number: int
    repeated: bool
    received_us: int


class _TlsSocket(ssl.SSLSocket):
    """Keeps what the broker said: in TLS 1.3 it looks at our certificate after the handshake, and paho tells nobody."""

    said: ssl.SSLError | None = None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.said = error
            raise


class Connection(aiomqtt.Client):
    """One connection, used once. All methods belong to the event loop's thread.

    Args:
        owner: name of the component, which has one connection at a time.
        session_s: how long the broker keeps our session after the end of a connection; 0 for no session.
        in_flight: messages at QoS 1 that the broker may send before the first of them is acknowledged.
        received: called with each message.

    Attributes:
        resumed: the broker knows our session; set by `open`.
        kept_s: how long it will keep the session; brokers may shorten that.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        *,
        owner: str,
        session_s: int = 0,
        in_flight: int = 1,
        received: Callable[[Message], None] = lambda _message: None,
    ) -> None:
        wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        wishes.SessionExpiryInterval = session_s
        wishes.ReceiveMaximum = in_flight
        wishes.MaximumPacketSize = MAX_PACKET_BYTES
        super().__init__(
            settings.host,
            settings.port,
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=not session_s,
            properties=wishes,
            keepalive=_KEEPALIVE_S,
            logger=_silent,
        )
        self._client.manual_ack_set(on=True)
        self._settings = settings
        self._owner = owner
        self._received = received
        self._dialling = threading.Lock()
        self._socket: socket.socket | None = None
        self._shut = False
        self._answers: dict[int, asyncio.Future[ReasonCode]] = {}
        self._barriers: dict[int, asyncio.Future[None]] = {}
        self._room = asyncio.Semaphore(_MOST_UNANSWERED)
        self._largest = MAX_PACKET_BYTES
        self._reading: int | None = None
        self._paused = False
        self.resumed = False
        self.kept_s = session_s

    @property
    def lost(self) -> "asyncio.Future[None]":
        """Done when the connection is over; `failure` says why."""
        return self._disconnected

    async def open(self, timeout_s: float) -> None:
        """Connect, within `timeout_s`.

        Raises:
            ComponentError: the broker is not there, or not who it should be, or refuses us.
        """
        place = self._settings.place
        name = f"{self._owner}, connecting to {place}"
        worker = _workers.setdefault(name, Worker(name))
        if worker.busy:
            raise ComponentError(f"the last attempt to connect to {place} still hangs; check the name servers")
        try:
            async with asyncio.timeout(timeout_s):
                await worker.run(self._dial, timeout_s)
                self._client_connect()
                await self._connected
        except TimeoutError as error:
            raise ComponentError(f"{place} did not answer within {timeout_s:g} s; is it an MQTT broker?") from error
        except (OSError, ValueError, aiomqtt.MqttError) as error:
            raise trouble(self._settings, error) from error

    def shut(self) -> None:
        """Close, at once; the broker is told, and keeps the session."""
        with self._dialling:
            self._shut = True
            opened = self._socket
        if self._client.is_connected():
            self._client.disconnect()
            self._client.loop_write()
        self._client._sock_close()  # noqa: SLF001  paho has no other way to let go of a connection that hangs
        if opened is not None:
            opened.close()
        futures: list[asyncio.Future[Any]] = [self._connected, self._disconnected, *self._answers.values()]
        for future in futures:
            if future.done() and not future.cancelled():
                future.exception()  # it is known
            future.cancel()

    def failure(self) -> ComponentError:
        """Why the connection, which is `lost`, is over."""
        known = self._disconnected.done() and not self._disconnected.cancelled()
        error = self._disconnected.exception() if known else None
        if error is None:
            return ComponentError(f"{self._settings.place} ended the connection")
        return trouble(self._settings, error)

    # ── the collector's side ─────────────────────────────────────────────────────────────────────────────────────

    async def subscribe_all(self, filters: Sequence[str], *, retained: bool, timeout_s: float) -> None:
        """Subscribe at QoS 1; with `retained`, what the broker keeps of a topic comes with a new subscription.

        Raises:
            ComponentError: the broker does not answer, or refuses one of them.
        """
        options = SubscribeOptions(
            qos=1,
            retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB if retained else SubscribeOptions.RETAIN_DO_NOT_SEND,
        )
        asked = asyncio.ensure_future(self.subscribe([(each, options) for each in filters], timeout=timeout_s))
        try:
            await self._first(asked)
            if not asked.done():  # aiomqtt would wait for the rest of the time
                raise self.failure()
            codes = asked.result()
        except aiomqtt.MqttError as error:
            raise trouble(self._settings, error) from error
        finally:
            asked.cancel()
        answers: list[Any] = list(codes)  # of reason codes, as MQTT 5 is spoken
        refused = [f"{each!r} ({code})" for each, code in zip(filters, answers, strict=False) if code.value >= _REFUSED]
        if refused:
            what = f"{self._settings.place} refuses to let us read {', '.join(refused)}"
            remedy = "correct topics, or ask those who run the broker for the right to read them"
            raise BlockedError(what, reason="topic_refused", remedy=remedy)

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that `message` is ours now. In the order of receipt (section 4.6)."""
        self._client.ack(message.number, message.qos)

    async def barrier(self, timeout_s: float) -> None:
        """Return when the broker has read all that was sent to it before: it answers in the order of what it reads.

        Raises:
            ComponentError: it does not answer.
        """
        _, mid = self._client.unsubscribe(NEVER_SUBSCRIBED)
        if mid is None:
            raise self.failure()
        # Not aiomqtt's: before Python 3.12 its wait_for loses a cancellation that comes in the same turn as the answer.
        answer = self._barriers[mid] = self._loop.create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await answer
        except TimeoutError as error:
            raise ComponentError(f"{self._settings.place} did not answer within {timeout_s:g} s") from error
        finally:
            del self._barriers[mid]

    def pause(self) -> None:
        """Read nothing, so that the broker has to wait; for longer than a minute it would end the connection."""
        if not self._paused and self._reading is not None:
            self._loop.remove_reader(self._reading)
        self._paused = True

    def resume(self) -> None:
        """Read again."""
        if self._paused and self._reading is not None:
            self._loop.add_reader(self._reading, self._read)
        self._paused = False

    # ── the forwarder's side ─────────────────────────────────────────────────────────────────────────────────────

    def takes(self, topic: str, payload: bytes) -> bool:
        """Whether the broker takes messages as large."""
        return len(topic.encode()) + len(payload) + _OVERHEAD_BYTES <= self._largest

    async def deliver(self, topic: str, payload: bytes) -> ReasonCode:
        """Publish at QoS 1, and return what the broker says of it.

        Raises:
            ComponentError: the connection broke before that; whether the broker has the message is not known.
        """
        async with self._room:
            if self._disconnected.done():
                raise self.failure()
            info = self._client.publish(topic, payload, qos=1)
            answer: asyncio.Future[ReasonCode] = asyncio.get_running_loop().create_future()
            self._answers[info.mid] = answer
            try:
                await self._first(answer)
                if not answer.done():
                    raise self.failure()
                return answer.result()
            finally:
                del self._answers[info.mid]

    # ── called by paho ───────────────────────────────────────────────────────────────────────────────────────────

    def _on_message(self, client: Paho, userdata: Any, message: MQTTMessage) -> None:  # noqa: ARG002  paho's signature
        try:
            topic = message.topic
        except UnicodeDecodeError:  # a broker must not pass it on; closed for it, it would come again for ever
            topic = message._topic.decode("utf-8", "backslashreplace")  # noqa: SLF001  there is no other way to it
        payload, now_us = bytes(message.payload), time.time_ns() // 1000
        self._received(Message(topic, payload, message.qos, message.mid, bool(message.dup), now_us))

    def _on_publish(
        self, client: Paho, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        super()._on_publish(client, userdata, mid, reason_code, properties)
        answer = self._answers.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(reason_code)

    def _on_unsubscribe(self, client: Paho, userdata: Any, mid: int, *_: Any) -> None:  # noqa: ARG002  as above
        answer = self._barriers.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(None)

    def _on_connect(
        self,
        client: Paho,
        userdata: Any,
        flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        told = vars(properties) if properties is not None else {}
        self.resumed = flags.session_present
        self.kept_s = told.get("SessionExpiryInterval", self.kept_s)
        self._largest = told.get("MaximumPacketSize", self._largest)
        self._room = asyncio.Semaphore(min(_MOST_UNANSWERED, told.get("ReceiveMaximum", _MOST_UNANSWERED)))
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: Paho,
        userdata: Any,
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        said = getattr(self._socket, "said", None)
        if said is not None:
            for future in (self._connected, self._disconnected):
                if not future.done():
                    future.set_exception(said)
        elif not self._connected.done():  # aiomqtt would wait for an answer all the same
            hint = "it may want a certificate or a user, or speak no TLS or no MQTT 5"
            self._connected.set_exception(aiomqtt.MqttError(f"it ended without a word; {hint}"))
        elif not flags.is_disconnect_packet_from_server and not self._disconnected.done():
            hint = "it restarts, or another client has the same client_id"
            self._disconnected.set_exception(aiomqtt.MqttError(f"it ended without a word; {hint}"))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    # aiomqtt's own may be called from any thread, and so act later, when the socket may be another one.

    def _on_socket_open(self, client: Paho, userdata: Any, sock: Any) -> None:  # noqa: ARG002  paho's signature
        self._reading = sock.fileno()
        if not self._paused:
            self._loop.add_reader(self._reading, self._read)
        self._misc_task = self._loop.create_task(self._misc_loop())

    def _on_socket_close(self, client: Paho, userdata: Any, sock: Any) -> None:  # noqa: ARG002  paho's signature
        if self._reading is not None:
            self._loop.remove_reader(self._reading)
            self._reading = None
        if self._misc_task is not None:
            self._misc_task.cancel()

    def _on_socket_register_write(self, client: Paho, userdata: Any, sock: Any) -> None:  # noqa: ARG002  as above
        self._loop.add_writer(sock.fileno(), self._write)

    def _read(self) -> None:
        self._do(self._client.loop_read)
        while isinstance(opened := self._client.socket(), ssl.SSLSocket) and opened.pending() and not self._paused:
            self._do(self._client.loop_read)  # what TLS has decrypted already wakes nobody

    def _write(self) -> None:
        self._do(self._client.loop_write)

    def _do(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  whatever a broker's bytes make paho do
            self._client._sock_close()  # noqa: SLF001  else the same bytes come again
            for future in (self._connected, self._disconnected):
                if not future.done():
                    future.set_exception(error)

    async def _first(self, awaited: "asyncio.Future[Any]") -> None:
        """Wait until it is done, or the connection is lost."""
        either: list[asyncio.Future[Any]] = [awaited, self._disconnected]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)

    # ── connecting ───────────────────────────────────────────────────────────────────────────────────────────────

    def _dial(self, timeout_s: float) -> None:
        """Make the socket that paho will use; in a thread, as files, name servers and handshakes take their time."""
        settings = self._settings
        context, secret = settings.context(), settings.secret()
        made = socket.create_connection((settings.host, settings.port), timeout=timeout_s)
        try:
            if context is not None:
                context.sslsocket_class = _TlsSocket
                made = context.wrap_socket(made, server_hostname=settings.host)
        except BaseException:
            made.close()
            raise
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # an acknowledgement waits for no other one
        with self._dialling:
            if self._shut:  # nobody waits for it any more
                made.close()
                return
            self._socket = made
        if settings.username is not None:
            self._client.username_pw_set(settings.username, secret)
        self._client._create_socket = lambda: made  # type: ignore[method-assign]  # noqa: SLF001  paho's own blocks the loop
