"""The settings models: what `edgecam.toml` may say. Frozen; unknown keys are errors; secrets are SecretStr.

Reading files, environment and credentials is `config`'s business; each component gets only its own section.
"""

from edgecam.settings.blackbox import BlackboxSettings
from edgecam.settings.camera import QUALITIES, STREAM_URL, CameraSettings, Quality
from edgecam.settings.controls import checked_controls, control
from edgecam.settings.fleet import Broker, DeviceSettings, MdnsSettings, MqttSettings
from edgecam.settings.governor import GovernorSettings
from edgecam.settings.health import HealthSettings
from edgecam.settings.http import Listen, ListenerSettings, WebSettings, parse_listen
from edgecam.settings.ice import ICE_URL, VIRTUAL_INTERFACES, IceServer, IceSettings, IceUrl, parse_ports
from edgecam.settings.root import DoctorSettings, LogSettings, ReloadSettings, Settings, ViewerSettings
from edgecam.settings.section import CAMERA_NAME, Applied, CameraName, Seconds, Section, parse_duration
from edgecam.settings.server import LimitSettings, ServerSettings

__all__ = [
    "CAMERA_NAME",
    "ICE_URL",
    "QUALITIES",
    "STREAM_URL",
    "VIRTUAL_INTERFACES",
    "Applied",
    "BlackboxSettings",
    "Broker",
    "CameraName",
    "CameraSettings",
    "DeviceSettings",
    "DoctorSettings",
    "GovernorSettings",
    "HealthSettings",
    "IceServer",
    "IceSettings",
    "IceUrl",
    "LimitSettings",
    "Listen",
    "ListenerSettings",
    "LogSettings",
    "MdnsSettings",
    "MqttSettings",
    "Quality",
    "ReloadSettings",
    "Seconds",
    "Section",
    "ServerSettings",
    "Settings",
    "ViewerSettings",
    "WebSettings",
    "checked_controls",
    "control",
    "parse_duration",
    "parse_listen",
    "parse_ports",
]
