"""The guard, over real sockets: rebinding, cross-site requests, CORS, security headers."""

from __future__ import annotations

import pytest

from edgecam.http.guard import MAX_BODY_BYTES
from edgecam.http.origins import AllowedHosts, Authority, normal_origin, parse_authority
from tests.http.scene import Scene, play

EVIL = "https://evil.example"


def test_a_rebound_host_name_is_refused_with_the_setting_that_would_allow_it() -> None:
    async def script(scene: Scene) -> None:
        response = await scene.get("/", Host=f"evil.example:{scene.address.port}")
        assert response.status == 403
        text = await response.text()
        assert "allowed_hosts" in text
        assert "evil.example" in text
        assert text.count("\n") == 1

    play(script)


def test_addresses_own_names_and_configured_names_are_answered() -> None:
    async def script(scene: Scene) -> None:
        for host in (
            "127.0.0.1",
            "192.168.1.5:9000",
            "[fe80::1]:8088",
            "localhost",
            "LocalHost.:1",
            "cam.example",
        ):
            assert (await scene.get("/", Host=host)).status == 200, host
        assert (await scene.get("/", Host="proxy.example:8443")).status == 200
        assert (await scene.get("/", Host="proxy.example")).status == 403

    play(script, allowed_hosts=("cam.example", "proxy.example:8443"))


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "evil@127.0.0.1",
        "127.0.0.1/x",
        "[::1",
        "host:port",
        "host:99999",
        "host:",
        "a" * 400,
        "x?y",
    ],
)
def test_a_garbled_host_names_nothing(host: str) -> None:
    assert parse_authority(host) is None


def test_a_garbled_host_is_refused_and_not_a_crash() -> None:
    async def script(scene: Scene) -> None:
        for host in ("evil@127.0.0.1", "host:99999", "a b"):
            assert (await scene.get("/", Host=host)).status == 400, host

    play(script)


def test_numbers_that_only_look_like_addresses_are_names() -> None:
    allowed = AllowedHosts()
    for host in ("127.1", "0x7f000001", "2130706433", "127.0.0.1.evil.example"):
        assert Authority(host, None) not in allowed


def test_another_sites_requests_are_refused_whatever_the_method() -> None:
    async def script(scene: Scene) -> None:
        for method in ("POST", "PATCH", "DELETE", "GET", "OPTIONS"):
            response = await scene.request(method, "/api/thing", Origin=EVIL)
            assert response.status == 403, method
            assert "Access-Control-Allow-Origin" not in response.headers

    play(script)


def test_a_null_origin_is_another_site() -> None:
    async def script(scene: Scene) -> None:
        assert (await scene.request("POST", "/api/thing", Origin="null")).status == 403
        assert await scene.upgrade("/ws", Origin="null") == 403

    play(script, cors_origins=("null",))


def test_websockets_open_for_our_own_pages_and_programs_only() -> None:
    async def script(scene: Scene) -> None:
        assert await scene.upgrade("/ws") == 101
        assert await scene.upgrade("/ws", Origin=f"http://{scene.address}") == 101
        assert await scene.upgrade("/ws", Origin=EVIL) == 403
        assert await scene.upgrade("/ws", Origin=f"http://127.0.0.1:{scene.address.port + 1}") == 403
        assert await scene.upgrade("/ws", Origin=f"https://{scene.address}") == 403

    play(script)


def test_our_own_pages_may_post() -> None:
    async def script(scene: Scene) -> None:
        own = f"http://{scene.address}"
        assert (await scene.request("POST", "/api/thing", Origin=own, Sec_Fetch_Site="same-origin")).status == 200

    play(script)


def test_a_configured_proxy_may_speak_tls_in_front() -> None:
    async def script(scene: Scene) -> None:
        response = await scene.request("POST", "/api/thing", Host="cam.example", Origin="https://cam.example")
        assert response.status == 200

    play(script, allowed_hosts=("cam.example",))


def test_another_site_may_link_here_but_not_embed() -> None:
    async def script(scene: Scene) -> None:
        assert (await scene.get("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")).status == 200
        assert (await scene.get("/api/thing", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")).status == 403

    play(script)


def test_a_configured_site_gets_cors_headers_and_others_do_not() -> None:
    async def script(scene: Scene) -> None:
        home = "https://home.example"
        response = await scene.request("POST", "/api/thing", Origin=home, Sec_Fetch_Site="cross-site")
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == home
        assert response.headers["Access-Control-Expose-Headers"] == "Location, ETag, Link"
        assert "Access-Control-Allow-Credentials" not in response.headers
        assert response.headers["Vary"] == "Origin"
        assert (await scene.request("POST", "/api/thing", Origin=EVIL)).status == 403

    play(script, cors_origins=("https://Home.example:443/",))


def test_a_preflight_is_answered_for_configured_sites_without_a_token() -> None:
    async def script(scene: Scene) -> None:
        ask = {"Access_Control_Request_Method": "PATCH"}
        response = await scene.request("OPTIONS", "/api/thing", Origin="https://home.example", **ask)
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "https://home.example"
        assert response.headers["Access-Control-Allow-Methods"] == "GET, POST, PATCH, DELETE, OPTIONS"
        assert response.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type, If-Match"
        assert (await scene.request("OPTIONS", "/api/thing", Origin=EVIL, **ask)).status == 403

    play(script, token="secret-secret-secret", cors_origins=("https://home.example",))


def test_every_response_carries_the_security_headers() -> None:
    async def script(scene: Scene) -> None:
        for path, status in (
            ("/", 200),
            ("/api/thing", 200),
            ("/nothing", 404),
            ("/static/../guard.py", 404),
        ):
            response = await scene.get(path)
            assert response.status == status
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            assert response.headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Origin" not in response.headers

    play(script)


def test_oversized_headers_and_bodies_are_refused() -> None:
    async def script(scene: Scene) -> None:
        body = b"x" * (MAX_BODY_BYTES + 1)
        async with scene.client.post(scene.url("/api/thing"), data=body) as response:
            assert response.status == 413
        async with scene.client.get(scene.url("/"), headers={"X-Long": "x" * 9000}) as response:
            assert response.status == 400

    play(script)


@pytest.mark.parametrize(
    ("origin", "normal"),
    [
        ("HTTP://Host:80", "http://host"),
        ("https://host:443/", "https://host"),
        ("https://host:8443", "https://host:8443"),
        ("http://[::1]:8088", "http://[::1]:8088"),
        ("null", ""),
        ("file:///x", ""),
        ("http://user@host", ""),
        ("http://host/path", ""),
        ("http://host:99999", ""),
    ],
)
def test_origins_have_one_spelling(origin: str, normal: str) -> None:
    assert normal_origin(origin) == normal
