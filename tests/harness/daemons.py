"""The daemon and the signaling server, each from a configuration file of the test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.harness.ports import free_port
from tests.harness.processes import Edgecam, children
from tests.harness.waiting import until
from tests.harness.web import Reply, request

START_WITHIN = 25.0  # seconds; two cores may be busy with a browser and other tests


def toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """A nested mapping as TOML: scalars and lists of scalars, dotted tables. JSON's literals are TOML's."""
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"[{prefix}]"] if prefix and plain else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            name = f"{prefix}.{key}" if prefix else key
            lines.append(toml(value, name) if value else f"[{name}]")
    return "\n".join(lines) + "\n"


class Listening(Edgecam):
    """A process with an HTTP listener on `host:port` and its configuration in `state_dir`."""

    section = ""

    def __init__(
        self,
        command: str,
        config: Mapping[str, Any],
        state_dir: Path,
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port if port is not None else free_port()
        state_dir.mkdir(parents=True, exist_ok=True)
        self.file = state_dir / f"{command}.toml"
        own = {**config.get(self.section, {}), "listen": f"{host}:{self.port}"}
        whole = {
            "state_dir": str(state_dir),
            "log": {"format": "json"},
            **config,
            self.section: own,
        }
        self.file.write_text(toml(whole))
        super().__init__([command, "--config", self.file], state_dir, env)

    def start(self) -> None:
        """Start, and wait until it answers."""
        super().start()
        until(self._healthy, within=START_WITHIN, what="an answer from /healthz", explain=lambda: "\n".join(self.lines))

    def _healthy(self) -> bool:
        assert self.returncode is None, f"ended with {self.returncode}:\n" + "\n".join(self.lines)
        try:
            return self.request("GET", "/healthz").status == 200
        except OSError:
            return False

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        return request(self.port, method, path, body, headers)

    def get(self, path: str, **headers: str) -> Reply:
        return self.request("GET", path, headers=headers)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Daemon(Listening):
    """`edgecam run`. Cameras and signaling come from `config`."""

    section = "web"

    def __init__(self, config: Mapping[str, Any], state_dir: Path, **options: Any) -> None:
        super().__init__("run", config, state_dir, **options)

    def status(self) -> dict[str, Any]:
        """The document of /api/v1/status."""
        reply = self.get("/api/v1/status")
        assert reply.status == 200, reply
        document = reply.json
        assert isinstance(document, dict)
        return document

    def camera(self, name: str | None = None) -> dict[str, Any]:
        """One camera of the status; the only one when no name is given."""
        cameras = self.status()["cameras"]
        (found,) = [camera for camera in cameras if name in (None, camera["name"])]
        assert isinstance(found, dict)
        return found

    def wait_ready(self, within: float = START_WITHIN) -> None:
        """Until /readyz says 200."""
        until(
            lambda: self.get("/readyz").status == 200,
            within=within,
            what="ready",
            explain=lambda: self.get("/readyz").text,
        )

    def wait_camera(self, name: str | None = None, within: float = START_WITHIN, **fields: object) -> dict[str, Any]:
        """Until the status of a camera (the only one) holds these values; returns it."""

        def look() -> dict[str, Any] | None:
            camera = self.camera(name)
            return camera if all(camera[key] == value for key, value in fields.items()) else None

        return until(look, within=within, what=f"a camera with {fields}", explain=lambda: self.camera(name))

    def wait_units(self, name: str, count: int, within: float = 15.0) -> None:
        """Until that camera has delivered so many access units."""
        until(lambda: self.camera(name)["units"] >= count, within=within, what=f"{count} access units of {name}")

    def wait_viewers(self, count: int, within: float = 15.0) -> list[dict[str, Any]]:
        """Until that many viewers are connected, and no other session is left; returns them."""

        def look() -> tuple[list[dict[str, Any]]] | None:
            viewers = self.status()["viewers"]
            all_connected = all(viewer["state"] == "connected" for viewer in viewers)
            return (viewers,) if len(viewers) == count and all_connected else None

        what = f"{count} connected viewers"
        return until(look, within=within, what=what, explain=lambda: self.status()["viewers"])[0]

    def viewer(self, identity: str) -> dict[str, Any] | None:
        """The viewer of that id, None when it has no session. The status shows only how ids begin."""
        return next((viewer for viewer in self.status()["viewers"] if viewer["id"][:8] == identity[:8]), None)

    @property
    def capture_processes(self) -> list[int]:
        return children(self.pid)


class Server(Listening):
    """`edgecam server`."""

    section = "server"

    def __init__(self, config: Mapping[str, Any], state_dir: Path, **options: Any) -> None:
        super().__init__("server", config, state_dir, **options)

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def wait_camera(self, name: str, within: float = 15.0) -> None:
        """Until that camera is registered."""
        until(
            lambda: any(c["id"] == name and c["online"] for c in self.get("/api/v1/cameras").json),
            within=within,
            what=f"camera {name} registered at the server",
            explain=lambda: self.get("/status").text,
        )
