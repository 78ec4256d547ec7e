"""One camera's connection: registering, losing the server, odd servers, reasons that a person can use."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import pytest
from aiohttp import WSMsgType, web

from edgecam.http.listener import listening
from edgecam.peers import Candidate
from edgecam.server.app import build_app
from edgecam.settings import Listen, ServerSettings
from edgecam.signaling import connection, websocket
from edgecam.signaling.reasons import endpoint
from tests.server.scene import town
from tests.signaling.scene import PATIENCE, Recorder, daemon, run, scripted

ANNA = "anna-" + "a" * 16


async def received(ws: web.WebSocketResponse, kind: str) -> dict[str, object]:
    """The next message of that type which the camera sends."""
    while True:
        body = json.loads(await ws.receive_str(timeout=PATIENCE))
        if body["type"] == kind:
            assert isinstance(body, dict)
            return body


async def until_closed(ws: web.WebSocketResponse) -> None:
    async for _ in ws:
        pass


def test_every_camera_registers_on_a_connection_of_its_own() -> None:
    async def main() -> None:
        async with town() as server, daemon(server.address, {"front": "Front door", "yard": ""}) as camera:
            assert camera.exchange.components == ("signaling.home.front", "signaling.home.yard")
            for component in camera.exchange.components:
                await camera.until("running", component=component)
            listed = await server.json("/api/v1/cameras")
            assert {(entry["id"], entry["title"], entry["online"]) for entry in listed} == {
                ("front", "Front door", True),
                ("yard", "yard", True),
            }

    run(main)


def test_after_a_restart_of_the_server_the_camera_is_back_and_no_session_was_touched() -> None:
    async def main() -> None:
        settings = ServerSettings(listen="127.0.0.1:0")
        async with listening(build_app(settings, None), settings.address, name="server") as address:
            running = daemon(address)
            camera = await running.__aenter__()
            await camera.until("running")
        try:
            await camera.until("waiting", "signaling-unreachable")
            async with listening(build_app(settings, None), address, name="server"):
                await camera.until("running")
            assert camera.sessions.calls == []
        finally:
            await running.__aexit__(None, None, None)

    run(main)


def test_a_taken_role_is_asked_for_again_on_the_same_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "TAKEN_RETRY", (0.01, 0.02))

    async def main() -> None:
        async with town() as server:
            holder = await server.camera("front")
            async with daemon(server.address) as camera:
                detail = await camera.until("waiting", "signaling-refused")
                assert "another sender" in detail
                clients = (await server.json("/status"))["clients"]
                await holder.ws.close()
                await camera.until("running")
                assert clients == 2
                assert camera.board.component("signaling.home").failures >= 1

    run(main)


def test_a_camera_whose_old_connection_lingers_replaces_it_at_once() -> None:
    async def main() -> None:
        async with town() as server:
            sessions = Recorder()
            async with daemon(server.address, sessions=sessions) as camera:
                await camera.until("running")
                instance = next(iter(camera.exchange.connections.values()))
                twin = asyncio.create_task(instance.run(), name="twin")  # the same instance, connected anew
                await camera.until("waiting", "signaling-lost")
                await camera.until("running")
                twin.cancel()
                await asyncio.gather(twin, return_exceptions=True)

    run(main)


def test_late_candidates_of_the_camera_follow_its_answer_and_a_lost_path_makes_it_call_again() -> None:
    line = "candidate:1 1 udp 1 192.0.2.7 50000 typ relay raddr 0.0.0.0 rport 9"

    async def script(ws: web.WebSocketResponse) -> None:
        await received(ws, "register")
        await ws.send_json({"type": "registered", "role": "sender"})
        await ws.send_json({"type": "offer", "sdp": "theirs"})
        assert (await received(ws, "answer"))["sdp"] == "answer of front to theirs"
        trickled = await received(ws, "ice-candidate")
        assert trickled["candidate"] == {"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0}
        assert (await received(ws, "offer"))["sdp"] == "offer of front"
        await until_closed(ws)

    async def main() -> None:
        sessions = Recorder()
        sessions.hold("receiver")
        async with scripted(script) as address, daemon(address, sessions=sessions):
            await sessions.recorded("answer", "receiver", "theirs")
            link = sessions.links["receiver"]
            assert link is not None
            link.local_candidate(Candidate(line, "0", 0))  # found while the answer is still made: it must not overtake it
            link.local_candidate(None)
            sessions.release("receiver")
            link.path_lost()
            await sessions.recorded("offer", "receiver")

    run(main)


def test_a_session_speaks_over_whatever_connection_there_is() -> None:
    sockets: list[web.WebSocketResponse] = []

    async def script(ws: web.WebSocketResponse) -> None:
        sockets.append(ws)
        await received(ws, "register")
        await ws.send_json({"type": "registered", "role": "sender"})
        if len(sockets) == 1:
            await ws.send_json({"type": "offer", "sdp": "theirs"})
            await received(ws, "answer")
        else:
            await received(ws, "offer")
            await until_closed(ws)

    async def main() -> None:
        sessions = Recorder()
        async with scripted(script) as address, daemon(address, sessions=sessions) as camera:
            await camera.until("waiting", "signaling-lost")
            link = sessions.links["receiver"]
            assert link is not None
            link.path_lost()  # nobody is there to be told
            await camera.until("running")
            link.path_lost()
            await sessions.recorded("offer", "receiver")

    run(main)


def test_on_a_server_without_peer_ids_every_join_is_a_new_call() -> None:
    async def script(ws: web.WebSocketResponse) -> None:
        await received(ws, "register")
        await ws.send_json({"type": "registered", "role": "sender", "turnConfig": {"iceServers": []}})
        for _ in range(2):
            await ws.send_json({"type": "peer-connected", "peer": "receiver"})
            assert await received(ws, "offer") == {"type": "offer", "sdp": "offer of front"}
            await ws.send_json({"type": "answer", "sdp": {"type": "answer", "sdp": "v=0"}})
        await ws.send_json({"type": "offer", "sdp": "theirs"})
        assert await received(ws, "answer") == {"type": "answer", "sdp": "answer of front to theirs"}
        await ws.send_json({"type": "peer-disconnected", "peer": "receiver"})
        await until_closed(ws)

    async def main() -> None:
        async with scripted(script) as address, daemon(address) as camera:
            camera.sessions.living.add("receiver")
            await camera.sessions.recorded("signaling_lost", "receiver")
            assert [call[0] for call in camera.sessions.calls].count("offer") == 2

    run(main)


def test_malformed_and_unknown_messages_of_the_server_are_ignored() -> None:
    async def script(ws: web.WebSocketResponse) -> None:
        for text in ("", "{", "[]", '{"type":5}', '{"type":"welcome","turnConfig":7}', '{"type":"news"}', "\0"):
            await ws.send_str(text)
        await ws.send_bytes(b"\x00")
        await received(ws, "register")
        await ws.send_json({"type": "registered", "role": "sender", "surprise": [{}]})
        for text in ('{"type":"offer"}', '{"type":"ice-candidate","candidate":5}', '{"type":"error"}', "null"):
            await ws.send_str(text)
        await ws.send_json({"type": "peer-connected", "peer": "receiver"})
        await received(ws, "offer")
        await until_closed(ws)

    async def main() -> None:
        async with scripted(script) as address, daemon(address) as camera:
            await camera.sessions.recorded("offer", "receiver")
            await camera.until("running")

    run(main)


def test_the_turn_configuration_is_refreshed_and_an_error_in_reply_is_tolerated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "REFRESH_INTERVAL", 0.01)
    monkeypatch.setattr(websocket, "QUIET", 0.01)

    async def script(ws: web.WebSocketResponse) -> None:
        await received(ws, "register")
        await ws.send_json({"type": "registered", "role": "sender"})
        await received(ws, "get-turn-config")
        await ws.send_json({"type": "error", "message": "Unknown message type"})
        await received(ws, "get-turn-config")
        await ws.send_json({"type": "turn-config", "config": {"iceServers": [{"urls": "stun:fresh.example"}]}})
        await received(ws, "get-turn-config")
        await ws.send_json({"type": "peer-connected", "peer": "receiver"})
        await received(ws, "offer")
        await until_closed(ws)

    async def main() -> None:
        sessions = Recorder()
        sessions.living.add("receiver")  # so that the camera does not call before it is told to
        async with scripted(script) as address, daemon(address, sessions=sessions) as camera:
            await camera.sessions.recorded("offer", "receiver")
            assert [server.urls for server in camera.sessions.ice_servers] == [("stun:fresh.example",)]

    run(main)


def test_a_server_that_refuses_is_quoted_with_the_remedy() -> None:
    async def script(ws: web.WebSocketResponse) -> None:
        for _ in range(2):  # once more with the original fields alone: it might have been the others
            await received(ws, "register")
            await ws.send_json({"type": "error", "message": "licence\nexpired"})
        await until_closed(ws)

    async def main() -> None:
        async with scripted(script) as address, daemon(address) as camera:
            detail = await camera.until("waiting", "signaling-refused")
            assert "refused this camera: licence expired; check [signaling.home] token" in detail

    run(main)


def test_a_server_that_never_answers_register_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "REGISTER_TIMEOUT", 0.05)

    async def main() -> None:
        async with scripted(until_closed) as address, daemon(address) as camera:
            assert "does not answer register" in await camera.until("waiting", "signaling-refused")

    run(main)


def test_a_missing_token_is_named() -> None:
    async def main() -> None:
        async with town("sesame") as server:
            async with daemon(server.address) as camera:
                detail = await camera.until("waiting", "signaling-refused")
                assert "HTTP 401: it wants a token" in detail
                assert "[signaling.home] token" in detail
            async with daemon(server.address, token="sesame") as camera:
                await camera.until("running")

    run(main)


def test_the_reason_why_a_server_cannot_be_reached_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT", 2.0)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        async with daemon(f"ws://127.0.0.1:{port}/ws?token=hunter2") as camera:
            assert await camera.until("waiting", "signaling-unreachable") == (
                f"cannot reach the signaling server ws://127.0.0.1:{port}/ws: nothing listens on that port; "
                "start the server, or correct [signaling.home] url"
            )
        async with daemon("ws://no-such-host.invalid:8080/ws") as camera:
            detail = await camera.until("waiting", "signaling-unreachable")
            assert "no-such-host.invalid" in detail
        async with town() as server:
            async with daemon(f"ws://{server.address}/nothing-here") as camera:
                detail = await camera.until("waiting", "signaling-refused")
                assert "answered HTTP 404 instead of opening a WebSocket; correct the path" in detail
            async with daemon(f"wss://{server.address}/ws") as camera:
                assert "TLS failed" in await camera.until("waiting", "signaling-unreachable")

    run(main)


def test_a_silent_server_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT", 0.1)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            host, port = silent.getsockname()
            async with daemon(Listen(host, port)) as camera:
                assert "did not answer in time" in await camera.until("waiting", "signaling-unreachable")

    run(main)


def test_stopping_takes_less_than_a_second_even_when_the_server_does_not_answer_the_close() -> None:
    async def script(ws: web.WebSocketResponse) -> None:
        await received(ws, "register")
        await ws.send_json({"type": "registered", "role": "sender"})
        await asyncio.Event().wait()

    async def main() -> None:
        async with scripted(script) as address:
            async with daemon(address) as camera:
                await camera.until("running")
                began = time.monotonic()
            assert time.monotonic() - began < 1.0

    run(main)


def test_a_stopping_camera_says_goodbye() -> None:
    closed: list[int | None] = []

    async def script(ws: web.WebSocketResponse) -> None:
        await received(ws, "register")
        await ws.send_json({"type": "registered", "role": "sender"})
        while (await ws.receive()).type is WSMsgType.TEXT:
            pass
        closed.append(ws.close_code)

    async def main() -> None:
        async with scripted(script) as address:
            async with daemon(address) as camera:
                await camera.until("running")

    run(main)
    assert closed == [1000]


def test_an_address_is_shown_without_what_may_be_secret() -> None:
    assert endpoint("wss://user:pass@host.example/ws?token=x#y") == "wss://host.example:443/ws"
    assert endpoint("ws://[::1") == "the configured address"


def test_a_server_that_takes_only_the_original_fields_gets_only_those() -> None:
    came: list[set[str]] = []

    async def script(ws: web.WebSocketResponse) -> None:
        for _ in range(2):
            fields = set(await received(ws, "register"))
            came.append(fields)
            if fields != {"type", "role"}:
                await ws.send_json({"type": "error", "message": "Unknown field: cameraId"})
        await ws.send_json({"type": "registered", "role": "sender"})
        await until_closed(ws)

    async def main() -> None:
        async with scripted(script) as address, daemon(address) as camera:
            await camera.until("running")

    run(main)
    assert len(came) == 2


def test_a_viewer_that_was_there_first_is_called_though_nobody_tells_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "QUIET", 0.01)

    async def script(ws: web.WebSocketResponse) -> None:
        await received(ws, "register")
        await ws.send_json({"type": "registered", "role": "sender"})
        assert await received(ws, "offer") == {"type": "offer", "sdp": "offer of front"}
        await ws.send_json({"type": "answer", "sdp": "theirs"})
        await until_closed(ws)

    async def main() -> None:
        async with scripted(script) as address, daemon(address) as camera:
            await camera.sessions.recorded("accept_answer", "receiver", "theirs")

    run(main)


def test_an_offer_to_nobody_is_taken_back_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "QUIET", 0.01)

    async def script(ws: web.WebSocketResponse) -> None:
        await received(ws, "register")
        await ws.send_json({"type": "registered", "role": "sender"})
        await received(ws, "offer")
        await ws.send_json({"type": "error", "message": "No receiver connected"})
        await until_closed(ws)

    async def main() -> None:
        async with scripted(script) as address, daemon(address) as camera:
            await camera.sessions.recorded("signaling_lost", "receiver")

    run(main)


def test_who_watches_is_not_called_when_the_camera_has_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "QUIET", 0.01)
    monkeypatch.setattr(websocket, "REFRESH_INTERVAL", 0.05)

    async def script(ws: web.WebSocketResponse) -> None:
        await received(ws, "register")
        await ws.send_json({"type": "registered", "role": "sender"})
        await received(ws, "get-turn-config")  # after the time in which it would have called
        await ws.send_json({"type": "ice-candidate", "candidate": {"candidate": "candidate:1"}})
        await until_closed(ws)

    async def main() -> None:
        sessions = Recorder()
        sessions.living.add("receiver")
        async with scripted(script) as address, daemon(address, sessions=sessions):
            await sessions.recorded("candidate", "receiver", "candidate:1")
            assert len(sessions.calls) == 1

    run(main)


def test_messages_that_come_twice_make_one_call_and_offers_that_cross_make_another() -> None:
    async def script(ws: web.WebSocketResponse) -> None:
        await received(ws, "register")
        await ws.send_json({"type": "registered", "role": "sender"})
        for _ in range(2):
            await ws.send_json({"type": "peer-connected", "peer": "receiver"})
        await received(ws, "offer")
        for _ in range(2):
            await ws.send_json({"type": "offer", "sdp": "theirs"})
        assert (await received(ws, "answer"))["sdp"] == "answer of front to theirs"
        for _ in range(2):  # they have given way as well, and answer what the camera has dropped
            await ws.send_json({"type": "answer", "sdp": "too late"})
        await received(ws, "offer")
        for _ in range(2):
            await ws.send_json({"type": "answer", "sdp": "in time"})
        await until_closed(ws)

    async def main() -> None:
        async with scripted(script) as address, daemon(address) as camera:
            await camera.sessions.recorded("accept_answer", "receiver", "in time")
            kinds = [call[0] for call in camera.sessions.calls]
            assert kinds == ["offer", "answer", "offer", "accept_answer"]

    run(main)


def test_frames_may_be_binary() -> None:
    async def script(ws: web.WebSocketResponse) -> None:
        await received(ws, "register")
        for body in ({"type": "registered", "role": "sender"}, {"type": "offer", "sdp": "theirs"}):
            await ws.send_bytes(json.dumps(body).encode())
        await received(ws, "answer")
        await until_closed(ws)

    async def main() -> None:
        async with scripted(script) as address, daemon(address) as camera:
            await camera.sessions.recorded("answer", "receiver", "theirs")

    run(main)
