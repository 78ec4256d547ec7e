"""One connection to an MQTT broker, by paho-mqtt in a thread of its own: its connect() and its TLS handshake block.

The thread is a daemon: one that hangs in the resolver never holds up the end of the process. Everything here but what is
marked otherwise belongs to the event loop.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from edgecam.errors import RetryableError
from edgecam.settings import Broker, MqttSettings

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

CONNECT_WITHIN = 15.0  # seconds: name, TCP, TLS, MQTT
ACK_WITHIN = 10.0  # seconds that the broker has to acknowledge a message
LEAVE_WITHIN = 1.0  # seconds for the last word
KEEPALIVE = 30  # seconds; a broker hears of a device that vanished after one and a half of it
INBOX = 256  # messages that wait to be looked at; what comes beyond is dropped and counted
LONGEST_MESSAGE = 4096  # bytes of it that are kept: only commands, and what is left of old states, come in


class MqttError(RetryableError):
    """The broker cannot be reached, does not let us in, or is gone; codes: mqtt-unreachable, mqtt-tls, mqtt-refused, mqtt-lost."""

    code = "mqtt-lost"


@dataclass(frozen=True, slots=True)
class Message:
    """What came in; `retained`: the broker kept it from an earlier time."""

    topic: str
    payload: bytes
    retained: bool


class BrokerLine:
    """An open connection: `async with BrokerLine(…) as line`. `will` is what the broker says there when we vanish."""

    def __init__(self, settings: MqttSettings, client_id: str, will: tuple[str, bytes]) -> None:
        assert settings.broker is not None
        self.broker: Broker = settings.broker
        self.dropped = 0  # messages that found the inbox full
        self.heard = asyncio.Event()  # something is in the inbox, or the line is lost
        self._inbox: deque[Message] = deque()
        self._loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._left = False
        self._lost: MqttError | None = None
        self._acks: dict[int, asyncio.Future[None]] = {}
        self._client = self._made(settings, client_id, will)

    def _made(self, settings: MqttSettings, client_id: str, will: tuple[str, bytes]) -> Client:
        from paho.mqtt.client import Client, MQTTv311
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv311, reconnect_on_failure=False)
        client.will_set(*will, qos=1, retain=True)
        if self.broker.username:
            client.username_pw_set(self.broker.username, settings.password.get_secret_value() or None)
        if self.broker.tls:
            client.tls_set_context(_trust(settings))
        client.on_connect = self._on_connect
        client.on_publish = lambda _client, _data, mid, *_: self._tell(self._acknowledged, mid)
        client.on_message = self._on_message
        # With this set, publish() from the loop leaves writing to the thread, which it wakes.
        client.on_socket_register_write = lambda *_: None
        return client

    async def __aenter__(self) -> Self:
        threading.Thread(target=self._work, name="mqtt", daemon=True).start()
        try:
            async with asyncio.timeout(CONNECT_WITHIN):
                await self._connected
        except TimeoutError:
            self._leave()
            raise MqttError(f"{self.broker} does not answer", remedy="check that the broker runs", code="mqtt-unreachable") from None
        except BaseException:
            self._leave()
            raise
        return self

    async def __aexit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        """Say goodbye: the broker then does not speak our will."""
        self._leave()

    def _leave(self) -> None:
        self._left = True
        self._client.disconnect()

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Once the broker has it (QoS 1). Raises MqttError when it has not in time."""
        self.check()
        sent = self._client.publish(topic, payload, qos=1, retain=retain)
        if sent.rc:
            raise self._lost or MqttError(f"{self.broker}: the connection broke")
        self._acks[sent.mid] = acknowledged = self._loop.create_future()
        try:
            async with asyncio.timeout(ACK_WITHIN):
                await acknowledged
        except TimeoutError:
            raise MqttError(f"{self.broker} acknowledges nothing") from None
        finally:
            self._acks.pop(sent.mid, None)

    def subscribe(self, topics: Sequence[str]) -> None:
        if topics:
            self._client.subscribe([(topic, 1) for topic in topics])

    def unsubscribe(self, topics: Sequence[str]) -> None:
        if topics:
            self._client.unsubscribe(list(topics))

    def received(self) -> list[Message]:
        """What has come in since the last call, oldest first. Raises MqttError when the line is lost."""
        self.heard.clear()
        self.check()
        return [self._inbox.popleft() for _ in range(len(self._inbox))]

    def check(self) -> None:
        if self._lost is not None:
            raise self._lost

    def _end(self, error: MqttError) -> None:
        """The line is lost: whoever waits for something learns it."""
        self._lost = self._lost or error
        self.heard.set()
        for future in (self._connected, *self._acks.values()):
            if not future.done():
                future.set_exception(self._lost)
                future.exception()  # read: perhaps nobody waits any more

    def _acknowledged(self, mid: int) -> None:
        future = self._acks.get(mid)
        if future is not None and not future.done():
            future.set_result(None)

    def _welcomed(self) -> None:
        if not self._connected.done():
            self._connected.set_result(None)

    # in the thread

    def _work(self) -> None:
        try:
            self._client.connect(self.broker.host, self.broker.port, KEEPALIVE)
            # Not loop_forever(), which has nothing that publish() could wake it with.
            while self._client.loop(KEEPALIVE / 3) == 0:
                pass
        except (OSError, ValueError) as error:  # ValueError: a host name that cannot be one
            self._tell(self._end, unreachable(self.broker, error))
        else:
            self._tell(self._end, MqttError(f"{self.broker} closed the connection"))

    def _on_connect(self, _client: Client, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        if self._left:  # connected after all, when nobody waits any more
            self._client.disconnect()
        elif reason.is_failure:
            refused = f"{self.broker} does not let us in: {reason}"
            self._tell(self._end, MqttError(refused, remedy="correct url and password in [mqtt]", code="mqtt-refused"))
        else:
            self._tell(self._welcomed)

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        if len(self._inbox) >= INBOX:
            self.dropped += 1
            return
        self._inbox.append(Message(message.topic, bytes(message.payload[:LONGEST_MESSAGE]), bool(message.retain)))
        if not self.heard.is_set():
            self._tell(self.heard.set)

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is there any more
            self._loop.call_soon_threadsafe(callback, *arguments)


def _trust(settings: MqttSettings) -> ssl.SSLContext:
    """Certificates are always verified. Raises MqttError when the authority's file cannot be read."""
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise MqttError(
            f"{settings.ca_file} is no PEM file of a certificate authority: {error.strerror or error}",
            remedy="correct [mqtt] ca_file",
            code="mqtt-tls",
        ) from error


def unreachable(broker: Broker, error: Exception) -> MqttError:
    """What `error` means for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = f"the certificate of {broker} is not accepted: {error.verify_message}"
        return MqttError(said, remedy="name its authority in [mqtt] ca_file, and the host as the certificate has it", code="mqtt-tls")
    if isinstance(error, ssl.SSLError):
        return MqttError(f"no TLS with {broker}: {error.reason or error}", remedy="is that the port for mqtts?", code="mqtt-tls")
    reason = getattr(error, "strerror", None) or str(error)
    return MqttError(f"{broker} cannot be reached: {reason}", remedy="check [mqtt] url, and that the broker runs", code="mqtt-unreachable")
