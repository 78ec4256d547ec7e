"""SIGHUP to the server: who may come in, how many, and what they are handed; who is connected stays."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.daemon.reloading import WITHIN, merged
from tests.harness.daemons import Daemon, Server, toml
from tests.harness.processes import run_edgecam
from tests.harness.waiting import until

OLD, NEW = "the-token-of-before", "the-token-of-after"


class Reloaded(Server):
    """`token` is shown by this client."""

    token = OLD

    def status_of(self, path: str, token: str) -> int:
        return self.get(path, Authorization=f"Bearer {token}").status

    def wait_camera_count(self, count: int) -> None:
        def look() -> bool:
            listed = self.get("/api/v1/cameras", Authorization=f"Bearer {self.token}").json
            return len([camera for camera in listed if camera["online"]]) == count

        until(look, within=WITHIN, what=f"{count} cameras")

    def change(self, table: dict[str, Any], happened: Callable[[], object]) -> None:
        before = len(self.logged("server.reloaded"))
        self.file.write_text(toml(table))
        self.signal(signal.SIGHUP)
        until(lambda: len(self.logged("server.reloaded")) > before, within=WITHIN, what="the reload")
        assert happened()


def test_tokens_caps_hosts_and_the_log_level_change_and_who_is_connected_stays(tmp_path: Path) -> None:
    section = {"token": OLD, "max_cameras": 1}
    with Reloaded({"server": section}, tmp_path / "server") as server:
        whole: dict[str, Any] = {
            "state_dir": str(server.state_dir),
            "log": {"format": "json"},
            "server": {**section, "listen": f"127.0.0.1:{server.port}"},
        }
        camera = {"source": "test", "width": 320, "height": 180, "fps": 5}
        home = {"url": server.socket_url, "token": OLD}
        with Daemon({"camera": {"front": camera, "side": camera}, "signaling": {"home": home}}, tmp_path / "daemon") as daemon:
            server.wait_camera_count(1)
            changed = merged(whole, {"server": {"token": NEW, "max_cameras": 2, "allowed_hosts": ["cams.example"]}})
            server.change(changed, lambda: server.status_of("/status", NEW) == 200 and server.status_of("/status", OLD) == 401)
            assert server.get("/status", Authorization=f"Bearer {NEW}", Host="cams.example").status == 200
            server.token = NEW
            server.wait_camera_count(1)  # it was let in when its token was right
            assert not daemon.logged("component.state", code="signaling-lost")
            # Back again, and there is room for the second one.
            server.token = OLD
            server.change(merged(changed, {"server": {"token": OLD}}), lambda: server.status_of("/status", OLD) == 200)
            server.wait_camera_count(2)
            assert not server.logged("config.restart-needed")
            server.change(merged(whole, {"server": {"resume_within": 3}, "log": {"level": "debug"}}), lambda: True)
            assert server.logged("config.restart-needed", keys=["server.resume_within"])
            server.change({"server": {"sauce": 1}}, lambda: server.logged("config.refused"))
            assert server.status_of("/status", OLD) == 200
            said = run_edgecam("check-config", server.file, state_dir=tmp_path).stderr
            assert server.logged("config.refused")[0]["reason"] in said
        assert not [line for line in server.lines if OLD in line or NEW in line]
