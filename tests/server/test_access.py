"""Tokens with rights at the real server: who gets in, who sees and reaches what, and what happens when a token ends."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from edgecam.http import keyring
from edgecam.http.credentials import FAILURES_ALLOWED
from edgecam.http.rights import Rights, Role
from edgecam.http.signed import Key, sign
from edgecam.server.access import Access
from edgecam.server.app import _watch_access
from edgecam.server.invites import Invite, add_invite, revoke_invite
from edgecam.settings import ServerSettings
from tests.server.scene import Peer, Town, play

KEY = "k" * 40
KEYS: dict[str, Any] = {"signing_keys": (SecretStr(KEY),)}
ANNA = "anna-" + "a" * 16


def token(role: Role, *cameras: str, lasts: float = 60.0, token_id: str = "", key: str = KEY) -> str:
    return sign(Rights(role, cameras or ("*",), token_id=token_id, expires=time.time() + lasts), Key.of(key))


def bearer(*arguments: str, **more: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(*arguments, **more)}"}  # type: ignore[arg-type]


async def status_of(town: Town, path: str, **headers: str) -> int:
    async with town.session.get(f"http://{town.address}{path}", headers=headers, allow_redirects=False) as reply:
        return reply.status


async def camera(town: Town, name: str) -> Peer:
    peer = await town.connect(**bearer("camera", name))
    assert (await peer.register("sender", cameraId=name))["type"] == "registered"
    return peer


def test_a_viewers_token_shows_and_reaches_only_its_cameras() -> None:
    async def script(town: Town) -> None:
        front, yard = await camera(town, "front"), await camera(town, "yard")
        headers = bearer("viewer", "front")
        for path in ("/api/v1/cameras", "/api/v1/viewer"):
            async with town.session.get(f"http://{town.address}{path}", headers=headers) as answered:
                body = await answered.json()
                listed = body["cameras"] if isinstance(body, dict) else body
                assert [each["id"] for each in listed] == ["front"]
        viewer = await town.connect(**headers)
        reply = await viewer.register("receiver", list=True)
        assert [each["id"] for each in reply["cameras"]] == ["front"]
        for name in ("yard", "nowhere"):
            assert (await viewer.register("receiver", cameraId=name, peerId=ANNA))["code"] == "forbidden"
        await viewer.send("offer", sdp="v=0", cameraId="yard", peerId=ANNA)
        assert (await viewer.next())["code"] == "not-registered"
        assert (await viewer.register("receiver", cameraId="front", peerId=ANNA))["cameraId"] == "front"
        await viewer.next()
        await viewer.send("offer", sdp="v=0", cameraId="yard")
        assert (await front.next())["type"] == "peer-connected"
        assert (await front.next())["type"] == "offer"
        assert (await viewer.register("receiver", cameraId="yard"))["code"] == "forbidden"
        await yard.nothing_more()

    play(script, token="sesame", **KEYS)


def test_a_viewers_list_changes_only_with_its_own_cameras() -> None:
    async def script(town: Town) -> None:
        viewer = await town.connect(**bearer("viewer", "front"))
        await viewer.register("receiver", list=True)
        await camera(town, "yard")
        await camera(town, "front")
        listed = await viewer.next_list()
        while not listed:  # the yard's coming may be told on its own, as nothing
            listed = await viewer.next_list()
        assert [each["id"] for each in listed] == ["front"]

    play(script, token="sesame", **KEYS)


def test_a_cameras_token_registers_its_names_only_and_watches_nothing() -> None:
    async def script(town: Town) -> None:
        peer = await town.connect(**bearer("camera", "yard-*"))
        for name in ("front", "yard", "YARD-1"):
            assert (await peer.register("sender", cameraId=name))["code"] == "forbidden"
        assert (await peer.register("sender"))["code"] == "forbidden"
        assert (await peer.register("receiver"))["code"] == "forbidden"
        assert (await peer.register("receiver", cameraId="yard-1"))["code"] == "forbidden"
        assert (await peer.register("sender", cameraId="yard-1"))["type"] == "registered"

    play(script, token="sesame", **KEYS)


def test_a_viewers_token_is_no_cameras() -> None:
    async def script(town: Town) -> None:
        peer = await town.connect(**bearer("viewer", "front"))
        assert (await peer.register("sender", cameraId="front", instanceId="i" * 20))["code"] == "forbidden"

    play(script, token="sesame", **KEYS)


def test_a_receiver_without_a_camera_gets_the_first_that_it_may_watch() -> None:
    async def script(town: Town) -> None:
        front, yard = await camera(town, "front"), await camera(town, "yard")
        viewer = await town.connect(**bearer("viewer", "yard"))
        await viewer.register("receiver")
        assert await viewer.next() == {"type": "peer-connected", "peer": "sender"}
        assert (await yard.next())["type"] == "peer-connected"
        await front.nothing_more()
        waiting = await town.connect(**bearer("viewer", "attic"))
        await waiting.register("receiver")
        await waiting.nothing_more()
        attic = await camera(town, "attic")
        assert (await waiting.next())["type"] == "peer-connected"
        assert (await attic.next())["type"] == "peer-connected"

    play(script, token="sesame", **KEYS)


def test_a_token_rides_in_the_register_message_too() -> None:
    async def script(town: Town) -> None:
        await camera(town, "front")
        peer = await town.connect()  # nobody yet, where that is allowed
        refused = await peer.register("receiver", cameraId="front", token=token("viewer", "yard"))
        assert refused["code"] == "forbidden"
        assert (await peer.register("receiver", cameraId="front", token=token("viewer", "front")))["type"] == "registered"

    play(script, token="sesame", allow_anonymous=True, **KEYS)


@pytest.mark.parametrize("path", ["/status", "/metrics"])
def test_only_an_admin_sees_who_is_connected(path: str) -> None:
    async def script(town: Town) -> None:
        assert await status_of(town, path) == 401
        assert await status_of(town, path, **bearer("viewer")) == 403
        assert await status_of(town, path, **bearer("camera", "front")) == 403
        assert await status_of(town, path, **bearer("admin")) == 200
        assert await status_of(town, path, Authorization="Bearer sesame") == 200

    play(script, token="sesame", **KEYS)


def test_a_link_becomes_a_cookie_that_ends_with_its_token() -> None:
    async def script(town: Town) -> None:
        shown = token("viewer", "front", lasts=30)
        page = f"http://{town.address}/view/front"
        async with town.session.get(f"{page}?token={shown}", allow_redirects=False) as reply:
            assert (reply.status, reply.headers["Location"]) == (303, "/view/front")
            cookie = reply.cookies[f"edgecam_{town.address.port}"]
            assert 0 < int(cookie["max-age"]) <= 31
            assert cookie["httponly"]
        headers = {"Cookie": f"{cookie.key}={cookie.value}"}
        assert await status_of(town, "/view/front", **headers) == 200
        viewer = await town.connect(**headers)
        assert (await viewer.register("receiver", cameraId="yard"))["code"] == "forbidden"
        # A new link counts, whatever cookie there was before; an admin who tries one out stays admin.
        other = token("viewer", "yard")
        async with town.session.get(f"{page}?token={other}", headers=headers, allow_redirects=False) as reply:
            assert reply.cookies[cookie.key].value == other
        admin = {"Cookie": f"{cookie.key}={token('admin')}"}
        async with town.session.get(f"{page}?token={other}", headers=admin, allow_redirects=False) as reply:
            assert reply.status == 303
            assert not reply.cookies

    play(script, token="sesame", **KEYS)


def test_a_token_that_has_ended_is_said_to_have_and_is_no_guess() -> None:
    async def script(town: Town) -> None:
        ended = bearer("viewer", lasts=-1)
        for _ in range(FAILURES_ALLOWED + 2):
            assert await status_of(town, "/", **ended) == 401
        async with town.session.get(f"http://{town.address}/", headers={**ended, "Accept": "text/html"}) as reply:
            assert "This link has ended" in await reply.text()
        assert await status_of(town, "/", **bearer("viewer")) == 200
        for _ in range(FAILURES_ALLOWED):
            assert await status_of(town, "/", **bearer("viewer", key="z" * 40)) == 401
        assert await status_of(town, "/", **bearer("viewer")) == 429

    play(script, token="sesame", **KEYS)


def test_when_a_token_expires_its_socket_ends_with_a_code_and_the_camera_only_hears_that_it_left() -> None:
    async def script(town: Town) -> None:
        front = await camera(town, "front")
        viewer = await town.connect(**bearer("viewer", "front", lasts=2.0))
        await viewer.register("receiver", cameraId="front", peerId=ANNA, received=0)
        assert (await viewer.next())["type"] == "peer-connected"
        ended = await viewer.next()
        assert (ended["type"], ended["code"]) == ("error", "token-expired")
        assert await viewer.closed() == 4002
        assert (await front.next())["type"] == "peer-connected"
        assert await front.next() == {"type": "peer-disconnected", "peer": "receiver", "peerId": ANNA, "cameraId": "front"}
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await town.connect(**bearer("viewer", "front", lasts=-1))
        assert caught.value.status == 401

    play(script, token="sesame", **KEYS)


def test_a_token_that_is_renewed_in_time_keeps_its_socket() -> None:
    async def script(town: Town) -> None:
        peer = await town.connect(**bearer("camera", "front", lasts=1.0))
        assert (await peer.register("sender", cameraId="front"))["type"] == "registered"
        renewed = await peer.register("sender", cameraId="front", token=token("camera", "front", lasts=60))
        assert renewed["type"] == "registered"
        with pytest.raises(TimeoutError):
            await peer.ws.receive(timeout=1.5)

    play(script, token="sesame", **KEYS)


def test_a_revoked_token_ends_its_sockets_and_opens_nothing_any_more(tmp_path: Path) -> None:
    settings = ServerSettings(token=SecretStr("sesame"))
    access = Access(settings, tmp_path)
    access.begin()
    (key,) = keyring.keyring(settings, tmp_path)

    async def script(town: Town) -> None:
        rights = [Rights("viewer", ("*",), token_id=each, expires=time.time() + 60) for each in ("aaaa", "bbbb")]
        headers = [{"Authorization": f"Bearer {sign(each, key)}"} for each in rights]
        add_invite(tmp_path, Invite.of(rights[0]))
        anna, bert = [await town.connect(**each) for each in headers]
        asked = asyncio.Event()
        watching = asyncio.create_task(_watch_access(access, town.lines, asked), name="access")
        revoke_invite(tmp_path, "aaaa")
        asked.set()
        assert (await anna.next())["code"] == "token-revoked"
        assert await anna.closed() == 4002
        watching.cancel()
        await bert.nothing_more()
        assert [await status_of(town, "/", **each) for each in headers] == [401, 200]

    play(script, token="sesame", access=access)


def test_keys_are_rotated_under_a_running_server(tmp_path: Path) -> None:
    settings = ServerSettings()
    access = Access(settings, tmp_path)
    access.begin()
    rights = Rights("viewer", expires=time.time() + 60)
    tokens = []
    for _ in range(keyring.KEPT + 1):
        tokens.append(sign(rights, keyring.keyring(settings, tmp_path)[0]))
        assert isinstance(access.judge(tokens[-1]), Rights)
        keyring.add_key(tmp_path)
    assert access.refresh()
    assert not access.refresh()
    kept = [isinstance(access.judge(each), Rights) for each in tokens]
    assert kept == [False, False, True, True]
    assert (tmp_path / keyring.FILE).stat().st_mode & 0o777 == 0o600
    (tmp_path / keyring.FILE).write_text("short\n")
    assert not access.refresh()  # damaged: what was read before stays
    assert isinstance(access.judge(tokens[-1]), Rights)
