"""Janus with nothing but its streaming plugin, on loopback, from a configuration of its own."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.janus_client import MOUNTPOINT
from tests.harness.ports import free_port

BINARY = Path("/usr/bin/janus")
PLUGINS = Path("/usr/lib")
START_WITHIN = 15.0  # seconds

_GENERAL = """
general: {{ configs_folder = "{directory}", server_name = "bench", session_timeout = 0, debug_level = 3 }}
nat: {{ ice_ignore_list = "vmnet" }}
plugins: {{ disable = "{plugins}" }}
transports: {{ disable = "{transports}" }}
"""
_HTTP = """
general: {{ json = "compact", base_path = "/janus", http = true, port = {port}, ip = "127.0.0.1", https = false }}
admin: {{ admin_http = false, admin_https = false }}
"""
_STREAMING = """
front: {{
  type = "rtp", id = {mountpoint}
  media = ({{ type = "video", mid = "v", label = "front", port = {port}, pt = 96, codec = "h264"
             fmtp = "profile-level-id=42e01f;packetization-mode=1" }})
}}
"""


@contextmanager
def running(directory: Path) -> Iterator[tuple[int, str]]:
    """(process id, URL of its API); its stream comes from a process of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    api, media = free_port(), free_port()
    _configure(directory, api, media)
    with (directory / "janus.log").open("wb") as output:
        process = subprocess.Popen([BINARY, "-F", directory, "-o"], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        sender = subprocess.Popen([sys.executable, "-m", "tests.bench.references.rtp_sender", str(media)])
        try:
            _wait(api, process, directory / "janus.log")
            yield process.pid, f"http://127.0.0.1:{api}/janus"
        finally:
            for each in (sender, process):
                each.kill()
                each.wait()


def _configure(directory: Path, api: int, media: int) -> None:
    def others(kind: str, but: str) -> str:
        found = {file.name.partition(".so")[0] + ".so" for file in PLUGINS.glob(f"*/janus/{kind}/*.so*")}
        return ",".join(sorted(found - {but}))

    general = _GENERAL.format(
        directory=directory,
        plugins=others("plugins", "libjanus_streaming.so"),
        transports=others("transports", "libjanus_http.so"),
    )
    (directory / "janus.jcfg").write_text(general)
    (directory / "janus.transport.http.jcfg").write_text(_HTTP.format(port=api))
    (directory / "janus.plugin.streaming.jcfg").write_text(_STREAMING.format(mountpoint=MOUNTPOINT, port=media))


def _wait(api: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{api}/janus/info", timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Janus does not start: {log.read_text(errors='replace')[-400:]}") from None
            time.sleep(0.05)
        else:
            return
