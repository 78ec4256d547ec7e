"""Visitors by the thousand: real ICE and DTLS, a few packets of media, and away; half of them without a word to anybody."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from tests.peers.viewer import Viewer
from tests.peers.wire import count_sending

ARRIVE_WITHIN = 20.0  # seconds, handshakes of the others included


async def visit(http: aiohttp.ClientSession, url: str, *, polite: bool) -> None:
    """Join the camera at that WHEP address, see media arrive, leave: by DELETE, or like one whose battery is empty."""
    async with Viewer() as viewer:
        offer = await viewer.offer()
        async with http.post(url, data=offer, headers={"Content-Type": "application/sdp"}) as response:
            assert response.status == 201, await response.text()
            resource = response.headers["Location"]
            await viewer.accept(await response.text())
        async with asyncio.timeout(ARRIVE_WITHIN):
            await arrival(viewer)
        if polite:
            async with http.delete(f"{url.split('/whep/', 1)[0]}{resource}") as response:
                assert response.status == 200
        else:
            silence(viewer)


async def arrival(viewer: Viewer) -> None:
    """Until a packet of media has come."""
    sent, arrived = count_sending(viewer), asyncio.Event()
    sent.first = arrived.set
    await arrived.wait()


def silence(viewer: Viewer) -> None:
    """Nothing leaves this viewer any more: no BYE, no DTLS alert, no answer to consent checks."""
    ice: Any = viewer.receiver.transport.transport

    async def lost(_data: bytes) -> None:
        pass

    ice._send = lost


async def visits(url: str, count: int, at_once: int, *, vanishing: int = 2) -> None:
    """So many visits, `at_once` of them going on at any time; of each `vanishing`, one ends abruptly."""
    numbers = iter(range(count))

    async def one_after_the_other(http: aiohttp.ClientSession) -> None:
        for number in numbers:
            await visit(http, url, polite=number % vanishing != 0)

    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(one_after_the_other(http))
