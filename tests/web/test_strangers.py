"""What keeps other web sites and other machines out of a running daemon."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.harness.daemons import Daemon
from tests.harness.processes import run_edgecam
from tests.web.conftest import TINY

SDP = "application/sdp"
OFFER = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n"
PATHS = ("/", "/view/front", "/readyz", "/metrics", "/api/v1/status", "/api/v1/cameras/front/snapshot.jpg")
ALLOWED = "https://home.example"


# on loopback, without a token: other web sites in a browser on this very machine


def test_a_rebound_host_name_reaches_nothing(daemon: Daemon) -> None:
    for path in (*PATHS, "/healthz"):
        reply = daemon.get(path, Host=f"attacker.example:{daemon.port}")
        assert reply.status == 403, path
        assert "allowed_hosts" in reply.text
    posted = daemon.request("POST", "/whep/front", OFFER, {"Host": "attacker.example", "Content-Type": SDP})
    assert posted.status == 403


def test_own_names_are_answered(daemon: Daemon) -> None:
    for host in ("127.0.0.1", "localhost", f"localhost:{daemon.port}", "[::1]"):
        assert daemon.get("/api/v1/status", Host=host).status == 200


def test_another_site_can_neither_post_an_offer_nor_end_a_session(daemon: Daemon) -> None:
    for origin in ("https://attacker.example", "http://127.0.0.1:1", "null"):
        headers = {"Origin": origin, "Content-Type": SDP}
        reply = daemon.request("POST", "/whep/front", OFFER, headers)
        assert reply.status == 403
        assert "access-control-allow-origin" not in reply.headers
        assert daemon.request("DELETE", "/whep/front/any", headers=headers).status == 403
    # The simple request that needs no preflight, sent by a form.
    form = {"Origin": "https://attacker.example", "Content-Type": "text/plain"}
    assert daemon.request("POST", "/whep/front", OFFER, form).status == 403
    crossing = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert daemon.get("/api/v1/cameras/front/snapshot.jpg", **crossing).status == 403
    assert daemon.status()["viewers"] == []


def test_our_own_page_may_post(daemon: Daemon) -> None:
    headers = {"Origin": daemon.url, "Content-Type": SDP, "Sec-Fetch-Site": "same-origin"}
    assert daemon.request("POST", "/whep/front", OFFER, headers).status == 406


def test_no_site_gets_cors_headers_unless_it_was_named(daemon: Daemon) -> None:
    preflight = {"Origin": ALLOWED, "Access-Control-Request-Method": "POST"}
    reply = daemon.request("OPTIONS", "/whep/front", headers=preflight)
    assert reply.status == 403
    assert not [name for name in reply.headers if name.startswith("access-control-")]


def test_every_answer_carries_the_security_headers(daemon: Daemon) -> None:
    for path in (*PATHS, "/nothing"):
        headers = daemon.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]


# on every address: a generated token, and one web site that was named


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("exposed")
    config = {"camera": {"front": TINY}, "web": {"cors_origins": [ALLOWED], "allowed_hosts": ["cam.example"]}}
    with Daemon(config, directory, host="0.0.0.0") as running:
        yield running
        running.assert_quiet()


@pytest.fixture(scope="module")
def token(exposed: Daemon) -> str:
    return (exposed.state_dir / "web-token").read_text().strip()


def test_the_generated_token_is_private_and_long(exposed: Daemon, token: str) -> None:
    file = exposed.state_dir / "web-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(token) >= 32


def test_without_the_token_only_healthz_answers(exposed: Daemon) -> None:
    assert exposed.get("/healthz").status == 200
    for path in PATHS:
        reply = exposed.get(path)
        assert reply.status == 401, path
        assert reply.headers["www-authenticate"].startswith("Bearer")
    assert exposed.request("POST", "/whep/front", OFFER, {"Content-Type": SDP}).status == 401


def test_the_bearer_token_opens_every_route(exposed: Daemon, token: str) -> None:
    bearer = {"Authorization": f"Bearer {token}"}
    for path in ("/", "/view/front", "/metrics", "/api/v1/status"):
        assert exposed.get(path, **bearer).status == 200, path
    assert exposed.request("POST", "/whep/front", OFFER, {**bearer, "Content-Type": SDP}).status == 406


def test_the_link_is_exchanged_for_a_cookie_and_the_token_leaves_the_address(exposed: Daemon, token: str) -> None:
    reply = exposed.get(f"/view/front?token={quote(token)}&mode=receive")
    assert (reply.status, reply.headers["location"]) == (303, "/view/front?mode=receive")
    cookie = reply.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert token not in cookie
    assert exposed.get("/view/front", Cookie=cookie.partition(";")[0]).status == 200
    assert exposed.get("/api/v1/status", Cookie=cookie.partition(";")[0]).status == 200


def test_a_token_in_the_query_opens_no_api(exposed: Daemon, token: str) -> None:
    assert exposed.get(f"/api/v1/status?token={quote(token)}").status == 401


def test_a_wrong_token_is_refused(exposed: Daemon, token: str) -> None:
    for wrong in (token[:-1], token + "x", "é", ""):
        reply = exposed.request(
            "GET", "/metrics", headers={"Authorization": f"Bearer {wrong}".encode().decode("latin-1")}
        )
        assert reply.status == 401


def test_the_token_is_neither_logged_nor_printed(exposed: Daemon, token: str) -> None:
    exposed.get(f"/view/front?token={quote(token)}")
    told = exposed.wait_logged("web.token")
    assert told["kept_in"] == str(exposed.state_dir / "web-token")
    assert token not in "\n".join(exposed.lines + exposed.printed)


def test_the_token_outlives_a_restart(tmp_path: Path) -> None:
    with Daemon({"camera": {"front": TINY}}, tmp_path, host="0.0.0.0") as daemon:
        before = (tmp_path / "web-token").read_text()
        daemon.restart()
        assert (tmp_path / "web-token").read_text() == before
        assert daemon.get("/api/v1/status", Authorization=f"Bearer {before.strip()}").status == 200


def test_the_commands_find_the_token_by_themselves(exposed: Daemon, token: str, tmp_path: Path) -> None:
    ended = run_edgecam("status", "--config", exposed.file, state_dir=tmp_path)
    assert "camera front" in ended.stdout, ended
    assert token not in ended.stdout + ended.stderr


def test_the_named_site_may_ask_and_still_needs_the_token(exposed: Daemon, token: str) -> None:
    preflight = {
        "Origin": ALLOWED,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    asked = exposed.request("OPTIONS", "/whep/front", headers=preflight)
    assert asked.status == 204
    assert asked.headers["access-control-allow-origin"] == ALLOWED
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert "Authorization" in asked.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in asked.headers
    posting = {"Origin": ALLOWED, "Content-Type": SDP}
    refused = exposed.request("POST", "/whep/front", OFFER, posting)
    assert refused.status == 401
    let_in = exposed.request("POST", "/whep/front", OFFER, {**posting, "Authorization": f"Bearer {token}"})
    assert let_in.status == 406
    assert let_in.headers["access-control-allow-origin"] == ALLOWED
    assert "Location" in let_in.headers["access-control-expose-headers"]
    other = {**posting, "Origin": "https://other.example", "Authorization": f"Bearer {token}"}
    assert exposed.request("POST", "/whep/front", OFFER, other).status == 403


def test_a_configured_host_name_is_answered(exposed: Daemon, token: str) -> None:
    bearer = {"Authorization": f"Bearer {token}"}
    assert exposed.get("/api/v1/status", Host="cam.example", **bearer).status == 200
    assert exposed.get("/api/v1/status", Host="other.example", **bearer).status == 403
