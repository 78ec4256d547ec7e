"""All steps in their order: camera, encoder, addresses, signaling, clock, STUN, NAT, each TURN, paths, the call through the relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from edgecam.doctor.addresses import addresses_finding
from edgecam.doctor.call import try_call
from edgecam.doctor.camera import daemon_findings, private_findings, running, try_camera
from edgecam.doctor.clock import clock_finding
from edgecam.doctor.findings import Finding, Outcome, ok, problem, skipped
from edgecam.doctor.nat import stun_findings
from edgecam.doctor.network import Servers, Surroundings, look_at_servers, look_at_surroundings
from edgecam.doctor.servers import Endpoint
from edgecam.http.tokens import running_daemons_state_dirs
from edgecam.privacy import why_private
from edgecam.settings import CameraSettings, Settings

OPENING = 10.0  # seconds until the first picture for the call
LOOK = 0.05  # seconds


class Walk:
    """One walk through all steps. `daemon` is the status document of a running daemon, None when none runs."""

    def __init__(self, settings: Settings, daemon: dict[str, Any] | None) -> None:
        self._settings = settings
        self._daemon = daemon
        self._seeing: list[str] = []  # cameras that gave pictures

    async def steps(self) -> AsyncIterator[Finding]:
        """Findings in their order, each as soon as it is there: what is outside is looked at meanwhile."""
        outside = asyncio.create_task(self._outside(), name="doctor network")
        try:
            async for finding in self._camera_steps():
                yield finding
            outward = any(not _is_here(section.url) for section in self._settings.signaling.values())
            yield addresses_finding(self._settings.ice, outside=outward or bool(self._settings.ice.servers))
            surroundings, asking = await outside
            for finding in self._surroundings(surroundings):
                yield finding
            servers = await asking
            for finding in self._servers(surroundings.servers, servers):
                yield finding
        finally:
            outside.cancel()
        async for finding in self._calls(servers.usable):
            yield finding

    async def _outside(self) -> tuple[Surroundings, asyncio.Task[Servers]]:
        surroundings = await look_at_surroundings(self._settings, self._daemon)
        asking = look_at_servers(surroundings.servers, surroundings.clock)
        return surroundings, asyncio.create_task(asking, name="doctor servers")

    async def _camera_steps(self) -> AsyncIterator[Finding]:
        if self._daemon is not None:
            for finding in daemon_findings(self._daemon):
                yield finding
            return
        cameras = {name: camera for name, camera in self._settings.camera.items() if camera.enabled}
        if not cameras:
            remedy = 'add one, e.g. [camera.front] with source = "v4l2"; `edgecam probe` lists what is there'
            yield problem("camera", "", "the configuration names no camera", code="camera-unconfigured", remedy=remedy)
        for name, camera in cameras.items():
            private = why_private(name, camera, running_daemons_state_dirs(self._settings))
            if private:
                for finding in private_findings(name, private):
                    yield finding
                continue
            seen, encoded = await try_camera(name, camera)
            yield seen
            yield encoded
            if encoded.outcome is Outcome.OK:
                self._seeing.append(name)

    def _surroundings(self, found: Surroundings) -> Iterator[Finding]:
        yield from found.signaling
        if not found.signaling:
            yield skipped("signaling", "", "no signaling server is configured: viewers come to this machine's own page")
        yield from found.credentials
        yield clock_finding(found.clock)

    def _servers(self, listed: Sequence[Endpoint], found: Servers) -> Iterator[Finding]:
        yield from stun_findings([endpoint for endpoint in listed if endpoint.server.kind == "stun"], found.reach)
        if not found.turn:
            yield skipped("turn", "", "no TURN server is configured")
        for result in found.turn:
            yield result.finding
        yield _paths(found)

    async def _calls(self, usable: Sequence[Endpoint]) -> AsyncIterator[Finding]:
        if not usable:
            yield skipped("call", "", "there is no TURN server to call through")
            return
        name, camera = self._filmed()
        async with running(name, camera) as (pipeline, task):
            for _ in range(round(OPENING / LOOK)):
                if pipeline.units or task.done():
                    break
                await asyncio.wait([task], timeout=LOOK)
            if not pipeline.units:
                yield skipped("call", "", f"camera {name} gave no picture to send")
                return
            for endpoint in usable:
                yield await try_call(endpoint, pipeline, self._settings.ice)

    def _filmed(self) -> tuple[str, CameraSettings]:
        """The first camera that works and is free, else the test picture: a running daemon keeps its cameras."""
        for name in self._seeing:
            return name, self._settings.camera[name]
        return "test", CameraSettings(source="test", quality="low")


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def _paths(found: Servers) -> Finding:
    """What STUN and TURN mean for viewers somewhere else."""
    if found.usable:
        return ok("paths", "", "viewers anywhere: what cannot go directly goes through TURN")
    without = "no TURN server works" if found.turn else "there is no TURN server"
    mappings = found.reach.mappings
    if mappings.natted and mappings.symmetric:
        detail = f"this NAT is symmetric and {without}: viewers behind another such NAT (mobile networks, offices) see nothing"
        remedy = "name a TURN server in [[ice.servers]]: docs/turn.md"
        return problem("paths", "", detail, code="nat-symmetric", remedy=remedy)
    if not mappings.seen:
        return ok("paths", "", f"viewers on this network only: no STUN server answers, and {without}")
    return ok("paths", "", f"most viewers: {without}, so those behind a symmetric NAT may see nothing")
