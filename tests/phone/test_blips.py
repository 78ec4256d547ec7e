"""Sockets that break under pages: places are kept, pictures go on, the other side hears nothing."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.harness.browser import Browser
from tests.harness.daemons import Server
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tests.phone.test_send_page import LIVE, PHONE, assert_moving

TOLERATED = ["WebSocket connection to .* failed", "ERR_"]


class Wire:
    """A TCP forwarder whose connections can all be cut at once, without a goodbye."""

    def __init__(self, target: int) -> None:
        self.port, self._target = free_port(), target
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", self._target)
        self._open |= {writer, outer}
        with suppress(ConnectionError):
            await asyncio.gather(_copy(reader, outer), _copy(inner, writer))

    async def _serve(self, ready: threading.Event) -> None:
        self._stop = asyncio.Event()
        async with await asyncio.start_server(self._forward, "127.0.0.1", self.port):
            ready.set()
            await self._stop.wait()
            self.sever()

    def sever(self) -> None:
        for writer in self._open:
            raw = writer.get_extra_info("socket")
            with suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            writer.transport.abort()
        self._open.clear()

    def cut(self) -> None:
        """Every connection is reset now; new ones are taken."""
        self._loop.call_soon_threadsafe(self.sever)

    @contextmanager
    def running(self) -> Iterator[Wire]:
        ready = threading.Event()
        thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(ready),), daemon=True)
        thread.start()
        assert ready.wait(5)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(5)
            self._loop.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


def events(visit: Any, kind: str) -> int:
    return int(visit.page.evaluate("kind => window.edgecam.events.filter(({type}) => type === kind).length", kind))


def test_a_phone_and_a_viewer_whose_sockets_break_are_taken_back_and_the_picture_never_stops(tmp_path: Path, browser: Browser) -> None:
    with Server({}, tmp_path) as server, Wire(server.port).running() as wire:
        url = f"http://127.0.0.1:{wire.port}"
        with browser.visit(f"{url}/send?camera=blip", tolerates=TOLERATED, **PHONE) as sender:
            sender.page.select_option("#size", "640x480")
            sender.page.tap("#btn-send")
            sender.wait_for(LIVE)
            with browser.visit(f"{url}/view/blip", tolerates=TOLERATED) as viewer:
                viewer.wait_playing()
                viewer.mark_connection()
                for number in range(1, 4):
                    calls = events(sender, "call")
                    wire.cut()
                    sender.wait_for(f"window.edgecam.events.filter(({{type}}) => type === 'resumed').length === {number}")
                    sender.wait_for(LIVE)
                    resumed = f"edgecam_server_resumed_total {2 * number}"
                    until(lambda wanted=resumed: wanted in server.get("/metrics").text, within=15, what=resumed)  # type: ignore[misc]
                    assert events(sender, "call") == calls
                viewer.assert_same_connection()
                assert_moving(viewer)
                assert events(viewer, "problem") == 0, "the viewer heard of its camera's absence"
            until(lambda: server.get("/status").json["viewers"] == 0, within=10, what="the viewer gone")
        server.assert_quiet()
