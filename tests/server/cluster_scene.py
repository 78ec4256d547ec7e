"""Several servers on one real Redis, each on a real socket, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
from pydantic import SecretStr

from edgecam.health import HealthBoard
from edgecam.http.listener import listening
from edgecam.server.app import HUB, build_app
from edgecam.server.cluster.joining import cluster_jobs
from edgecam.settings import ServerSettings
from edgecam.supervisor import background
from tests.harness.redis import Redis
from tests.server.scene import PATIENCE, Town

INTERVAL = 0.02  # seconds between two looks at a server


class Instance(Town):
    """One server of several."""

    name = ""

    async def cluster(self) -> dict[str, object]:
        """What its status says about the cluster."""
        found = (await self.json("/status"))["cluster"]
        assert isinstance(found, dict)
        return found

    async def wait_cluster(self, within: float = PATIENCE, **fields: object) -> dict[str, object]:
        """Until that holds these values; `others` is the number of other instances."""
        async with asyncio.timeout(within):
            while True:
                found = await self.cluster()
                instances = found["instances"]
                assert isinstance(instances, list)
                if all({**found, "others": len(instances) - 1}[key] == value for key, value in fields.items()):
                    return found
                await asyncio.sleep(INTERVAL)

    async def wait_listed(self, camera: str, within: float = PATIENCE, **fields: object) -> None:
        """Until the list of cameras has that one with these values."""
        async with asyncio.timeout(within):
            while True:
                cameras = {entry["id"]: entry for entry in await self.json("/api/v1/cameras")}
                if camera in cameras and all(cameras[camera].get(key) == value for key, value in fields.items()):
                    return
                await asyncio.sleep(INTERVAL)


@asynccontextmanager
async def instance(redis: Redis, name: str, **settings: object) -> AsyncIterator[Instance]:
    """A server that is joined to the others on that Redis; leaving the block stops it in good order."""
    fields = {"listen": "127.0.0.1:0", "redis": SecretStr(redis.url), "instance": name, **settings}
    section = ServerSettings.model_validate(fields)
    app = build_app(section, None)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        AsyncExitStack() as stack,
        background(*cluster_jobs(section, app[HUB], HealthBoard())),
        listening(app, section.address, name="server") as bound,
    ):
        place = Instance(bound, session, stack, app)
        place.name = name
        yield place


Script = Callable[..., Awaitable[None]]


def play_cluster(
    script: Script, directory: Path, count: int = 2, within: float = 60.0, password: str = "", **settings: object
) -> None:
    """Run `script(redis, *instances)` with that many servers that know each other, in time."""

    async def main() -> None:
        with Redis(directory, password) as redis:
            async with asyncio.timeout(within), AsyncExitStack() as stack:
                names = "abcdefgh"[:count]
                places = [await stack.enter_async_context(instance(redis, name, **settings)) for name in names]
                for place in places:
                    await place.wait_cluster(state="running", others=count - 1)
                await script(redis, *places)

    asyncio.run(main())
