"""Opening, failing to open and closing listeners; the pages they serve."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from edgecam.errors import FatalError
from edgecam.http.guard import Guard
from edgecam.http.listener import application, listening, urls_of
from edgecam.http.pages import StaticFiles
from edgecam.settings import Listen, WebSettings

SETTINGS = WebSettings(listen="127.0.0.1:0")


def open_and_close(address: Listen) -> Listen:
    async def main() -> Listen:
        async with listening(application(Guard(SETTINGS, None)), address, name="web") as bound:
            return bound

    return asyncio.run(main())


def test_port_zero_yields_the_real_port() -> None:
    assert open_and_close(Listen("127.0.0.1", 0)).port > 0


def test_a_busy_port_is_one_line_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(FatalError) as caught:
            open_and_close(Listen("127.0.0.1", port))
    assert caught.value.code == "port-busy"
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{port}: the port is in use; "
        "stop the other program or set [web] listen to another port"
    )


def test_an_address_of_another_machine_is_one_line_with_the_remedy() -> None:
    with pytest.raises(FatalError) as caught:
        open_and_close(Listen("192.0.2.1", 8088))
    assert caught.value.code == "address-absent"
    assert "this machine has no such address" in str(caught.value)


def test_open_streams_do_not_hold_up_the_end() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        await asyncio.Event().wait()
        return response

    async def main() -> float:
        app = application(Guard(SETTINGS, None))
        app.router.add_get("/stream", endless)
        async with aiohttp.ClientSession() as client:
            async with listening(app, SETTINGS.address, name="web") as bound:
                response = await client.get(f"http://{bound}/stream")
                await response.content.readexactly(5)
                began = time.monotonic()
            took = time.monotonic() - began
            response.close()
            return took

    assert asyncio.run(main()) < 2.0


def test_what_is_no_http_leaves_no_trace_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with listening(application(Guard(SETTINGS, None)), SETTINGS.address, name="web") as bound:
            for line in (b"GET / HTTP/1.1\r\nAuthorization Bearer hunter2\r\n\r\n", b"\x16\x03\x01hunter2\r\n\r\n"):
                reader, writer = await asyncio.open_connection(bound.host, bound.port)
                writer.write(line)
                assert b" 400 " in await reader.readline()
                writer.close()
                await writer.wait_closed()

    asyncio.run(main())
    assert "hunter2" not in caplog.text


def test_links_carry_the_token_and_cover_the_machines_addresses() -> None:
    assert urls_of(Listen("127.0.0.1", 8088), None) == ["http://127.0.0.1:8088/"]
    assert urls_of(Listen("::1", 8088), "a b") == ["http://[::1]:8088/?token=a%20b"]
    links = urls_of(Listen("0.0.0.0", 8088), "t", "/view/front")
    assert links[0] == "http://localhost:8088/view/front?token=t"
    assert not any("0.0.0.0" in link or "169.254" in link for link in links)


def test_static_files_have_types_and_etags_and_do_not_leave_their_directory(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("let a = 1")
    (tmp_path / "secret.txt").write_text("no")
    (tmp_path.parent / "outside.js").write_text("no")
    files = StaticFiles(tmp_path)

    async def serve(request: web.Request) -> web.StreamResponse:
        return await files.respond(request, request.query["name"])

    async def main() -> None:
        app = application(Guard(SETTINGS, None))
        app.router.add_get("/", serve)
        async with listening(app, SETTINGS.address, name="web") as bound, aiohttp.ClientSession() as client:

            async def fetch(name: str, etag: str = "") -> aiohttp.ClientResponse:
                headers = {"If-None-Match": etag} if etag else {}
                async with client.get(f"http://{bound}/", params={"name": name}, headers=headers) as response:
                    await response.read()
                    return response

            first = await fetch("a.js")
            assert first.status == 200
            assert first.headers["Content-Type"] == "text/javascript; charset=utf-8"
            assert first.headers["Cache-Control"] == "no-cache"
            assert (await fetch("a.js", first.headers["ETag"])).status == 304
            (tmp_path / "a.js").write_text("let a = 2222")
            assert (await fetch("a.js", first.headers["ETag"])).status == 200
            for name in (
                "../outside.js",
                "secret.txt",
                "missing.js",
                ".js",
                "a.js/",
                "/etc/x.js",
                "..",
                "a\0.js",
            ):
                assert (await fetch(name)).status == 404, name

    asyncio.run(main())
