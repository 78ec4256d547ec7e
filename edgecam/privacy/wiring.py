"""A camera's switch as its settings have it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgecam.privacy.file import SwitchFile
from edgecam.privacy.gpio import GpioSwitch
from edgecam.privacy.latch import Latch
from edgecam.privacy.schedule import Schedule, clock_is_synchronised
from edgecam.privacy.switch import PrivacySource, PrivacySwitch
from edgecam.settings import CameraSettings
from edgecam.settings.privacy import parse_line


def camera_switch(name: str, settings: CameraSettings, state_dir: Path) -> PrivacySwitch:
    """Not looked at yet: `begin` does that."""
    sources: list[PrivacySource] = []
    if settings.privacy_file:
        sources.append(SwitchFile(settings.privacy_file))
    if settings.privacy_schedule:
        believed = clock_is_synchronised if settings.privacy_clock == "synchronised" else lambda: True
        sources.append(Schedule(settings.privacy_schedule, believed))
    if settings.privacy_gpio:
        sources.append(GpioSwitch(parse_line(settings.privacy_gpio)))
    return PrivacySwitch(name, Latch(state_dir, name), sources)


def why_private(name: str, settings: CameraSettings, state_dirs: Iterable[Path]) -> str:
    """For whoever is not the daemon and would open the camera: why that must not be; empty when it may. `state_dirs` are all
    places where the daemon may have kept what was set."""
    for place in state_dirs:
        switch = camera_switch(name, settings, place)
        switch.begin()
        if switch.private:
            return switch.detail
    return ""
