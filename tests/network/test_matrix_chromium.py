"""The same networks with Chromium at the viewer's home: it hides its addresses behind names, and chooses the path itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser.scenes import picture
from tests.harness.browser import Browser, Visit, running_browser
from tests.harness.waiting import until
from tests.network.coturn import PASSWORD, USER, Coturn
from tests.network.hosts import RemoteDaemon, RemoteServer, ice_server
from tests.network.matrix import SILENT, STUN, TURN, town
from tests.network.namespaces import PUBLIC_ADDRESS
from tests.network.nats import CAMERA_LAN, Homes

TOKEN = "a token of the signaling server"


@pytest.fixture(scope="module")
def built() -> Iterator[tuple[Homes, Coturn]]:
    with town() as both:
        yield both


@pytest.fixture(scope="module")
def at_home(built: tuple[Homes, Coturn]) -> Iterator[Browser]:
    """Chromium on the viewer's machine."""
    made, _server = built
    with ExitStack() as stack:
        with made.viewer.inside():
            browser = stack.enter_context(running_browser())
        yield browser


@contextmanager
def watching(
    made: Homes, browser: Browser, directory: Path, urls: Sequence[str], **ice: Any
) -> Iterator[tuple[RemoteDaemon, Visit]]:
    """Camera and page meet at a signaling server in the middle, which hands out these servers."""
    servers = [ice_server(url, USER, PASSWORD, table="server.ice_servers") for url in urls]
    with RemoteServer(made.public, {"server": {"token": TOKEN}}, directory / "server", servers) as server:
        config = {
            "camera": {"front": picture()},
            "signaling": {"home": {"url": f"ws://{PUBLIC_ADDRESS}:{server.port}/ws", "token": TOKEN}},
            "ice": ice,
        }
        with RemoteDaemon(made.camera, config, directory / "daemon") as daemon:
            server.wait_camera("front")
            with browser.visit(f"http://{PUBLIC_ADDRESS}:{server.port}/view/front?token={TOKEN}") as visit:
                visit.wait_playing()
                yield daemon, visit


def first_frame_ms(visit: Visit) -> float:
    return float(visit.page.evaluate("edgecam.events.filter(({type}) => type === 'first-frame').at(-1).ms"))


CAMERA_BLOCKED, VIEWER_BLOCKED = {"udp_blocked_at": "camera"}, {"udp_blocked_at": "viewer"}


@pytest.mark.parametrize(
    ("nats", "urls", "options", "ice", "path"),
    [
        (("cone", "cone"), [STUN], {}, {}, "direct"),
        (("cone", "cone"), [f"stun:{SILENT}", f"turn:{SILENT}", STUN], {}, {}, "direct"),
        (("symmetric", "symmetric"), [STUN, TURN["udp"]], {}, {}, "relay"),
        (("symmetric", "symmetric"), [TURN["udp"]], {}, {"policy": "relay"}, "relay"),
        (("cone", "symmetric"), [STUN, TURN["tcp"]], {}, {}, "relay"),
        (("cone", "cone"), [STUN, TURN["udp"], TURN["tcp"]], CAMERA_BLOCKED, {}, "relay"),
        (("cone", "cone"), [STUN, TURN["udp"], TURN["tcp"]], VIEWER_BLOCKED, {}, "relay"),
    ],
    ids=["cones", "silent servers", "symmetric", "only relays", "tcp", "no UDP at the camera", "no UDP at the viewer"],
)
def test_chromium_finds_the_path(
    built: tuple[Homes, Coturn],
    at_home: Browser,
    tmp_path: Path,
    nats: tuple[Any, Any],
    urls: list[str],
    options: dict[str, Any],
    ice: dict[str, Any],
    path: str,
) -> None:
    made, _server = built
    made.routers(*nats, **options)
    with watching(made, at_home, tmp_path, urls, **ice) as (daemon, visit):
        until(lambda: daemon.wait_viewers(1)[0]["path"] == path, within=10, what=f"a path that is {path}")
        visit.assert_moving()
        assert first_frame_ms(visit) < 5000
        print(f"first picture after {first_frame_ms(visit):.0f} ms")


def test_when_the_cameras_address_changes_chromium_is_called_anew(
    built: tuple[Homes, Coturn], at_home: Browser, tmp_path: Path
) -> None:
    made, _server = built
    made.routers("cone", "cone")
    with watching(made, at_home, tmp_path, [STUN]) as (daemon, visit):
        visit.mark_connection()
        try:
            made.camera.ip("address", "add", f"{CAMERA_LAN}.9/32", "dev", "eth0")
            made.camera.ip("route", "replace", "default", "via", f"{CAMERA_LAN}.1", "dev", "eth0", "src", f"{CAMERA_LAN}.9", "onlink")
            made.camera.ip("address", "del", f"{CAMERA_LAN}.2/24", "dev", "eth0")
            daemon.wait_logged("viewer.left", code="address-lost")
            visit.wait_for("edgecam.pc && edgecam.pc !== window.markedConnection")
            visit.wait_playing()
        finally:
            made.camera.ip("address", "flush", "dev", "eth0", "scope", "global", "to", f"{CAMERA_LAN}.0/24")
            made.camera.ip("address", "add", f"{CAMERA_LAN}.2/24", "dev", "eth0")
            made.camera.ip("route", "replace", "default", "via", f"{CAMERA_LAN}.1")
