"""A real Mosquitto on a port and in a directory of the test's own, and somebody who reads there."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.harness.ports import free_port
from tests.harness.waiting import until

USER, PASSWORD = "camera", "correct horse battery staple"


class Mosquitto:
    """`mosquitto`, running. `secure`: TLS, with a certificate for `localhost` of an authority of its own."""

    def __init__(self, directory: Path, *, password: bool = False, secure: bool = False) -> None:
        self.directory = directory
        self.port = free_port()
        self.authority = directory / "ca.pem"
        self._password = password
        self._secure = secure
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        lines = [f"listener {self.port} 127.0.0.1", "user root", f"allow_anonymous {'false' if self._password else 'true'}"]
        if self._password:
            file = self.directory / "passwords"
            subprocess.run(["mosquitto_passwd", "-b", "-c", file, USER, PASSWORD], check=True, capture_output=True)
            lines.append(f"password_file {file}")
        if self._secure:
            certificate(self.directory)
            lines += [f"certfile {self.directory}/broker.pem", f"keyfile {self.directory}/broker.key"]
        # What is retained outlives a restart.
        lines += ["persistence true", f"persistence_location {self.directory}/", "autosave_on_changes true", "autosave_interval 1"]
        (self.directory / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with (self.directory / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([program, "-v", "-c", str(self.directory / "mosquitto.conf")], stdout=log, stderr=log)
        until(lambda: "running" in self.log.rpartition("starting")[2], within=10, what="Mosquitto", explain=lambda: self.log)

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(5)

    @property
    def log(self) -> str:
        file = self.directory / "mosquitto.log"
        return file.read_text(errors="replace") if file.exists() else ""

    @property
    def url(self) -> str:
        user = f"{USER}@" if self._password else ""
        return f"{'mqtts' if self._secure else 'mqtt'}://{user}localhost:{self.port}"


def certificate(directory: Path) -> None:
    """An authority, and a certificate of it for `localhost`."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=directory)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-days", "2")
    openssl("req", *key, "-keyout", "broker.key", "-out", "broker.csr", "-subj", "/CN=localhost")
    (directory / "names").write_text("subjectAltName=DNS:localhost\n")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl("x509", "-req", "-in", "broker.csr", *signed, "-out", "broker.pem")


@dataclass(frozen=True, slots=True)
class Heard:
    topic: str
    payload: bytes
    retained: bool


class Reader:
    """Subscribed to everything; keeps what it heard, and what stands retained there now."""

    def __init__(self, broker: Mosquitto, *, login: bool = False) -> None:
        self.heard: list[Heard] = []
        self.stands: dict[str, bytes] = {}
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, "reader")
        if login:
            self._client.username_pw_set(USER, PASSWORD)
        self._client.on_message = self._on_message
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.connect("localhost", broker.port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def write(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(5)

    def wait(self, topic: str, accept: Callable[[bytes], bool] = bool, within: float = 15) -> bytes:
        """Until what stands at the topic is accepted; returns it."""

        def look() -> tuple[bytes] | None:
            payload = self.stands.get(topic)
            return (payload,) if payload is not None and accept(payload) else None

        return until(look, within=within, what=f"{topic} on the broker", explain=lambda: self.stands.get(topic))[0]

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe("#", 1)

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self.heard.append(Heard(message.topic, bytes(message.payload), message.retain))
        if message.payload:
            self.stands[message.topic] = bytes(message.payload)
        else:
            self.stands.pop(message.topic, None)


def below(stands: dict[str, bytes], prefix: str) -> Sequence[str]:
    return sorted(topic for topic in stands if topic.startswith(prefix))
