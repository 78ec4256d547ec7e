"""What the hub needs to know about other instances of the server: two protocols, and the case that there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from edgecam.server.seats import CameraSeat, ViewerSeat
    from edgecam.signaling import wire


class Host(Protocol):
    """Another instance, at which cameras are registered. No method blocks or raises."""

    @property
    def name(self) -> str:
        """What people call it."""

    def holds(self, camera_id: str, instance_id: str) -> bool:
        """Whether the camera there has this instance id, and may therefore move here."""

    def contest(self, camera_id: str) -> None:
        """Another sender wants to be that camera: it is let go if its connection is gone and only its place is kept."""

    def join(self, viewer: ViewerSeat) -> None:
        """A viewer of this instance watches a camera there: both sides are told there."""

    def leave(self, viewer: ViewerSeat) -> None:
        """It no longer does."""

    def relay(self, viewer: ViewerSeat, message: wire.Message) -> bool:
        """Pass on what the viewer says to its camera; False when the other instance cannot be reached now."""


class Backplane(Protocol):
    """Who is told about the cameras of this instance. No method blocks or raises."""

    def camera_came(self, seat: CameraSeat) -> None:
        """A camera has registered here, or has changed its title."""

    def camera_left(self, camera_id: str, stamp: int) -> None:
        """The camera that registered at `stamp` is no longer here."""

    @property
    def status(self) -> dict[str, object]:
        """What /status says about the instances; empty when this one stands alone."""

    @property
    def gauges(self) -> tuple[tuple[str, str, int], ...]:
        """What /metrics says about them: name, help, value."""


class Alone:
    """The Backplane of a server that is the only one."""

    status: dict[str, object] = {}  # noqa: RUF012 - never written to
    gauges: tuple[tuple[str, str, int], ...] = ()

    def camera_came(self, seat: CameraSeat) -> None:
        pass

    def camera_left(self, camera_id: str, stamp: int) -> None:
        pass
