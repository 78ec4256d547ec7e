"""Where on the broker a device writes, and where it listens."""

from __future__ import annotations

from dataclasses import dataclass

AVAILABLE, GONE = b"online", b"offline"


@dataclass(frozen=True, slots=True)
class Topics:
    """Below `root`, which is the configured prefix and the device's id."""

    root: str

    @property
    def availability(self) -> str:
        """`online` or `offline`, retained; the broker itself writes the latter when the device vanishes."""
        return f"{self.root}/availability"

    @property
    def device_state(self) -> str:
        """A JSON object, retained."""
        return f"{self.root}/state"

    def camera_state(self, camera: str) -> str:
        """A JSON object, retained. `+` for all cameras."""
        return f"{self.root}/camera/{camera}/state"

    def snapshot(self, camera: str) -> str:
        """JPEG, not retained."""
        return f"{self.root}/camera/{camera}/snapshot"

    def take_snapshot(self, camera: str) -> str:
        """Whatever is written here asks for a picture. `+` for all cameras."""
        return f"{self.root}/camera/{camera}/snapshot/take"

    def set_private(self, camera: str) -> str:
        """`ON` and `OFF`. `+` for all cameras."""
        return f"{self.root}/camera/{camera}/private/set"

    def camera_of(self, topic: str) -> str:
        """The camera that such a topic names, empty when it names none."""
        camera, _, _ = topic.removeprefix(f"{self.root}/camera/").partition("/")
        return camera if topic.startswith(f"{self.root}/camera/") else ""
