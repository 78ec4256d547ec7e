"""The privacy switch: who says that a camera is private, and that it stays closed meanwhile; docs/privacy.md."""

from edgecam.privacy.switch import PrivacySource, PrivacySwitch, never_private
from edgecam.privacy.wiring import camera_switch, why_private

__all__ = ["PrivacySource", "PrivacySwitch", "camera_switch", "never_private", "why_private"]
