"""The whole file, and its small tables."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from edgecam.settings.blackbox import BlackboxSettings
from edgecam.settings.camera import CameraSettings
from edgecam.settings.fleet import DeviceSettings, MdnsSettings, MqttSettings
from edgecam.settings.governor import GovernorSettings
from edgecam.settings.health import HealthSettings
from edgecam.settings.http import WebSettings
from edgecam.settings.ice import IceSettings
from edgecam.settings.section import Applied, CameraName, Seconds, Section
from edgecam.settings.server import ServerSettings
from edgecam.settings.signaling import Signaling


class LogSettings(Section):
    """[log]"""

    applied = Applied.AT_ONCE

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe level that is logged")
    format: Literal["auto", "console", "json", "journald"] = Field(
        "auto", description="auto: console on a terminal, journald fields under systemd, JSON lines otherwise"
    )


class DoctorSettings(Section):
    """[doctor]: the call through the relay that the daemon makes to itself. `edgecam doctor` needs none of this."""

    applied = Applied.PART

    relay_every: Seconds = Field(
        0, ge=0, le=604_800, description='seconds, or text such as "6h", between two such calls; 0 makes none'
    )


class ViewerSettings(Section):
    """[viewers]"""

    applied = Applied.NEWCOMERS

    max: int = Field(50, ge=0, le=10_000, description="viewers of the whole daemon; one more is refused with a reason")
    connect_timeout: float = Field(15.0, ge=2, le=120, description="seconds a new viewer has to get connected")


class ReloadSettings(Section):
    """[reload]: what becomes of a changed configuration; docs/reload.md."""

    applied = Applied.AT_ONCE

    trial: Seconds = Field(
        60, ge=0, le=3600, description="seconds in which a change that makes health worse is rolled back; 0: none ever is"
    )


class Settings(Section):
    """The whole file."""

    applied = Applied.RESTART

    state_dir: Path | None = Field(
        None, description="where generated tokens are kept; systemd's StateDirectory or ~/.local/state/edgecam when unset"
    )
    device: DeviceSettings = DeviceSettings()
    log: LogSettings = LogSettings()
    web: WebSettings = WebSettings()
    mdns: MdnsSettings = MdnsSettings()
    mqtt: MqttSettings = MqttSettings()
    ice: IceSettings = IceSettings()
    doctor: DoctorSettings = DoctorSettings()
    blackbox: BlackboxSettings = BlackboxSettings()
    health: HealthSettings = HealthSettings()
    governor: GovernorSettings = GovernorSettings()
    viewers: ViewerSettings = ViewerSettings()
    reload: ReloadSettings = ReloadSettings()
    camera: dict[CameraName, CameraSettings] = Field(default_factory=dict)
    signaling: dict[CameraName, Signaling] = Field(default_factory=dict)
    server: ServerSettings = ServerSettings()

    @model_validator(mode="after")
    def _signaling_names_real_cameras(self) -> Settings:
        for name, section in self.signaling.items():
            for camera in section.cameras:
                if camera not in self.camera:
                    known = ", ".join(self.camera) or "none"
                    raise ValueError(f"signaling.{name}.cameras names {camera!r}, but the cameras are: {known}")
        return self
