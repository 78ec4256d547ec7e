"""What Home Assistant's documentation allows in MQTT discovery messages, as a strict table.

From the pages of the integrations mqtt, binary_sensor.mqtt, sensor.mqtt, camera.mqtt and button.mqtt. Home Assistant
itself drops a message with an unknown key of `device`, a device class that does not fit its unit, or a missing required key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

TOPIC = re.compile(r"homeassistant/(?P<kind>[a-z_]+)/(?P<node>[A-Za-z0-9_-]+)/(?P<object>[A-Za-z0-9_-]+)/config")

COMMON = {
    "availability_topic": str,
    "payload_available": str,
    "payload_not_available": str,
    "unique_id": str,
    "name": str,
    "icon": str,
    "entity_category": str,
    "enabled_by_default": bool,
    "json_attributes_topic": str,
    "device": dict,
    "origin": dict,
}
READS = {"state_topic": str, "value_template": str, "device_class": str, "expire_after": int}
KINDS: dict[str, tuple[set[str], dict[str, type]]] = {  # required, and allowed beside the common ones
    "binary_sensor": ({"state_topic"}, {**READS, "payload_on": str, "payload_off": str}),
    "sensor": (
        {"state_topic"},
        {**READS, "state_class": str, "unit_of_measurement": str, "options": list, "suggested_display_precision": int},
    ),
    "camera": ({"topic"}, {"topic": str, "image_encoding": str}),
    "switch": ({"command_topic"}, {**READS, "command_topic": str, "payload_on": str, "payload_off": str}),
    "button": ({"command_topic"}, {"command_topic": str, "payload_press": str, "device_class": str}),
}
DEVICE = {
    "identifiers": list,
    "name": str,
    "manufacturer": str,
    "model": str,
    "sw_version": str,
    "via_device": str,
    "configuration_url": str,
    "suggested_area": str,
}
ORIGIN = {"name": str, "sw_version": str, "support_url": str}
DEVICE_CLASSES = {
    "binary_sensor": {"problem", "connectivity", "running"},
    "sensor": {"enum", "temperature", "data_rate"},
    "button": {"restart"},
}
UNITS = {"temperature": {"°C", "°F", "K"}, "data_rate": {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "B/s", "kB/s", "MB/s"}}
STATE_CLASSES = {"measurement", "total", "total_increasing"}


def checked(topic: str, payload: bytes) -> dict[str, Any]:
    """The message, when all of it is as the documentation has it."""
    named = TOPIC.fullmatch(topic)
    assert named, topic
    required, own = KINDS[named["kind"]]
    message = json.loads(payload)
    _typed(message, {**COMMON, **own})
    assert required <= message.keys(), topic
    assert {"unique_id", "name", "device", "origin"} <= message.keys(), topic
    _typed(message["device"], DEVICE)
    assert message["device"]["identifiers"], topic
    assert re.match("https?://", message["device"].get("configuration_url", "http://")), topic
    _typed(message["origin"], ORIGIN)
    assert message["origin"]["name"], topic
    assert message.get("entity_category", "diagnostic") in {"config", "diagnostic"}, topic
    assert re.match("mdi:[a-z-]+$", message.get("icon", "mdi:camera")), topic
    _classes(named["kind"], message)
    return dict(message)


def _typed(given: Mapping[str, Any], allowed: Mapping[str, type]) -> None:
    for key, value in given.items():
        assert key in allowed, key
        assert isinstance(value, allowed[key]), (key, value)


def _classes(kind: str, message: Mapping[str, Any]) -> None:
    device_class, unit = message.get("device_class"), message.get("unit_of_measurement")
    assert device_class is None or device_class in DEVICE_CLASSES[kind]
    assert unit in UNITS.get(device_class or "", {unit})
    if device_class == "enum":
        assert message["options"]
        assert "state_class" not in message
        assert unit is None
    assert message.get("state_class", "measurement") in STATE_CLASSES
