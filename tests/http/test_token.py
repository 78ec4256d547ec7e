"""The token of a listener, over real sockets and real files."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr

from edgecam.errors import ConfigError
from edgecam.http import tokens
from edgecam.http.credentials import ADDRESSES_REMEMBERED, FAILURES_ALLOWED, FailedAttempts
from edgecam.http.tokens import listener_token, running_daemons_token, state_dir_of
from edgecam.settings import Settings, WebSettings
from tests.http.scene import BROWSER, TOKEN, Scene, play

BEARER = {"Authorization": f"Bearer {TOKEN}"}
LINK = "/view/front?x=1&token=correct%20horse%3B%20battery%3Dstaple"


def test_without_the_token_only_healthz_is_open() -> None:
    async def script(scene: Scene) -> None:
        assert (await scene.get("/healthz")).status == 200
        for path in ("/", "/api/thing", "/static/style.css", "/nothing"):
            response = await scene.get(path)
            assert response.status == 401, path
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert await scene.upgrade("/ws") == 401

    play(script, token=TOKEN)


def test_the_refusal_suits_the_reader() -> None:
    async def script(scene: Scene) -> None:
        page = await scene.get("/", **BROWSER)
        assert page.content_type == "text/html"
        assert "This link needs its token" in await page.text()
        assert "sha256-" in page.headers["Content-Security-Policy"]
        api = await scene.get("/api/thing")
        assert await api.json() == {
            "error": "a token is needed: Authorization: Bearer TOKEN",
            "code": "token-needed",
        }

    play(script, token=TOKEN)


def test_a_bearer_token_opens_everything() -> None:
    async def script(scene: Scene) -> None:
        assert (await scene.get("/api/thing", **BEARER)).status == 200
        assert (await scene.get("/", Authorization="bearer  " + TOKEN)).status == 200
        assert await scene.upgrade("/ws", **BEARER) == 101

    play(script, token=TOKEN)


def test_a_link_with_the_token_becomes_a_cookie_and_a_clean_address() -> None:
    async def script(scene: Scene) -> None:
        first = await scene.get(LINK, **BROWSER)
        assert first.status == 303
        assert first.headers["Location"] == "/view/front?x=1"
        cookie = first.cookies[f"edgecam_{scene.address.port}"]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        assert cookie["path"] == "/"
        assert not cookie["secure"]
        assert TOKEN not in str(first.headers)
        shown = {"Cookie": f"{cookie.key}={cookie.value}"}
        assert (await scene.get("/view/front", **shown)).status == 200
        assert (await scene.request("POST", "/api/thing", **shown)).status == 200
        assert await scene.upgrade("/ws", **shown) == 101

    play(script, token=TOKEN)


def test_a_cookie_behind_a_configured_tls_proxy_is_secure() -> None:
    async def script(scene: Scene) -> None:
        response = await scene.get(LINK, Host="cam.example", X_Forwarded_Proto="https")
        assert response.cookies[f"edgecam_{scene.address.port}"]["secure"]

    play(script, token=TOKEN, allowed_hosts=("cam.example",))


def test_the_redirect_cannot_lead_to_another_host() -> None:
    async def script(scene: Scene) -> None:
        response = await scene.get("//evil.example/?token=" + LINK.rpartition("=")[2])
        assert response.status == 303
        assert response.headers["Location"] == "/evil.example/"

    play(script, token=TOKEN)


def test_a_token_in_the_address_counts_for_pages_and_sockets_but_not_for_the_api() -> None:
    async def script(scene: Scene) -> None:
        query = "?token=" + LINK.rpartition("=")[2]
        assert await scene.upgrade("/ws" + query) == 101
        assert await scene.upgrade("/ws?token=wrong") == 401
        assert (await scene.get("/api/thing" + query)).status == 401
        assert (await scene.request("POST", "/" + query)).status == 401

    play(script, token=TOKEN)


def test_guessing_is_slowed_down_and_a_cookie_still_counts() -> None:
    async def script(scene: Scene) -> None:
        cookie = (await scene.get(LINK)).cookies[f"edgecam_{scene.address.port}"]
        for _ in range(FAILURES_ALLOWED):
            assert (await scene.get("/api/thing", Authorization="Bearer guess")).status == 401
        refused = await scene.get("/api/thing", **BEARER)
        assert refused.status == 429
        assert 0 < int(refused.headers["Retry-After"]) <= 60
        assert (await scene.get("/api/thing", Cookie=f"{cookie.key}={cookie.value}")).status == 200
        assert (await scene.get("/healthz")).status == 200

    play(script, token=TOKEN)


def test_behind_a_configured_proxy_a_guesser_shuts_out_only_itself() -> None:
    async def script(scene: Scene) -> None:
        async def show(token: str, hops: str, host: str = "cam.example") -> int:
            headers = {"Host": host, "X-Forwarded-For": hops, "Authorization": f"Bearer {token}"}
            return (await scene.get("/api/thing", **headers)).status

        for number in range(FAILURES_ALLOWED):  # whatever hops it makes up itself, the proxy adds the real one
            assert await show("guess", f"10.0.0.{number}, 192.0.2.66") == 401
        assert await show(TOKEN, "192.0.2.66") == 429
        assert await show(TOKEN, "192.0.2.1") == 200
        assert (await scene.get("/api/thing", **BEARER)).status == 200

    play(script, token=TOKEN, allowed_hosts=("cam.example",))


def test_who_claims_to_be_forwarded_without_a_configured_proxy_is_not_believed() -> None:
    async def script(scene: Scene) -> None:
        for number in range(FAILURES_ALLOWED):
            headers = {"X-Forwarded-For": f"10.0.0.{number}", "Authorization": "Bearer guess"}
            assert (await scene.get("/api/thing", **headers)).status == 401
        assert (await scene.get("/api/thing", X_Forwarded_For="10.0.1.1", **BEARER)).status == 429

    play(script, token=TOKEN, allowed_hosts=("cam.example",))


def test_asking_without_a_token_is_not_guessing() -> None:
    async def script(scene: Scene) -> None:
        for _ in range(FAILURES_ALLOWED + 2):
            assert (await scene.get("/api/thing")).status == 401
        assert (await scene.get("/api/thing", **BEARER)).status == 200

    play(script, token=TOKEN)


def test_failed_attempts_are_forgotten_after_a_minute_and_bounded() -> None:
    now = [0.0]
    attempts = FailedAttempts(clock=lambda: now[0])
    closed = [attempts.record("2001:db8::1") for _ in range(FAILURES_ALLOWED)]
    assert closed == [False] * (FAILURES_ALLOWED - 1) + [True]
    assert attempts.retry_after("2001:db8::2") == 60.0  # the same /64
    assert attempts.retry_after("2001:db8:1::1") == 0.0
    now[0] = 60.0
    assert attempts.retry_after("2001:db8::1") == 0.0
    for index in range(3 * ADDRESSES_REMEMBERED):
        attempts.record(f"10.{index >> 16}.{index >> 8 & 255}.{index & 255}")
    assert len(attempts._times) == ADDRESSES_REMEMBERED


def test_the_token_never_reaches_a_log(caplog: pytest.LogCaptureFixture) -> None:
    async def script(scene: Scene) -> None:
        await scene.get(LINK)
        await scene.get("/?token=" + "other-secret")
        await scene.get("/api/thing", **BEARER)
        await scene.get("/api/thing?token=" + LINK.rpartition("=")[2], Origin="https://evil.example")
        await scene.upgrade("/ws?token=" + LINK.rpartition("=")[2])

    with structlog.testing.capture_logs() as events, caplog.at_level(logging.DEBUG):
        play(script, token=TOKEN)
    written = caplog.text + repr(events)
    assert events
    for secret in (TOKEN, LINK.rpartition("=")[2], "other-secret"):
        assert secret not in written


def test_a_configured_token_wins_and_loopback_needs_none(tmp_path: Path) -> None:
    explicit = WebSettings(listen="0.0.0.0:1", token=SecretStr("chosen"))
    assert listener_token(explicit, tmp_path, "web").token == "chosen"
    assert listener_token(WebSettings(listen="127.0.0.1:1"), tmp_path, "web").token is None
    assert list(tmp_path.iterdir()) == []


def test_a_generated_token_is_kept_in_a_private_file(tmp_path: Path) -> None:
    settings = WebSettings(listen=":8088")
    first = listener_token(settings, tmp_path / "state", "web")
    assert first.generated
    assert first.path == tmp_path / "state" / "web-token"
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.path.parent.stat().st_mode) == 0o700
    assert [p.name for p in first.path.parent.iterdir()] == ["web-token"]
    assert listener_token(settings, tmp_path / "state", "web") == first
    assert first.token is not None
    assert len(first.token) == 32
    assert first.token not in repr(first)


def test_a_token_file_that_others_can_read_is_tightened(tmp_path: Path) -> None:
    path = tmp_path / "web-token"
    path.write_text("x" * 32)
    path.chmod(0o644)
    assert listener_token(WebSettings(listen=":1"), tmp_path, "web").token == "x" * 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "short", "spaces in it are not ours", "\x00" * 40])
def test_a_file_without_a_token_is_a_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "web-token").write_text(content)
    with pytest.raises(ConfigError, match="does not hold a token; delete the file"):
        listener_token(WebSettings(listen=":1"), tmp_path, "web")


def test_an_unusable_state_directory_is_a_clear_error(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(ConfigError, match=r"state_dir"):
        listener_token(WebSettings(listen=":1"), blocker / "state", "web")
    (tmp_path / "web-token").symlink_to(blocker)
    with pytest.raises(ConfigError):
        listener_token(WebSettings(listen=":1"), tmp_path, "web")


def test_the_state_directory_comes_from_settings_systemd_or_xdg(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/edgecam:/var/lib/other")
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    assert state_dir_of(Settings(state_dir=tmp_path)) == tmp_path
    assert state_dir_of(Settings()) == Path("/var/lib/edgecam")
    monkeypatch.delenv("STATE_DIRECTORY")
    assert state_dir_of(Settings()) == Path("/xdg/edgecam")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert state_dir_of(Settings()) == Path.home() / ".local/state/edgecam"


def test_a_client_finds_the_token_where_the_service_keeps_it_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tokens, "SERVICE_STATE_DIRS", (tmp_path / "public", tmp_path / "private"))
    settings = Settings(web=WebSettings(listen=":8088"))
    with pytest.raises(ConfigError, match="no token of a running daemon found"):
        running_daemons_token(settings)
    for name, content in (("home/edgecam", "h" * 32), ("private", "p" * 32)):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "web-token").write_text(content)
        (tmp_path / name / "web-token").chmod(0o644)
        assert running_daemons_token(settings).token == content
        assert stat.S_IMODE((tmp_path / name / "web-token").stat().st_mode) == 0o644
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "elsewhere"))
    with pytest.raises(ConfigError):
        running_daemons_token(settings)
    assert not (tmp_path / "elsewhere").exists()


def test_a_token_that_this_user_may_not_read_is_said_to_need_root(tmp_path: Path) -> None:
    (tmp_path / "web-token").write_text("x" * 32)
    (tmp_path / "web-token").chmod(0o000)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(ConfigError, match="Permission denied; run this as root or as the service's user"):
            running_daemons_token(Settings(state_dir=tmp_path, web=WebSettings(listen=":8088")))
    finally:
        os.seteuid(before)
