"""WHEP as draft-ietf-wish-whep and RFC 9725 have it: a real daemon, plain HTTP, and viewers on aiortc where there must be one."""

from __future__ import annotations

import asyncio
import http.client
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

import pytest

from tests.harness.daemons import Daemon
from tests.peers.viewer import Viewer
from tests.web.conftest import TINY

SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"
SITE = "https://player.example"
TOKEN = "correct horse battery staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ICE = """
[[ice.servers]]
urls = ["stun:127.0.0.1:9"]
[[ice.servers]]
urls = ["turn:127.0.0.1:9?transport=udp"]
username = 'we"b'
credential = 'back\\slash'
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a token, a web site that may use it, and ICE servers (which do not answer)."""
    config = {"camera": {"front": TINY}, "web": {"token": TOKEN, "cors_origins": [SITE]}}
    daemon = Daemon(config, tmp_path_factory.mktemp("guarded"))
    daemon.file.write_text(daemon.file.read_text() + ICE)
    with daemon as running:
        running.wait_logged("daemon.ready", within=25)
        yield running
        running.assert_quiet()


@dataclass(frozen=True, slots=True)
class Full:
    """A response with every header line."""

    status: int
    headers: list[tuple[str, str]]
    text: str

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


def ask(daemon: Daemon, method: str, path: str, body: str | None = None, **headers: str) -> Full:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)) as connection:
        connection.request(method, path, body, given)
        response = connection.getresponse()
        return Full(response.status, response.getheaders(), response.read().decode())


@dataclass(slots=True)
class Session:
    """A viewer that has been answered."""

    viewer: Viewer
    offer: str
    reply: Full

    @property
    def resource(self) -> str:
        return self.reply.all("Location")[0]

    @property
    def etag(self) -> str:
        return self.reply.all("ETag")[0]

    @property
    def credentials(self) -> tuple[str, str]:
        """The viewer's."""
        found = re.search(r"a=ice-ufrag:(\S+)", self.offer), re.search(r"a=ice-pwd:(\S+)", self.offer)
        assert found[0] is not None
        assert found[1] is not None
        return found[0][1], found[1][1]


@asynccontextmanager
async def joined(daemon: Daemon, **headers: str) -> AsyncIterator[Session]:
    """A session whose viewer is connected and decodes."""
    async with Viewer() as viewer:
        offer = await viewer.offer()
        reply = await asyncio.to_thread(ask, daemon, "POST", "/whep/front", offer, Content_Type=SDP, **headers)
        assert reply.status == 201, reply.text
        session = Session(viewer, offer, reply)
        try:
            await viewer.accept(reply.text)
            await viewer.decoded(1)
            yield session
        finally:
            await asyncio.to_thread(ask, daemon, "DELETE", session.resource, **headers)


def fragment(username: str, password: str, *lines: str) -> str:
    return "\r\n".join([f"a=ice-ufrag:{username}", f"a=ice-pwd:{password}", "m=video 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", *lines, ""])


# the endpoint


