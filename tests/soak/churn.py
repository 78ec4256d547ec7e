"""Real viewers that join over WHEP, decode some pictures and leave, politely or not; and what /proc says of the daemon."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.peers.viewer import Viewer


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process holds: resident memory in KiB, open file descriptors, threads."""

    rss_kib: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Footprint:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
        )
        descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return cls(int(status["VmRSS"].split()[0]), descriptors, int(status["Threads"]))


async def visit(http: aiohttp.ClientSession, url: str, *, polite: bool) -> None:
    """Join the camera at that WHEP address, decode five pictures, leave: by DELETE, or by closing without a word."""
    async with Viewer() as viewer:
        offer = await viewer.offer()
        async with http.post(url, data=offer, headers={"Content-Type": "application/sdp"}) as response:
            assert response.status == 201, await response.text()
            resource = response.headers["Location"]
            await viewer.accept(await response.text())
        await viewer.decoded(5)
        if polite:
            async with http.delete(f"{url.split('/whep/', 1)[0]}{resource}") as response:
                assert response.status == 200


async def churn(url: str, rounds: int, at_once: int) -> None:
    """`rounds` times `at_once` viewers together; every other one leaves without a word."""
    async with aiohttp.ClientSession() as http:
        for _ in range(rounds):
            async with asyncio.TaskGroup() as group:
                for number in range(at_once):
                    group.create_task(visit(http, url, polite=number % 2 == 0))
