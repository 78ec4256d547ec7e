"""The device on an MQTT broker: a real Mosquitto, a real daemon."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgecam.health import Condition
from tests.daemon.reloading import Reloadable
from tests.fleet.broker import PASSWORD, Mosquitto, Reader, below
from tests.fleet.homeassistant import checked
from tests.governors.hot import HotDaemon
from tests.governors.machine import Machine
from tests.harness.daemons import Daemon
from tests.harness.waiting import until

ID = "test-device"
ROOT = f"edgecam/{ID}"
CAMERA = {"source": "test", "width": 320, "height": 240, "fps": 15, "bitrate_kbps": 200}


def config(broker: Mosquitto, **mqtt: Any) -> dict[str, Any]:
    return {
        "device": {"id": ID, "name": "Front gate", "location": "north side"},
        "mqtt": {"url": broker.url, "every": 1, **mqtt},
        "camera": {"front": CAMERA, "ghost": {"source": "v4l2", "device": "/dev/nothing-here"}},
    }


def value(template: str, payload: bytes) -> str:
    """What a template of ours makes of a payload: they only ever look up one key."""
    (key,) = re.fullmatch(r"\{\{ value_json\.(\w+) \}\}", template).groups()  # type: ignore[union-attr]
    return str(json.loads(payload)[key])


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker"), password=True) as running:
        yield running


@pytest.fixture(scope="module")
def reader(broker: Mosquitto) -> Iterator[Reader]:
    with Reader(broker, login=True) as reading:
        yield reading


@pytest.fixture(scope="module")
def daemon(broker: Mosquitto, reader: Reader, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    # What an earlier life left there, of a camera that is no more.
    reader.write(f"{ROOT}/camera/gone/state", b"{}", retain=True)
    reader.write(f"homeassistant/sensor/edgecam_{ID}/camera_gone_fps/config", b"{}", retain=True)
    reader.write("homeassistant/sensor/somebody_else/camera_gone_fps/config", b"{}", retain=True)
    settings = config(broker, password=PASSWORD, snapshots=True, privacy_switch=True)
    with Daemon(settings, tmp_path_factory.mktemp("daemon")) as running:
        reader.wait(f"{ROOT}/availability", lambda payload: payload == b"online")
        yield running


def test_what_stands_on_the_broker_is_what_the_status_says(daemon: Daemon, reader: Reader) -> None:
    daemon.wait_units("front", 30)
    front = json.loads(reader.wait(f"{ROOT}/camera/front/state", lambda p: json.loads(p)["fps"] > 10))
    ghost = json.loads(reader.wait(f"{ROOT}/camera/ghost/state", lambda p: json.loads(p)["state"] == "waiting"))
    assert (front["state"], front["problem"], front["viewers"]) == ("running", "OFF", 0)
    assert 10 < front["bitrate"] < 400
    assert (ghost["problem"], ghost["code"]) == ("ON", "camera-absent")
    device = json.loads(reader.wait(f"{ROOT}/state"))
    assert device["problem"] == "ON"
    assert device["reasons"] == daemon.status()["reasons"]
    (component,) = [c for c in daemon.status()["components"] if c["name"] == "mqtt"]
    assert component["condition"] == "running"


def test_home_assistant_is_told_what_its_documentation_asks_for(daemon: Daemon, reader: Reader) -> None:
    topics = below(reader.stands, "homeassistant/")
    messages = {topic: checked(topic, reader.stands[topic]) for topic in topics if "somebody_else" not in topic}
    kinds = [topic.split("/")[1] for topic in messages]
    assert {kind: kinds.count(kind) for kind in kinds} == {"binary_sensor": 3, "sensor": 8, "camera": 2, "button": 2, "switch": 2}
    assert len({message["unique_id"] for message in messages.values()}) == len(messages)
    for topic, message in messages.items():
        assert message["availability_topic"] == f"{ROOT}/availability"
        if "state_topic" in message:
            said = value(message["value_template"], reader.wait(message["state_topic"]))
            if message.get("device_class") == "enum":
                assert said in message["options"], topic
            elif message.get("device_class") == "problem" or message["name"] == "Private":
                assert said in {"ON", "OFF"}, topic
            else:
                assert float(said) >= 0, topic
    assert {str(c) for c in Condition} == set(messages[f"homeassistant/sensor/edgecam_{ID}/camera_front_state/config"]["options"])
    machine = {message["device"]["identifiers"][0] for message in messages.values() if "via_device" not in message["device"]}
    assert machine == {f"edgecam_{ID}"}


def test_what_a_camera_that_is_gone_left_there_is_cleared_and_nothing_else(daemon: Daemon, reader: Reader) -> None:
    until(lambda: not below(reader.stands, f"{ROOT}/camera/gone"), within=10, what="the old state cleared")
    until(lambda: not [t for t in below(reader.stands, f"homeassistant/sensor/edgecam_{ID}") if "gone" in t], within=10, what="cleared")
    assert below(reader.stands, "homeassistant/sensor/somebody_else")


def test_a_picture_comes_when_somebody_asks_and_is_not_kept(daemon: Daemon, reader: Reader) -> None:
    message = json.loads(reader.stands[f"homeassistant/button/edgecam_{ID}/camera_front_take_snapshot/config"])
    picture = json.loads(reader.stands[f"homeassistant/camera/edgecam_{ID}/camera_front_snapshot/config"])["topic"]
    reader.write(f"{ROOT}/camera/ghost/snapshot/take", b"PRESS")
    reader.write(f"{ROOT}/camera/../snapshot/take", b"PRESS")
    reader.write(message["command_topic"], message["payload_press"].encode())
    jpeg = reader.wait(picture)
    assert (jpeg[:3], jpeg[-2:]) == (b"\xff\xd8\xff", b"\xff\xd9")
    assert not [heard for heard in reader.heard if heard.topic == picture and heard.retained]


def test_a_camera_is_made_private_and_shows_nothing_until_it_is_not(daemon: Daemon, reader: Reader) -> None:
    switch = json.loads(reader.stands[f"homeassistant/switch/edgecam_{ID}/camera_front_private/config"])

    def private(answer: str) -> None:
        reader.wait(switch["state_topic"], lambda payload: value(switch["value_template"], payload) == answer)

    private("OFF")
    # Nobody commands what was left there, what is no word of ours, or what is another camera's.
    reader.write(switch["command_topic"], b"nonsense")
    reader.write(f"{ROOT}/camera/nobody/private/set", b"ON")
    reader.write(switch["command_topic"], b"ON")
    private("ON")
    assert daemon.camera("front")["private"] is True
    pictures = [heard for heard in reader.heard if heard.topic == f"{ROOT}/camera/front/snapshot"]
    reader.write(f"{ROOT}/camera/front/snapshot/take", b"PRESS")
    daemon.wait_logged("mqtt.no-picture", camera="front")
    reader.write(switch["command_topic"], b"OFF")
    private("OFF")
    daemon.wait_camera("front", condition="running")
    assert [heard for heard in reader.heard if heard.topic == f"{ROOT}/camera/front/snapshot"] == pictures


def test_the_password_is_nowhere(daemon: Daemon, reader: Reader) -> None:
    shown = "\n".join([*daemon.lines, *daemon.printed, daemon.get("/api/v1/status").text, daemon.get("/metrics").text])
    assert PASSWORD not in shown
    assert not [heard for heard in reader.heard if PASSWORD.encode() in heard.payload]


def test_a_broker_that_dies_and_returns_harms_nothing_and_is_told_everything_again(
    daemon: Daemon, broker: Mosquitto, reader: Reader
) -> None:
    def mqtt() -> dict[str, Any]:
        (component,) = [c for c in daemon.status()["components"] if c["name"] == "mqtt"]
        return dict(component)

    before = daemon.camera("front")
    broker.kill()
    until(lambda: mqtt()["condition"] == "degraded", within=15, what="the outage on the board", explain=mqtt)
    assert mqtt()["code"] in {"mqtt-lost", "mqtt-unreachable"}
    assert not [reason for reason in daemon.status()["reasons"] if "mqtt" in reason]  # no picture needs it
    daemon.wait_units("front", before["units"] + 30)
    broker.start()
    until(lambda: mqtt()["condition"] == "running", within=30, what="connected again", explain=mqtt)
    assert daemon.camera("front")["restarts"] == before["restarts"]
    heard = len(reader.heard)
    until(lambda: any(h.topic == f"{ROOT}/camera/front/state" for h in reader.heard[heard:]), within=20, what="news")


def test_the_last_will_is_spoken_when_the_daemon_is_killed_and_taken_back_when_it_returns(daemon: Daemon, reader: Reader) -> None:
    daemon.kill()
    reader.wait(f"{ROOT}/availability", lambda payload: payload == b"offline")
    daemon.restart()
    reader.wait(f"{ROOT}/availability", lambda payload: payload == b"online", within=30)


def test_a_daemon_that_stops_says_so_itself_and_in_time(daemon: Daemon, reader: Reader, broker: Mosquitto) -> None:
    assert daemon.terminate(within=6) < 3
    reader.wait(f"{ROOT}/availability", lambda payload: payload == b"offline")
    assert "edgecam-test-device disconnected" in broker.log.rpartition("as edgecam-test-device")[2]


def test_a_reload_renames_the_device_and_takes_a_camera_away(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Reader(broker) as reader:
        with Reloadable(config(broker), tmp_path) as daemon:
            problem = f"homeassistant/binary_sensor/edgecam_{ID}/problem/config"
            ghosts = f"homeassistant/sensor/edgecam_{ID}/camera_ghost_"
            reader.wait(problem, lambda payload: json.loads(payload)["device"]["name"] == "Front gate")
            until(lambda: below(reader.stands, ghosts), within=10, what="the camera that is to go")
            daemon.rewrite({"device": {"name": "Back gate"}, "camera": {"ghost": None}})
            daemon.hang_up()
            reader.wait(problem, lambda payload: json.loads(payload)["device"]["name"] == "Back gate")
            until(lambda: not below(reader.stands, ghosts), within=15, what="nothing of it left")
            until(lambda: not below(reader.stands, f"{ROOT}/camera/ghost"), within=15, what="its state gone")
            assert daemon.status()["name"] == "Back gate"
            reader.wait(f"{ROOT}/availability", lambda payload: payload == b"online")


def test_the_temperature_is_told_from_its_first_reading_on(tmp_path: Path) -> None:
    """Which may come after the connection, and fail at times."""
    hardware = Machine(tmp_path / "hardware")
    hardware.memory(500_000_000)
    entity = f"homeassistant/sensor/edgecam_{ID}/temperature/config"
    with Mosquitto(tmp_path / "broker") as broker, Reader(broker) as reader:
        settings = {**config(broker), "camera": {"front": CAMERA}}
        with HotDaemon(hardware.root, settings, tmp_path / "daemon"):
            reader.wait(f"{ROOT}/availability", lambda payload: payload == b"online")
            assert entity not in reader.stands
            hardware.zone(48.25)
            message = checked(entity, reader.wait(entity))
            celsius = reader.wait(message["state_topic"], lambda payload: b"temperature_celsius" in payload)
            assert value(message["value_template"], celsius) == "48.2"
            hardware.put("sys/class/thermal/thermal_zone0/temp", "")
            reader.wait(message["state_topic"], lambda payload: b'"temperature_celsius": null' in payload)  # Home Assistant's "unknown"
            assert entity in reader.stands


def test_tls_is_verified(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker", password=True, secure=True) as broker:
        for number, (mqtt, code) in enumerate(
            [
                ({"password": PASSWORD}, "mqtt-tls"),  # an authority that the system does not know
                ({"password": PASSWORD, "url": broker.url.replace("localhost", "127.0.0.1"), "ca_file": str(broker.authority)}, "mqtt-tls"),
                ({"password": "something else", "ca_file": str(broker.authority)}, "mqtt-refused"),
                ({"password": PASSWORD, "ca_file": str(broker.authority)}, None),
            ]
        ):
            with Daemon({**config(broker, **mqtt), "camera": {"front": CAMERA}}, tmp_path / str(number)) as daemon:

                def look(daemon: Daemon = daemon) -> dict[str, Any]:
                    return next((c for c in daemon.status()["components"] if c["name"] == "mqtt"), {})

                wanted = ("degraded", code) if code else ("running", "")
                until(lambda: (look()["condition"], look()["code"]) == wanted, within=15, what=str(wanted), explain=look)  # noqa: B023
                daemon.wait_ready()  # whatever the broker says
        assert "New client connected" in broker.log


def test_a_broker_that_never_answers_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        assert broker._process is not None
        broker._process.send_signal(signal.SIGSTOP)
        with Daemon({**config(broker), "camera": {"front": CAMERA}}, tmp_path) as daemon:
            daemon.wait_units("front", 5)
            assert daemon.terminate(within=6) < 3
