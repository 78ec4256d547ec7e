"""The shipped configurations of nginx and Caddy: sockets, addresses, TLS, pages and WHEP go through."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.browser.scenes import picture
from tests.harness.browser import Browser
from tests.harness.daemons import Daemon, Server
from tests.harness.ports import free_port
from tests.harness.processes import run_edgecam
from tests.phone.test_send_page import LIVE, PHONE, assert_moving
from tests.setups.proxies import Proxy, proxy

VISITOR = "127.0.0.7"


def apart(main: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run it in a thread: this one has Playwright's event loop."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(_whole(main))).result()


async def _whole(main: Callable[[], Coroutine[None, None, None]]) -> None:
    await main()
    await asyncio.sleep(0.25)  # aiohttp tells nobody when its TLS connections are closed; this is what its documents advise


@dataclass(frozen=True, slots=True)
class Site:
    proxy: Proxy
    server: Server
    daemon: Daemon
    audit: Path

    def invite(self, *arguments: str) -> str:
        """The first line that `edgecam invite` prints."""
        done = run_edgecam("invite", "--config", self.server.file, *arguments, state_dir=self.server.state_dir)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[0]


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp(request.param)
    audit, ports = directory / "audit.jsonl", (free_port(), free_port())
    with proxy(request.param, directory, certificate, *ports) as running:
        section = {"public_url": running.url("cams.example"), "audit_file": str(audit)}
        web = {"allowed_hosts": ["camera.example"], "token": "daemon-token-1234"}
        camera = {"front": picture(width=320, height=240, fps=15)}
        with (
            Server({"server": section}, directory / "server", port=ports[0]) as server,
            Daemon({"web": web, "camera": camera}, directory / "daemon", port=ports[1]) as daemon,
        ):
            yield Site(running, server, daemon, audit)


def talk(site: Site) -> dict[str, object]:
    """Register as a camera through the proxy, from VISITOR, and say what the audit log says of it."""

    async def main() -> None:
        token = site.invite("--role", "camera", "--camera", "yard", "--token-only")
        headers = {"Authorization": f"Bearer {token}", "Host": f"cams.example:{site.proxy.port}", "X-Forwarded-For": "203.0.113.66"}
        connector = aiohttp.TCPConnector(ssl=False, local_addr=(VISITOR, 0))
        async with aiohttp.ClientSession(connector=connector) as client:
            url = f"https://127.0.0.1:{site.proxy.port}/ws"
            async with client.ws_connect(url, headers=headers, server_hostname="cams.example") as ws:
                assert (await ws.receive_json(timeout=5))["type"] == "welcome"
                await ws.send_json({"type": "register", "role": "sender", "cameraId": "yard"})
                assert (await ws.receive_json(timeout=5))["type"] == "registered"
                large = {"type": "offer", "sdp": "v=0 " + "x" * 100_000}
                await ws.send_json(large)
                assert (await ws.receive_json(timeout=5))["code"] == "peer-absent"

    apart(main)
    entries = [json.loads(line) for line in site.audit.read_text().splitlines()]
    return next(entry for entry in reversed(entries) if entry["event"] == "camera-registered")


def test_a_socket_opens_and_the_audit_log_has_the_visitors_address(site: Site) -> None:
    assert talk(site)["remote"] == VISITOR  # and neither the proxy's, nor what the visitor claimed


def test_no_token_no_entry_and_the_proxys_log_keeps_no_token(site: Site) -> None:
    link = site.invite("--camera", "yard")

    async def main() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as client:
            base = f"https://127.0.0.1:{site.proxy.port}"
            host = {"Host": f"cams.example:{site.proxy.port}"}
            async with client.get(f"{base}/", headers=host, server_hostname="cams.example") as reply:
                assert reply.status == 401
            path = link.removeprefix(site.proxy.url("cams.example"))
            async with client.get(base + path, headers=host, server_hostname="cams.example", allow_redirects=False) as reply:
                assert (reply.status, reply.headers["Location"]) == (303, "/view/yard")
                assert "Secure" in reply.headers["Set-Cookie"]
            own = {**host, "Origin": site.proxy.url("cams.example"), "Authorization": f"Bearer {link.partition('token=')[2]}"}
            async with client.get(f"{base}/api/v1/cameras", headers=own, server_hostname="cams.example") as reply:
                assert reply.status == 200
            own["Origin"] = "https://evil.example"
            async with client.get(f"{base}/api/v1/cameras", headers=own, server_hostname="cams.example") as reply:
                assert reply.status == 403

    apart(main)
    token = link.partition("token=")[2]
    logs = [site.proxy.log, site.proxy.log.with_name("access.log")]
    assert not any(token in log.read_text() for log in logs if log.exists())


def test_whep_goes_through_with_all_its_methods(site: Site) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as client:
            url = f"https://127.0.0.1:{site.proxy.port}/whep/front"
            headers = {"Host": f"camera.example:{site.proxy.port}", "Authorization": "Bearer daemon-token-1234"}
            async with client.options(url, headers=headers, server_hostname="camera.example") as reply:
                assert reply.status in {200, 204}
            sdp = {**headers, "Content-Type": "application/sdp"}
            async with client.post(url, data="v=0\r\n", headers=sdp, server_hostname="camera.example") as reply:
                assert reply.status == 400  # the daemon's own word about that offer
            for method in ("PATCH", "DELETE"):
                async with client.request(method, f"{url}/nothing", headers=headers, server_hostname="camera.example") as reply:
                    assert reply.status in {404, 405, 412, 415, 428}, method

    apart(main)


def test_a_phone_is_watched_through_the_proxy(site: Site, browser: Browser) -> None:
    links = site.invite("--role", "camera", "--camera", "yard"), site.invite("--camera", "yard")
    with browser.visit(links[0], ignore_https_errors=True, **PHONE) as sender:
        sender.page.select_option("#size", "640x480")
        sender.page.tap("#btn-send")
        sender.wait_for(LIVE)
        with browser.visit(links[1], ignore_https_errors=True) as viewer:
            viewer.wait_playing()
            assert_moving(viewer)


def test_the_daemons_viewer_page_plays_by_whep_through_the_proxy(site: Site, browser: Browser) -> None:
    link = site.proxy.url("camera.example") + "/view/front?token=daemon-token-1234"
    with browser.visit(link, ignore_https_errors=True) as viewer:
        viewer.wait_playing()
        viewer.assert_moving()
