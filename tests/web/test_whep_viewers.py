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
            samples = (await asyncio.to_thread(metrics, solo))["edgecam_viewer_sent_bytes_total"]
            assert [labels for labels, _ in samples] == [{"camera": "front", "via": "whep", "viewer": viewer["id"]}]

    asyncio.run(main())


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
            headers = {"Content-Type": "application/trickle-ice-sdpfrag" + charset}
            fragment = b"a=mid:0\r\na=candidate:\xff\xfe\r\n"
            reply = await asyncio.to_thread(solo.request, "PATCH", resource, fragment, headers)
            assert reply.status == 204

    asyncio.run(main())
