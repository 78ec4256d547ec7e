"""nginx and Caddy with the configuration that is shipped, in front of a server and a daemon of the test."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.ports import free_port
from tests.harness.waiting import until

CONFIG = Path(__file__).parents[2] / "config"


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it answers with https. What it says is in `log`."""

    port: int
    log: Path

    def url(self, name: str) -> str:
        return f"https://{name}:{self.port}"


@contextmanager
def proxy(kind: str, directory: Path, pair: tuple[Path, Path], server: int, daemon: int) -> Iterator[Proxy]:
    """`server` and `daemon` are the ports that stand as 8080 and 8088 in the files."""
    port = free_port()
    text = (CONFIG / {"nginx": "nginx.conf", "caddy": "Caddyfile"}[kind]).read_text()
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{server}").replace("127.0.0.1:8088", f"127.0.0.1:{daemon}")
    command = (_nginx if kind == "nginx" else _caddy)(text, directory, pair, port)
    program = shutil.which(command[0])
    if program is None:
        raise RuntimeError(f"{command[0]} is missing: apt-get install nginx-light caddy")
    log = directory / "proxy.log"
    with log.open("wb") as output:
        process = subprocess.Popen([program, *command[1:]], stdout=output, stderr=output, cwd=directory)
    try:
        until(lambda: _listens(port), within=20, what=f"{kind} listening", explain=log.read_text)
        yield Proxy(port, log)
    finally:
        process.terminate()
        process.wait(10)


def _nginx(text: str, directory: Path, pair: tuple[Path, Path], port: int) -> list[str]:
    plain = free_port()
    for old, new in (
        ("listen 443 ssl", f"listen {port} ssl"),
        ("listen [::]:443 ssl", f"listen [::1]:{port} ssl"),
        ("listen 80", f"listen {plain}"),
        ("listen [::]:80", f"listen [::1]:{plain}"),
        ("/etc/letsencrypt/live/cams.example", str(pair[0].parent)),
        ("/var/log/nginx/edgecam.log", str(directory / "access.log")),
    ):
        assert old in text, old
        text = text.replace(old, new)
    (directory / "site.conf").write_text(text)
    temporary = " ".join(f"{each}_temp_path {directory}/{each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    main = f"daemon off; user root; pid {directory}/nginx.pid; events {{}} http {{ {temporary} include {directory}/site.conf; }}\n"
    (directory / "nginx.conf").write_text(main)
    return ["nginx", "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", "stderr"]


def _caddy(text: str, directory: Path, pair: tuple[Path, Path], port: int) -> list[str]:
    for name in ("cams.example", "camera.example"):
        assert f"\n{name} {{" in text
        text = text.replace(f"\n{name} {{", f"\n{name}:{port} {{\n\ttls {pair[0]} {pair[1]}")
    options = f"{{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n\tstorage file_system {directory}\n}}\n"
    (directory / "Caddyfile").write_text(options + text)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(directory / "Caddyfile")]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
