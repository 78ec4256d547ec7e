"""Home Assistant's MQTT discovery: one retained message an entity says what it is and where its state stands.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery; openHAB and others read the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgecam import __version__
from edgecam.fleet.identity import Device
from edgecam.fleet.topics import AVAILABLE, GONE, Topics
from edgecam.health import Condition


@dataclass(frozen=True, slots=True)
class Shown:
    """A camera as Home Assistant is told of it."""

    name: str
    title: str


@dataclass(frozen=True, slots=True)
class HomeAssistant:
    """The messages for one device. `page` is where its own pages are, empty when nobody else can open them."""

    device: Device
    topics: Topics
    prefix: str
    page: str = ""
    snapshots: bool = False
    temperature: bool = False
    privacy_switch: bool = False

    @property
    def node(self) -> str:
        return f"edgecam_{self.device.id}"

    @property
    def all_topics(self) -> str:
        """The filter of every message that we ever wrote there."""
        return f"{self.prefix}/+/{self.node}/+/config"

    def messages(self, cameras: list[Shown]) -> Iterator[tuple[str, bytes]]:
        """(topic, payload) of every entity: the device's own, then each camera's."""
        for kind, name, keys in self._device_entities():
            yield self._message(kind, name, {**keys, "device": self._device()})
        for camera in cameras:
            for kind, name, keys in self._camera_entities(camera.name):
                yield self._message(kind, f"camera_{camera.name}_{name}", {**keys, "device": self._camera(camera)})

    def _message(self, kind: str, name: str, keys: dict[str, Any]) -> tuple[str, bytes]:
        payload = {
            "unique_id": f"{self.node}_{name}",
            "availability_topic": self.topics.availability,
            "payload_available": AVAILABLE.decode(),
            "payload_not_available": GONE.decode(),
            "origin": {"name": "edgecam", "sw_version": __version__},
            **keys,
        }
        return f"{self.prefix}/{kind}/{self.node}/{name}/config", json.dumps(payload, ensure_ascii=False).encode()

    def _device(self) -> dict[str, Any]:
        known = {"configuration_url": self.page, "suggested_area": self.device.location}
        return {
            "identifiers": [self.node],
            "name": self.device.name,
            "manufacturer": "edgecam",
            "model": "edgecam",
            "sw_version": __version__,
            **{key: value for key, value in known.items() if value},
        }

    def _camera(self, camera: Shown) -> dict[str, Any]:
        """A camera is a device of its own, reached through the machine it is on."""
        known = {"configuration_url": self.page and f"{self.page}view/{camera.name}", "suggested_area": self.device.location}
        return {
            "identifiers": [f"{self.node}_{camera.name}"],
            "name": f"{self.device.name} {camera.title}",
            "manufacturer": "edgecam",
            "model": "camera",
            "via_device": self.node,
            **{key: value for key, value in known.items() if value},
        }

    def _device_entities(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        state = {"state_topic": self.topics.device_state, "json_attributes_topic": self.topics.device_state}
        problem = {**state, "name": "Problem", "device_class": "problem", "value_template": "{{ value_json.problem }}"}
        yield "binary_sensor", "problem", {**problem, "entity_category": "diagnostic"}
        if self.temperature:
            yield "sensor", "temperature", {
                "state_topic": self.topics.device_state,
                "name": "Temperature",
                "device_class": "temperature",
                "unit_of_measurement": "°C",
                "state_class": "measurement",
                "entity_category": "diagnostic",
                "value_template": "{{ value_json.temperature_celsius }}",
            }

    def _camera_entities(self, name: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        topic = self.topics.camera_state(name)

        def figure(key: str, title: str, **more: str) -> tuple[str, str, dict[str, Any]]:
            read = {"state_topic": topic, "value_template": f"{{{{ value_json.{key} }}}}"}
            return "sensor", key, {**read, "name": title, "state_class": "measurement", **more}

        state = {"state_topic": topic, "value_template": "{{ value_json.state }}", "json_attributes_topic": topic}
        yield "sensor", "state", {**state, "name": "State", "device_class": "enum", "options": [str(c) for c in Condition]}
        problem = {"state_topic": topic, "value_template": "{{ value_json.problem }}", "device_class": "problem"}
        yield "binary_sensor", "problem", {**problem, "name": "Problem"}
        private = {"name": "Private", "icon": "mdi:eye-off", "state_topic": topic, "value_template": "{{ value_json.private }}"}
        if self.privacy_switch:
            yield "switch", "private", {**private, "command_topic": self.topics.set_private(name)}
        else:
            yield "binary_sensor", "private", private
        yield figure("viewers", "Viewers", icon="mdi:account-eye")
        yield figure("fps", "Frame rate", unit_of_measurement="fps", icon="mdi:filmstrip", entity_category="diagnostic")
        yield figure("bitrate", "Bitrate", unit_of_measurement="kbit/s", device_class="data_rate", entity_category="diagnostic")
        if self.snapshots:
            yield "camera", "snapshot", {"name": "Snapshot", "topic": self.topics.snapshot(name)}
            taking = {"command_topic": self.topics.take_snapshot(name), "payload_press": "PRESS", "icon": "mdi:camera"}
            yield "button", "take_snapshot", {**taking, "name": "Take a snapshot"}
