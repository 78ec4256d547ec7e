"""A daemon that is open to the network, and a laptop on it: watching takes the link that was printed."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.browser.scenes import picture
from tests.harness.browser import Browser
from tests.harness.daemons import toml
from tests.harness.ports import free_port
from tests.harness.processes import run_edgecam
from tests.harness.waiting import until
from tests.harness.web import Reply, request
from tests.network.hosts import RemoteDaemon
from tests.network.namespaces import CAMERA_ADDRESS, Network
from tests.network.terminal import Screen, at_a_terminal


@pytest.fixture
def screen(network: Network, tmp_path: Path) -> Iterator[Screen]:
    """A daemon that a person started at a terminal of the camera's machine, open to the network, without a token in
    its configuration."""
    file = tmp_path / "edgecam.toml"
    listen = f"0.0.0.0:{free_port()}"
    tables = {
        "state_dir": str(tmp_path / "state"),
        "log": {"level": "debug", "format": "json"},
        "web": {"listen": listen},
        "camera": {"front": picture(title="Front door")},
    }
    file.write_text(toml(tables))
    with at_a_terminal(network.camera, ["run", "--config", file], tmp_path) as running:
        until(lambda: "daemon.ready" in running.logged, within=20, what="ready", explain=lambda: running.logged)
        yield running


def printed_link(screen: Screen) -> str:
    """The link on the terminal that leads to the camera's machine from elsewhere."""
    (link,) = re.findall(rf"http://{CAMERA_ADDRESS}:\d+/\?token=\S+", "\n".join(screen.lines))
    return str(link)


def test_the_laptop_watches_with_the_printed_link(screen: Screen, laptop: Browser) -> None:
    link = printed_link(screen)
    with laptop.visit(link) as visit:
        visit.page.wait_for_url(lambda url: "token" not in url)
        visit.page.goto(link.partition("?")[0] + "view/front")
        visit.wait_playing()
        visit.assert_moving()
        assert visit.page.title() == "Front door · edgecam"
        visit.page.reload()  # the link has been changed into a cookie
        visit.wait_playing()


def test_the_token_may_also_be_put_on_the_viewer_page(screen: Screen, laptop: Browser) -> None:
    with laptop.visit(printed_link(screen).replace("/?", "/view/front?")) as visit:
        visit.wait_playing()
        assert "token" not in visit.page.url


def test_without_the_token_the_laptop_gets_a_page_that_says_so(screen: Screen, laptop: Browser) -> None:
    parts = urlsplit(printed_link(screen))
    with laptop.visit("about:blank", tolerates=["401"]) as visit:
        for path in ("/view/front", "/", "/view/front?token=guessed-and-wrong-token"):
            answer = visit.page.goto(f"http://{parts.netloc}{path}")
            assert answer is not None
            assert answer.status == 401
            assert "token" in visit.page.locator("h1").inner_text()
            assert visit.page.locator("video").count() == 0


def test_without_the_token_nothing_but_healthz_answers(screen: Screen, network: Network) -> None:
    port = urlsplit(printed_link(screen)).port
    assert port is not None

    def ask(method: str, path: str, body: str | None = None) -> Reply:
        with network.viewer.inside():
            return request(port, method, path, body, {"Content-Type": "application/sdp"}, host=CAMERA_ADDRESS)

    assert ask("GET", "/healthz").status == 200
    for path in ("/api/v1/status", "/api/v1/viewer", "/api/v1/cameras/front/snapshot.jpg", "/metrics", "/readyz"):
        assert ask("GET", path).status == 401, path
    assert ask("POST", "/whep/front", "v=0").status == 401


def test_the_link_is_printed_once_and_the_token_is_private(screen: Screen, tmp_path: Path) -> None:
    token = printed_link(screen).partition("token=")[2]
    file = tmp_path / "state" / "web-token"
    assert file.read_text().strip() == token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token not in screen.logged
    assert sum(token in line for line in screen.lines) == 2  # one link for this machine, one for the network
    assert len(screen.lines) == 2


def test_status_link_shows_the_link_again(network: Network, tmp_path: Path) -> None:
    with RemoteDaemon(network.camera, {"camera": {"front": picture()}}, tmp_path / "daemon") as daemon:
        with network.camera.inside():
            shown = run_edgecam("status", "--link", "--config", daemon.file, state_dir=tmp_path)
        assert shown.returncode == 0, shown.stderr
        assert daemon.link(CAMERA_ADDRESS) in shown.stdout.splitlines()


def test_without_a_terminal_the_token_is_printed_nowhere(network: Network, tmp_path: Path) -> None:
    with RemoteDaemon(network.camera, {"camera": {"front": picture()}}, tmp_path / "daemon") as daemon:
        daemon.wait_ready()
        said = "\n".join([*daemon.lines, *daemon.printed])
        assert daemon.token not in said
        assert str(daemon.token_file) in said
        assert stat.S_IMODE(daemon.token_file.stat().st_mode) == 0o600
