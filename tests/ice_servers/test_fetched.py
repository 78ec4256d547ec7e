"""Credentials from a service, over real HTTP: every common shape, renewal, and what a bad service can do."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from edgecam.errors import IceCredentialsError
from edgecam.health import Condition, HealthBoard
from edgecam.ice_servers import answers, fetched
from edgecam.ice_servers.answers import read
from edgecam.ice_servers.fetching import MAX_BYTES, fetch
from edgecam.ice_servers.provider import ConfiguredIceServers
from edgecam.settings import IceServer
from edgecam.supervisor import Backoff, background
from tests.harness.ports import free_port
from tests.ice_servers.service import Service, service

TURN = "turn:turn.example:3478?transport=udp"
ENTRY = {"urls": [TURN], "username": "u", "credential": "p"}
ASKED = IceServer(credentials_url="https://service.example/credentials")


@pytest.mark.parametrize(
    ("body", "ttl"),
    [
        ({"iceServers": [ENTRY]}, 86_400),
        ({"iceServers": ENTRY}, 86_400),
        ([ENTRY], 86_400),
        ({"ice_servers": [{"url": TURN, "urls": TURN, "username": "u", "credential": "p"}], "ttl": "3600"}, 3600),
        ({"v": {"iceServers": ENTRY}, "s": "ok"}, 86_400),
        ({"lifetimeDuration": "600.5s", "iceServers": [ENTRY]}, 600),
        ({"username": "u", "password": "p", "ttl": 1800, "uris": [TURN]}, 1800),
        ({"iceServers": [ENTRY], "ttl": 0}, 10),
    ],
    ids=["list", "object", "bare list", "twilio", "xirsys", "google", "turn rest api", "no time at all"],
)
def test_the_shapes_that_services_answer(body: object, ttl: float) -> None:
    answer = read(web.json_response(body).text or "", ASKED)
    (server,) = answer.servers
    assert (server.urls, server.username, server.credential.get_secret_value()) == ((TURN,), "u", "p")
    assert answer.ttl == ttl


def test_configured_addresses_are_kept_and_the_user_name_tells_the_time() -> None:
    asked = ASKED.model_copy(update={"urls": ("turns:mine.example",)})
    expiry = int(time.time()) + 7200
    theirs = [{"urls": ["stun:theirs.example"]}, ENTRY | {"username": f"{expiry}:x"}]
    answer = read(json.dumps({"iceServers": theirs}), asked)
    assert [(server.urls, server.username) for server in answer.servers] == [(("turns:mine.example",), f"{expiry}:x")]
    assert 7190 < answer.ttl <= 7200
    alone = read('{"username": "u", "password": "p"}', asked)
    assert alone.servers[0].urls == ("turns:mine.example",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[" * 100_000,
        "null",
        "{}",
        "[]",
        '{"iceServers": 7}',
        '{"iceServers": [{"urls": "http://x"}]}',
        f'{{"iceServers": [{{"urls": "{TURN}", "username": ["u"], "credential": "p"}}]}}',
        '{"username": "u"}',
    ],
)
def test_an_answer_without_servers_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(IceCredentialsError) as refused:
        read(text, ASKED)
    assert refused.value.code == "credentials-malformed"
    assert len(str(refused.value)) < 300


def run(test: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test

    asyncio.run(bounded())


def asked_of(offered: Service, **more: Any) -> IceServer:
    return IceServer(credentials_url=offered.url, **more)


async def refused(server: IceServer) -> IceCredentialsError:
    with pytest.raises(IceCredentialsError) as caught:
        await fetch(server)
    return caught.value


def test_the_bearer_token_goes_to_the_service_and_its_date_comes_back() -> None:
    async def scenario() -> None:
        async with service() as offered:
            offered.say({"iceServers": [ENTRY]})
            got = await fetch(asked_of(offered, credentials_token=SecretStr("a token of the service")))
            assert offered.asked[0].headers["Authorization"] == "Bearer a token of the service"
            assert got.date.endswith("GMT")

    run(scenario())


def test_redirects_are_followed_within_the_origin_and_nowhere_else() -> None:
    async def scenario() -> None:
        async with service() as offered, service() as stranger:
            stranger.say({"iceServers": [ENTRY]})
            offered.say({}, 302, Location=stranger.url)
            error = await refused(asked_of(offered, credentials_token=SecretStr("a token of the service")))
            assert (error.code, "another origin" in str(error)) == ("credentials-refused", True)
            assert stranger.asked == []
            offered.say({}, 307, Location="/elsewhere")
            error = await refused(asked_of(offered))
            assert "redirects without end" in str(error)
            assert offered.asked[-1].path == "/elsewhere"

    run(scenario())


def test_what_a_service_says_is_told_apart() -> None:
    async def scenario() -> None:
        async with service() as offered:
            for status, code in (
                (401, "credentials-refused"),
                (404, "credentials-refused"),
                (500, "credentials-unreachable"),
            ):
                offered.say({}, status)
                error = await refused(asked_of(offered))
                assert (error.code, str(status) in str(error)) == (code, True)
            offered.say("x" * MAX_BYTES)
            assert (await refused(asked_of(offered))).code == "credentials-malformed"
        nobody = IceServer(credentials_url=f"http://127.0.0.1:{free_port()}/x?key=a-secret-key")
        error = await refused(nobody)
        assert error.code == "credentials-unreachable"
        assert "a-secret-key" not in str(error)

    run(scenario())


def test_credentials_are_renewed_in_time_and_an_outage_is_told_only_when_they_have_run_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "SHORTEST", 0.1)
    monkeypatch.setattr(fetched, "BACKOFF", Backoff(first=0.1, cap=0.2))

    async def scenario() -> None:
        board = HealthBoard()
        changed = asyncio.Event()
        board.watch(changed.set)
        component = board.component("ice.credentials")

        async def until(condition: Condition) -> None:
            while component.state.condition is not condition:
                changed.clear()
                await changed.wait()

        async with service() as offered:
            offered.say({"iceServers": [ENTRY], "ttl": 1})
            servers = ConfiguredIceServers([asked_of(offered)], board)
            assert servers.current() == []
            async with background(*servers.jobs):
                await until(Condition.RUNNING)
                assert servers.current()[0].username == "u"
                offered.say({"iceServers": [ENTRY | {"username": "fresh"}], "ttl": 1})
                started = time.monotonic()
                await offered.asked_again()
                assert time.monotonic() - started < 1, "asked only after it had run out"
                offered.say({}, 500)
                await offered.asked_again()
                assert component.state.condition is Condition.RUNNING
                assert servers.current()[0].username == "fresh"
                await until(Condition.WAITING)
                assert component.state.code == "credentials-unreachable"
                assert servers.current()[0].username == "fresh", "thrown away before there was better"
                offered.say({"iceServers": [ENTRY], "ttl": 1})
                await until(Condition.RUNNING)

    run(scenario())
