"""Which path is found between camera and viewer, and how soon there is a picture: each kind of network once.

`python -m tests.network` writes the table into docs/connectivity.md.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aiortc import RTCIceServer

from edgecam.errors import EdgecamError
from edgecam.settings import IceServer, IceSettings
from tests.network.coturn import LONG_TERM, PASSWORD, PORT, TLS_PORT, USER, Coturn, coturn
from tests.network.namespaces import PUBLIC_ADDRESS
from tests.network.nats import PUBLIC_V6, VIEWER_LAN, Homes, Nat, homes
from tests.network.patients import certificate
from tests.network.sides import CameraSide, calling, camera_side, side, until

STUN = f"stun:{PUBLIC_ADDRESS}:{PORT}"
TURN = {
    "udp": f"turn:{PUBLIC_ADDRESS}:{PORT}?transport=udp",
    "tcp": f"turn:{PUBLIC_ADDRESS}:{PORT}?transport=tcp",
    "tls": f"turns:{PUBLIC_ADDRESS}:{TLS_PORT}?transport=tcp",
}
SILENT = "192.0.2.99"  # routed nowhere: what goes there is never answered
Way = Literal["none", "udp", "tcp", "tls"]


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of network. `turn`: how the camera reaches a TURN server; `viewer_turn`: how the viewer does.

    `expected`: direct, relay, or the code of the diagnosis."""

    camera: Nat
    viewer: Nat
    turn: Way
    expected: str
    special: str = ""
    viewer_turn: Way = "none"
    options: dict[str, Any] = field(default_factory=dict)  # of `Homes.routers`
    ice: dict[str, Any] = field(default_factory=dict)
    password: str = PASSWORD  # for the camera's TURN server
    silent: bool = False  # a silent STUN and a silent TURN server stand first in the camera's list

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.camera, self.viewer, self.turn, self.special))).replace(" ", "-")


def _nats() -> Iterator[Row]:
    kinds: tuple[Nat, Nat] = ("cone", "symmetric")
    ways: tuple[Way, ...] = ("none", "udp", "tcp", "tls")
    for camera in kinds:
        for viewer in kinds:
            for turn in ways:
                direct = camera == viewer == "cone"
                yield Row(camera, viewer, turn, "direct" if direct else "ice-needs-relay" if turn == "none" else "relay")


ROWS = (
    *_nats(),
    Row("symmetric", "symmetric", "udp", "relay", "standing relay", ice={"standby_relay": True}),
    Row("symmetric", "symmetric", "udp", "relay", "only relays allowed", ice={"policy": "relay"}),
    Row("cone", "cone", "none", "direct", "silent servers in the list", silent=True),
    Row("symmetric", "symmetric", "udp", "relay", "silent servers in the list", silent=True),
    Row("symmetric", "symmetric", "none", "relay", "TURN at the viewer only", viewer_turn="udp"),
    Row("cone", "cone", "tcp", "relay", "UDP blocked at the camera", options={"udp_blocked_at": "camera"}),
    Row("cone", "cone", "udp", "relay", "UDP blocked at the viewer", viewer_turn="tcp", options={"udp_blocked_at": "viewer"}),
    Row("symmetric", "symmetric", "udp", "turn-401", "TURN refuses the password", password="mistyped"),
    Row("symmetric", "symmetric", "none", "direct", "IPv6-only viewer", options={"ipv6": True}),
    Row("symmetric", "symmetric", "udp", "relay", "IPv6-only viewer, no UDP to the camera", options={"ipv6": True, "apart": True}),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a row; times in milliseconds since the viewer's offer. `path` is the diagnosis' code when there is none."""

    path: str
    answered: float | None
    video: float | None


@contextmanager
def town() -> Iterator[tuple[Homes, Coturn]]:
    """The machines, with a TURN server on UDP, TCP and TLS whose certificate this process trusts."""
    with homes() as made, tempfile.TemporaryDirectory() as directory:
        chain, key = certificate(Path(directory) / "ca", PUBLIC_ADDRESS)
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(chain)
        try:
            both = f"{LONG_TERM}listening-ip={PUBLIC_V6}\nrelay-ip={PUBLIC_V6}\n"
            with coturn(made.public, Path(directory) / "turn", both, (chain, key)) as server:
                yield made, server
        finally:
            os.environ.pop("SSL_CERT_FILE")
            if before is not None:
                os.environ["SSL_CERT_FILE"] = before


def ice_settings(urls: Sequence[str], password: str = PASSWORD, **more: Any) -> IceSettings:
    entries = [IceServer.model_validate({"urls": url, "username": USER, "credential": password}) for url in urls]
    return IceSettings(servers=tuple(entries), **more)


def run_row(made: Homes, row: Row) -> Outcome:
    """Set the routers, call, and see what comes."""
    gc.collect()  # or it happens in the middle, for 40 ms: this process has both ends and all rows before in it
    made.routers(row.camera, row.viewer, **row.options)
    urls = [f"stun:{SILENT}", f"turn:{SILENT}"] if row.silent else []
    urls += [STUN] + ([TURN[row.turn]] if row.turn != "none" else [])
    servers = [RTCIceServer(STUN)] if row.options.get("udp_blocked_at") != "viewer" else []
    if row.viewer_turn != "none":
        servers.append(RTCIceServer(TURN[row.viewer_turn], USER, PASSWORD))
    ice = ice_settings(urls, row.password, **row.ice)
    with camera_side(made.camera, ice) as camera, _viewers_ipv4(made, row), side(made.viewer) as viewer:
        if row.ice.get("standby_relay"):
            until(lambda: bool(camera.stage.viewers.standby.as_dict()["ready"]))
        return viewer.run(_call(camera, servers))


async def _call(camera: CameraSide, servers: Sequence[RTCIceServer]) -> Outcome:
    try:
        async with calling(camera, ice_servers=servers) as call:
            pictures = asyncio.ensure_future(call.pictures(within=20))
            failed = asyncio.ensure_future(_failure(camera))
            await asyncio.wait({pictures, failed}, return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                pictures.cancel()
                return Outcome(failed.result(), call.answered_ms, None)
            failed.cancel()
            (session,) = camera.stage.viewers
            return Outcome(session.path.kind if session.path else "", call.answered_ms, pictures.result())
    except EdgecamError as error:
        return Outcome(error.code, None, None)


async def _failure(camera: CameraSide) -> str:
    """The code of the first session that finds no path."""
    while not (known := camera.stage.viewers.failures.as_list()):  # noqa: ASYNC110 - it happens in another thread
        await asyncio.sleep(0.02)
    return str(known[0]["code"])


@contextmanager
def _viewers_ipv4(made: Homes, row: Row) -> Iterator[None]:
    """Taken away for the row that is about IPv6."""
    if not row.options.get("ipv6"):
        yield
        return
    made.viewer.ip("address", "del", f"{VIEWER_LAN}.2/24", "dev", "eth0")
    try:
        yield
    finally:
        made.viewer.ip("address", "add", f"{VIEWER_LAN}.2/24", "dev", "eth0")
        made.viewer.ip("route", "add", "default", "via", f"{VIEWER_LAN}.1")

