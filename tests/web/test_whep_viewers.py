"""WHEP viewers as status and metrics show them, and odd requests about them: a real daemon, a viewer on aiortc."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.harness.daemons import Daemon
from tests.harness.web import Reply
from tests.peers.viewer import Viewer
from tests.web.conftest import TINY
from tests.web.test_health import metrics


@pytest.fixture(scope="module")
def solo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One camera for one viewer."""
    with Daemon({"camera": {"front": {**TINY, "max_viewers": 1}}}, tmp_path_factory.mktemp("solo")) as running:
        running.wait_ready()
        yield running
        running.assert_quiet()


async def post(daemon: Daemon, offer: str) -> Reply:
    return await asyncio.to_thread(daemon.request, "POST", "/whep/front", offer, {"Content-Type": "application/sdp"})


@asynccontextmanager
async def watching(daemon: Daemon) -> AsyncIterator[str]:
    """A connected viewer; its resource."""
    async with Viewer() as viewer:
        reply = await post(daemon, await viewer.offer())
        assert reply.status == 201, reply.text
        resource = reply.headers["location"]
        try:
            await viewer.accept(reply.text)
            await viewer.decoded(1)
            yield resource
        finally:
            await asyncio.to_thread(daemon.request, "DELETE", resource)


def test_status_and_metrics_show_only_how_a_viewers_id_begins(solo: Daemon) -> None:
    async def main() -> None:
        async with watching(solo) as resource:
            whole = resource.rpartition("/")[2]
            assert whole not in (await asyncio.to_thread(solo.get, "/api/v1/status")).text
            assert whole not in (await asyncio.to_thread(solo.get, "/metrics")).text
            viewer = await asyncio.to_thread(solo.viewer, whole)
            assert viewer is not None
            assert viewer["id"][:8] not in (await asyncio.to_thread(solo.get, "/metrics")).text  # each would be a series for ever

    asyncio.run(main())


def test_what_was_sent_is_counted_on_when_the_viewer_has_left(solo: Daemon) -> None:
    def sent() -> dict[str, float]:
        found = metrics(solo)
        names = ("sessions", "sent_bytes", "sent_packets", "sent_access_units")
        return {name: found[f"edgecam_camera_{name}_total"][0][1] for name in names}

    async def main() -> tuple[dict[str, float], dict[str, float]]:
        before = await asyncio.to_thread(sent)
        async with watching(solo):
            return before, await asyncio.to_thread(sent)

    before, while_watched = asyncio.run(main())
    solo.wait_viewers(0)
    after = sent()
    assert while_watched["sessions"] == after["sessions"] == before["sessions"] + 1
    for name, count in after.items():
        assert count >= while_watched[name] > before[name], name


def test_one_viewer_too_many_is_one_line_in_the_log(solo: Daemon) -> None:
    async def main() -> None:
        async with watching(solo), Viewer() as late:
            assert (await post(solo, await late.offer())).json["code"] == "viewers-full"

    before = len(solo.logged("viewer.refused"))
    asyncio.run(main())
    solo.wait_logged("viewer.refused", code="viewers-full", camera="front", via="whep")
    assert len(solo.logged("viewer.refused")) == before + 1


@pytest.mark.parametrize("charset", ["", "; charset=klingon"])
def test_candidates_in_bytes_that_are_no_text_harm_nothing(solo: Daemon, charset: str) -> None:
    async def main() -> None:
        async with watching(solo) as resource:
            headers = {"Content-Type": "application/trickle-ice-sdpfrag" + charset, "If-Match": "*"}
            fragment = b"a=mid:0\r\na=candidate:\xff\xfe\r\n"
            reply = await asyncio.to_thread(solo.request, "PATCH", resource, fragment, headers)
            assert reply.status == 204

    asyncio.run(main())


def test_a_page_can_ask_for_the_cameras_candidates_and_whether_its_call_lives(solo: Daemon) -> None:
    async def ask(method: str, path: str) -> Reply:
        return await asyncio.to_thread(solo.request, method, path)

    async def main() -> None:
        async with watching(solo) as resource:
            reply = await ask("GET", f"{resource}/candidates?from=0")
            assert reply.status == 200
            assert reply.headers["content-type"].startswith("application/trickle-ice-sdpfrag")
            lines = reply.text.splitlines()
            assert lines[0].startswith("a=ice-ufrag:")
            assert any(line.startswith("a=candidate:") and " typ host" in line for line in lines)
            assert lines[-1] == "a=end-of-candidates"
            rest = await ask("GET", f"{resource}/candidates?from=99")
            assert "a=candidate:" not in rest.text
            assert (await ask("HEAD", f"{resource}/candidates")).status == 204
        assert (await ask("HEAD", f"{resource}/candidates")).status == 205
        assert (await ask("HEAD", "/whep/front/never-was/candidates")).status == 404

    asyncio.run(main())