def test_options_says_what_may_be_posted(healthy: Daemon) -> None:
    reply = ask(healthy, "OPTIONS", "/whep/front")
    assert reply.status == 200
    assert reply.all("Accept-Post") == [SDP]
    assert reply.all("Allow") == ["OPTIONS, POST"]
    assert reply.all("Link") == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_other_methods_on_the_endpoint_are_refused_with_those_that_are_allowed(healthy: Daemon, method: str) -> None:
    reply = ask(healthy, method, "/whep/front")
    assert reply.status == 405
    assert reply.all("Allow") == ["OPTIONS, POST"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST"])
def test_other_methods_on_the_session_are_reserved(healthy: Daemon, method: str) -> None:
    reply = ask(healthy, method, "/whep/front/some-session")
    assert reply.status == 405
    assert reply.all("Allow") == ["DELETE, OPTIONS, PATCH"]


def test_the_answer_has_location_etag_and_accept_patch(healthy: Daemon) -> None:
    async def main() -> None:
        async with joined(healthy) as session:
            reply = session.reply
            assert reply.all("Content-Type") == [SDP]
            assert re.fullmatch(r"/whep/front/[\w-]{16,}", session.resource)
            assert re.fullmatch(r'"[\w+/-]+"', session.etag), "a strong entity tag"
            assert reply.all("Accept-Patch") == [FRAGMENT]
            options = await asyncio.to_thread(ask, healthy, "OPTIONS", session.resource)
            assert (options.status, options.all("Accept-Patch")) == (200, [FRAGMENT])

    asyncio.run(main())


def test_an_offer_of_audio_and_video_gets_its_video(healthy: Daemon) -> None:
    async def main() -> str:
        async with Viewer() as viewer:
            viewer.pc.addTransceiver("audio", direction="recvonly")
            offer = await viewer.offer()
            assert offer.index("m=audio") < offer.index("m=video")
            reply = await asyncio.to_thread(ask, healthy, "POST", "/whep/front", offer, Content_Type=SDP)
            assert reply.status == 201, reply.text
            await viewer.accept(reply.text)
            await viewer.decoded(10)
            await asyncio.to_thread(ask, healthy, "DELETE", reply.all("Location")[0])
            return reply.text

    answer = asyncio.run(main())
    audio, video = answer.split("m=audio", 1)[1].split("m=video", 1)
    assert "a=inactive" in audio
    assert "a=sendonly" in video


def test_an_offer_with_vp8_only_gets_406_with_problem_details(healthy: Daemon) -> None:
    async def main() -> str:
        async with Viewer() as viewer:
            return await viewer.offer()

    without = re.sub(r"(?m)^a=(rtpmap:\d+ H264|fmtp:\d+ .*profile-level-id).*\r\n", "", asyncio.run(main()))
    reply = healthy.request("POST", "/whep/front", without, {"Content-Type": SDP})
    assert reply.status == 406
    assert reply.headers["content-type"].startswith("application/problem+json")
    assert (reply.json["status"], reply.json["code"]) == (406, "sdp-no-h264")


# what is too much, of the wrong kind, or nowhere


@pytest.mark.parametrize(
    ("method", "path", "kind", "size"),
    [
        ("POST", "/whep/front", SDP, 128 * 1024 + 1),
        ("POST", "/whep/front", SDP, 255_000),
        ("PATCH", "/whep/front/x", FRAGMENT, 16 * 1024 + 1),
    ],
)
def test_a_body_larger_than_it_may_be_is_refused(healthy: Daemon, method: str, path: str, kind: str, size: int) -> None:
    reply = ask(healthy, method, path, "a" * size, Content_Type=kind, If_Match="*")
    assert reply.status == 413
    assert "too-large" in reply.text


def test_the_wrong_type_is_told_the_right_one(healthy: Daemon) -> None:
    posted = ask(healthy, "POST", "/whep/front", "v=0\r\n", Content_Type="text/plain")
    assert (posted.status, posted.all("Accept-Post")) == (415, [SDP])
    patched = ask(healthy, "PATCH", "/whep/front/x", "a=mid:0\r\n", Content_Type=SDP, If_Match="*")
    assert (patched.status, patched.all("Accept-Patch")) == (415, [FRAGMENT])


def test_a_session_that_never_was_is_404(healthy: Daemon) -> None:
    assert ask(healthy, "PATCH", "/whep/front/x", "a=mid:0\r\n", Content_Type=FRAGMENT, If_Match="*").status == 404
    assert ask(healthy, "DELETE", "/whep/front/x").status == 404


# PATCH


def patch(daemon: Daemon, session: Session, body: str, etag: str | None) -> Full:
    match = {} if etag is None else {"If_Match": etag}
    return ask(daemon, "PATCH", session.resource, body, Content_Type=FRAGMENT, **match)


def test_trickle_needs_the_present_etag(healthy: Daemon) -> None:
    async def main() -> None:
        async with joined(healthy) as session:
            body = fragment(*session.credentials, "a=candidate:1 1 udp 2130706431 192.0.2.9 9 typ host", "a=end-of-candidates")
            for etag, status in (
                (None, 428),
                ('"another"', 412),
                (f"W/{session.etag}", 412),
                (session.etag, 204),
                (f'"another", {session.etag}', 204),
                ("*", 204),
            ):
                reply = await asyncio.to_thread(patch, healthy, session, body, etag)
                assert reply.status == status, (etag, reply)
            await session.viewer.decoded(5)

    asyncio.run(main())


@pytest.mark.parametrize(
    "body",
    [
        "a=ice-ufrag:only\r\n",
        "a=ice-ufrag:a b\r\na=ice-pwd:" + "x" * 30,
        "hello\r\n",
        "a=ice-ufrag:abcd\r\na=ice-pwd:short\r\n",
        "a=mid:0\r\n" * 501,
    ],
    ids=["no-password", "space", "no-sdp", "short", "long"],
)
def test_a_malformed_fragment_is_400_and_changes_nothing(healthy: Daemon, body: str) -> None:
    async def main() -> None:
        async with joined(healthy) as session:
            reply = await asyncio.to_thread(patch, healthy, session, body, session.etag)
            assert (reply.status, "sdpfrag-malformed" in reply.text) == (400, True)
            await session.viewer.decoded(5)

    asyncio.run(main())


def test_a_restart_gets_new_credentials_and_a_new_etag_and_is_answered_alike_when_repeated(healthy: Daemon) -> None:
    async def main() -> None:
        async with joined(healthy) as session:
            body = fragment("fresh123", "a" * 24)
            reply = await asyncio.to_thread(patch, healthy, session, body, "*")
            assert (reply.status, reply.all("Content-Type")[0].split(";")[0]) == (200, FRAGMENT)
            assert "a=candidate:" in reply.text
            (etag,) = reply.all("ETag")
            ufrag = re.search(r"a=ice-ufrag:(\S+)", reply.text)
            assert ufrag is not None
            assert f"a=ice-ufrag:{ufrag[1]}" not in session.reply.text
            assert etag != session.etag
            again = await asyncio.to_thread(patch, healthy, session, body, "*")
            assert (again.status, again.text) == (200, reply.text)
            late = fragment(*session.credentials, "a=candidate:1 1 udp 2130706431 192.0.2.9 9 typ host")
            assert (await asyncio.to_thread(patch, healthy, session, late, session.etag)).status == 412
            # The viewer never followed: the path from before the restart carries its pictures.
            await session.viewer.decoded(20)

    asyncio.run(main())


def test_restarts_without_end_are_refused_for_a_while(healthy: Daemon) -> None:
    async def main() -> None:
        async with joined(healthy) as session:
            replies = [
                await asyncio.to_thread(patch, healthy, session, fragment(f"fresh{n:03}", "a" * 24), "*") for n in range(7)
            ]
            assert [reply.status for reply in replies] == [200] * 5 + [429] * 2
            assert replies[-1].all("Retry-After")
            await session.viewer.decoded(5)

    asyncio.run(main())


# DELETE


def test_delete_ends_it_and_may_be_repeated(healthy: Daemon) -> None:
    async def main() -> None:
        async with joined(healthy) as session:
            assert (await asyncio.to_thread(ask, healthy, "DELETE", session.resource)).status == 200
            ended = asyncio.Event()
            session.viewer.pc.on("connectionstatechange", ended.set)
            async with asyncio.timeout(3):
                while session.viewer.pc.connectionState != "closed":
                    await ended.wait()
                    ended.clear()
            assert (await asyncio.to_thread(ask, healthy, "DELETE", session.resource)).status == 200
            late = await asyncio.to_thread(patch, healthy, session, fragment(*session.credentials), session.etag)
            assert late.status == 404

    asyncio.run(main())


# other web sites, tokens, ICE servers


def test_without_the_token_nothing_is_told(guarded: Daemon) -> None:
    for method, path in (("OPTIONS", "/whep/front"), ("POST", "/whep/front"), ("PATCH", "/whep/front/x"), ("DELETE", "/whep/front/x")):
        reply = ask(guarded, method, path, Content_Type=SDP)
        assert reply.status == 401, method
        assert reply.all("WWW-Authenticate")[0].startswith("Bearer")
        assert reply.all("Link") == []
        assert "turn:" not in reply.text


LINKS = [
    '<stun:127.0.0.1:9>; rel="ice-server"',
    '<turn:127.0.0.1:9?transport=udp>; rel="ice-server"; username="we\\"b"; credential="back\\\\slash"; credential-type="password"',
]


def test_the_token_shows_the_ice_servers_before_and_with_the_answer(guarded: Daemon) -> None:
    assert ask(guarded, "OPTIONS", "/whep/front", **BEARER).all("Link") == LINKS

    async def main() -> None:
        async with joined(guarded, **BEARER) as session:
            assert session.reply.all("Link") == LINKS

    asyncio.run(main())


def test_a_named_site_may_do_all_of_it_and_read_what_it_needs(guarded: Daemon) -> None:
    for method in ("POST", "PATCH", "DELETE"):
        path = "/whep/front" if method == "POST" else "/whep/front/x"
        asked = ask(
            guarded, "OPTIONS", path, Origin=SITE,
            Access_Control_Request_Method=method, Access_Control_Request_Headers="authorization, content-type, if-match",
        )  # fmt: skip
        assert asked.status == 204
        assert asked.all("Access-Control-Allow-Origin") == [SITE]
        assert method in asked.all("Access-Control-Allow-Methods")[0]
        allowed = asked.all("Access-Control-Allow-Headers")[0].lower()
        assert {"authorization", "content-type", "if-match"} <= set(allowed.split(", "))
        assert asked.all("Accept-Post" if method == "POST" else "Accept-Patch")
        assert asked.all("Link") == []

    async def main() -> None:
        async with joined(guarded, Origin=SITE, **BEARER) as session:
            exposed = session.reply.all("Access-Control-Expose-Headers")[0]
            assert {"Location", "ETag", "Link"} <= set(exposed.split(", "))
            assert session.reply.all("Access-Control-Allow-Origin") == [SITE]

    asyncio.run(main())


def test_the_session_of_another_viewer_cannot_be_guessed_from_the_status(guarded: Daemon) -> None:
    async def main() -> None:
        async with joined(guarded, **BEARER) as session:
            shown = (await asyncio.to_thread(guarded.request, "GET", "/api/v1/status", None, BEARER)).json["viewers"][0]["id"]
            for guess in (shown, shown.split(".")[0]):
                reply = await asyncio.to_thread(ask, guarded, "DELETE", f"/whep/front/{guess}", **BEARER)
                assert reply.status == 404
            await session.viewer.decoded(3)

    asyncio.run(main())


def test_a_body_that_stops_half_way_is_given_up(healthy: Daemon) -> None:
    with socket.create_connection(("127.0.0.1", healthy.port), timeout=20) as slow:
        head = f"POST /whep/front HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {SDP}\r\nContent-Length: 4000\r\n\r\nv=0"
        slow.sendall(head.encode())
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
