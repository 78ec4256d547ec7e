"""The files of `edgecam/http/static/`: pages and what they load."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import hdrs, web

STATIC = Path(__file__).parent / "static"
_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.([a-z0-9]+)")
_TYPES = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    etag: str
    stamp: tuple[int, int]  # mtime in ns, size in bytes


class StaticFiles:
    """A flat directory of small files, read once per change."""

    def __init__(self, directory: Path = STATIC) -> None:
        self._directory = directory
        self._files: dict[str, _File] = {}

    async def respond(self, request: web.Request, name: str) -> web.StreamResponse:
        """The file of that name, or 304 for a matching If-None-Match; raises HTTPNotFound."""
        match = _NAME.fullmatch(name)
        content_type = _TYPES.get(match[1]) if match else None
        if content_type is None:
            raise web.HTTPNotFound(text="no such file\n")
        try:
            file = await asyncio.to_thread(self._load, name)  # an SD card can take seconds
        except OSError as error:
            raise web.HTTPNotFound(text="no such file\n") from error
        headers = {hdrs.ETAG: file.etag, hdrs.CACHE_CONTROL: "no-cache"}
        if file.etag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers=headers)
        charset = "utf-8" if content_type.startswith("text/") else None
        return web.Response(body=file.body, content_type=content_type, charset=charset, headers=headers)

    def _load(self, name: str) -> _File:
        path = self._directory / name
        info = path.stat()
        stamp = (info.st_mtime_ns, info.st_size)
        known = self._files.get(name)
        if known is not None and known.stamp == stamp:
            return known
        body = path.read_bytes()
        file = _File(body, f'"{hashlib.sha256(body).hexdigest()[:20]}"', stamp)
        self._files[name] = file
        return file


_files = StaticFiles()


def page(name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A route's function that serves the static file `name`, e.g. `viewer.html`."""

    async def serve_page(request: web.Request) -> web.StreamResponse:
        return await _files.respond(request, name)

    return serve_page


def add_static(app: web.Application) -> None:
    """Route `/static/{file}` and the favicon."""

    async def serve_file(request: web.Request) -> web.StreamResponse:
        return await _files.respond(request, request.match_info["file"])

    app.router.add_get("/static/{file}", serve_file)
    app.router.add_get("/favicon.ico", page("favicon.svg"))
