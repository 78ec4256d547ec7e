"""What an allocation that stands by lets in before anybody has said who comes."""

from __future__ import annotations

import re
import time

from aiortc import RTCIceServer

from edgecam.peers import PeerKey
from tests.network.browserlike import BrowserlikeViewer
from tests.network.coturn import PASSWORD, USER
from tests.network.matrix import TURN, ice_settings, town
from tests.network.sides import CameraSide, camera_side, side, until


async def watch(camera: CameraSide) -> tuple[float, str, str]:
    """Seconds to a picture and both ends of the path, for a viewer that is relayed by the same server and names no address."""
    viewer = BrowserlikeViewer([RTCIceServer(TURN["udp"], USER, PASSWORD)], lambda _found: None, lambda: None, policy="relay")
    async with viewer:
        offer, removed = re.subn(r"a=candidate:.*\r\n", "", await viewer.offer(h264_only=True))
        assert removed == 1
        begun = time.monotonic()
        await viewer.accept(await camera.side.ask(camera.stage.viewers.answer(PeerKey("test", "front", "viewer"), offer)))
        await viewer.decoded(1)
        (session,) = camera.stage.viewers
        assert session.path is not None
        return time.monotonic() - begun, session.path.local_type, session.path.remote_type


def test_a_viewer_at_the_same_turn_server_comes_in_before_it_is_announced() -> None:
    with town() as (made, _server):
        made.routers("symmetric", "symmetric")
        settings = ice_settings([TURN["udp"]], policy="relay", standby_relay=True)
        with camera_side(made.camera, settings) as camera, side(made.viewer) as there:
            until(lambda: bool(camera.stage.viewers.standby.as_dict()["ready"]))
            took, *path = there.run(watch(camera))
            assert path == ["relay", "prflx"]
            assert took < 2
