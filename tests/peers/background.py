"""A viewer that watches beside the test, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self

import aiohttp

from tests.harness.waiting import until
from tests.peers.viewer import Viewer

JOIN_WITHIN = 20.0  # seconds


class Watching:
    """Watches a camera over WHEP from entering to leaving. `frames` counts the pictures that it has decoded, `state` is its
    connection's."""

    def __init__(self, url: str, camera: str, within: float = JOIN_WITHIN) -> None:
        self._within = within  # seconds until the first picture
        self._url = f"{url}/whep/{camera}"
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()), name="viewer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave = asyncio.Event()
        self._viewer: Viewer | None = None
        self._error: BaseException | None = None

    @property
    def frames(self) -> int:
        return self._viewer.frames if self._viewer is not None else 0

    @property
    def state(self) -> str:
        return self._viewer.pc.connectionState if self._viewer is not None else "new"

    def wait_frames(self, more: int, within: float) -> None:
        """Until so many more pictures were decoded."""
        goal = self.frames + more

        def look() -> bool:
            assert self._error is None, repr(self._error)
            return self.frames >= goal

        until(look, within=within, what=f"{more} more pictures", explain=lambda: f"{self.frames}, {self.state}")

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.wait_frames(1, self._within)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(10)

    async def _watch(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            async with Viewer() as viewer, aiohttp.ClientSession() as http:
                self._viewer = viewer
                headers = {"Content-Type": "application/sdp"}
                async with http.post(self._url, data=await viewer.offer(), headers=headers) as response:
                    assert response.status == 201, await response.text()
                    await viewer.accept(await response.text())
                await self._leave.wait()
        except BaseException as error:  # noqa: BLE001 - the test's thread raises it
            self._error = error
