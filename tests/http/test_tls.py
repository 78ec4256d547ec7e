"""TLS of a listener: real certificates from openssl, real handshakes, renewals under open connections."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import structlog

from edgecam.errors import ConfigError
from edgecam.http import admission
from edgecam.http.listener import listening
from edgecam.http.tls import Certificate
from edgecam.settings import Listen
from tests.http.scene import guarded_app


def run(main: Callable[[], Coroutine[None, None, None]]) -> None:
    async def whole() -> None:
        await main()
        await asyncio.sleep(0.25)  # aiohttp tells nobody when its TLS connections are closed; this is what its documents advise

    asyncio.run(whole())


def issue(directory: Path, name: str, *, key: Path | None = None) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 whose common name is `name`, and its key."""
    certificate, own = directory / f"{name}.pem", directory / f"{name}.key"
    kept = ["-key", str(key)] if key else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", str(own)]
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run(["openssl", "req", "-x509", *kept, "-out", str(certificate), "-days", "2", *names], check=True, capture_output=True)
    return certificate, key or own


def install(pair: tuple[Path, Path], directory: Path) -> None:
    """As certbot does it: a rename each, the certificate first."""
    for source, name in zip(pair, ("live.pem", "live.key"), strict=True):
        temporary = directory / f".{name}"
        temporary.write_bytes(source.read_bytes())
        temporary.replace(directory / name)


@asynccontextmanager
async def served(directory: Path, **options: object) -> AsyncIterator[tuple[Listen, Certificate]]:
    certificate = Certificate(directory / "live.pem", directory / "live.key")
    certificate.load()
    app, section = guarded_app()
    async with listening(app, section.address, name="web", tls=certificate.context, **options) as bound:  # type: ignore[arg-type]
        yield bound, certificate


def trusting(*certificates: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for certificate in certificates:
        context.load_verify_locations(certificate)
    return context


async def name_shown(address: Listen, *, server_name: str | None = None, context: ssl.SSLContext | None = None) -> str:
    """The common name in the certificate that a new handshake is given."""
    if context is None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context, server_hostname=server_name or "")
    encoded = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    del reader
    command = ["openssl", "x509", "-inform", "der", "-noout", "-subject", "-nameopt", "multiline"]
    shown = subprocess.run(command, input=encoded, capture_output=True)
    return str(shown.stdout.decode().rpartition("= ")[2].strip())


def test_pages_and_sockets_come_over_tls_and_the_scheme_is_known(tmp_path: Path) -> None:
    pair = issue(tmp_path, "first")
    install(pair, tmp_path)

    async def main() -> None:
        async with served(tmp_path) as (address, _):
            connector = aiohttp.TCPConnector(ssl=trusting(pair[0]))
            async with aiohttp.ClientSession(connector=connector) as client:
                own = {"Origin": f"https://{address}"}
                async with client.post(f"https://{address}/api/thing", headers=own) as reply:
                    assert reply.status == 200
                async with client.post(f"https://{address}/api/thing", headers={"Origin": f"http://{address}"}) as reply:
                    assert reply.status == 403
                async with client.ws_connect(f"https://{address}/ws", headers=own) as ws:
                    await ws.send_str("x" * 200_000)
                    assert len(await ws.receive_str(timeout=5)) == 200_000
            async with aiohttp.ClientSession() as client:
                with pytest.raises(aiohttp.ClientError):  # plain HTTP to a TLS port
                    await client.get(f"http://{address}/healthz")

    run(main)


def test_a_renewal_is_used_from_the_next_handshake_on_and_open_connections_stay(tmp_path: Path) -> None:
    first, second = issue(tmp_path, "first"), issue(tmp_path, "second")
    install(first, tmp_path)

    async def main() -> None:
        async with served(tmp_path) as (address, certificate):
            watching = asyncio.create_task(certificate.watch(), name="watch")
            context = trusting(first[0], second[0])
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as client:
                async with client.ws_connect(f"https://{address}/ws") as ws:
                    for name in ("", "localhost", "somewhere.example"):
                        assert await name_shown(address, server_name=name) == "first"
                    install(second, tmp_path)
                    certificate.refresh()  # as SIGHUP does; without it within 5 s
                    async with asyncio.timeout(8):
                        while await name_shown(address) != "second":
                            pass
                    assert await name_shown(address, server_name="localhost") == "second"
                    await ws.send_str("still here")
                    assert await ws.receive_str(timeout=5) == "still here"
                async with client.get(f"https://{address}/healthz") as reply:
                    assert reply.status == 200
            watching.cancel()

    run(main)


def test_a_bad_renewal_is_said_once_and_the_old_certificate_stays(tmp_path: Path) -> None:
    first, second = issue(tmp_path, "first"), issue(tmp_path, "second")
    install(first, tmp_path)

    async def main() -> None:
        async with served(tmp_path) as (address, certificate):
            (tmp_path / "live.pem").write_bytes(second[0].read_bytes())  # its key has not been written yet
            assert [certificate.refresh() for _ in range(3)] == [False] * 3
            assert await name_shown(address) == "first"
            (tmp_path / "live.key").unlink()
            assert not certificate.refresh()
            assert await name_shown(address) == "first"
            (tmp_path / "live.key").write_bytes(second[1].read_bytes())
            assert certificate.refresh()
            assert await name_shown(address) == "second"
            assert not certificate.refresh()

    with structlog.testing.capture_logs() as events:
        run(main)
    assert [event["event"] for event in events if event["event"].startswith("tls.")] == ["tls.renewal-unusable"] * 2 + ["tls.renewed"]


def test_old_versions_of_tls_are_refused(tmp_path: Path) -> None:
    install(issue(tmp_path, "first"), tmp_path)

    async def main() -> None:
        async with served(tmp_path) as (address, _):
            for version, fine in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
                client = await asyncio.create_subprocess_exec(
                    "openssl", "s_client", "-connect", str(address), version, "-cipher", "DEFAULT:@SECLEVEL=0",
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                )  # fmt: skip
                said, _ = await client.communicate()
                assert (b"BEGIN CERTIFICATE" in said) is fine, version

    run(main)


def test_handshakes_that_never_end_count_like_connections_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "FIRST_REQUEST_WITHIN", 0.3)
    pair = issue(tmp_path, "first")
    install(pair, tmp_path)

    async def main() -> None:
        async with served(tmp_path, connections=3) as (address, _):
            silent = [await asyncio.open_connection(address.host, address.port) for _ in range(20)]
            garbled = [await asyncio.open_connection(address.host, address.port) for _ in range(5)]
            for _, writer in garbled:
                writer.write(b"\x16\x03\x01\x00\xff" + os.urandom(300))
            connector = aiohttp.TCPConnector(ssl=trusting(pair[0]))
            async with aiohttp.ClientSession(connector=connector) as client:
                async with client.get(f"https://{address}/healthz") as reply:
                    assert reply.status == 200
            async with asyncio.timeout(3):
                for reader, writer in (*silent, *garbled):
                    try:
                        while await reader.read(1000):
                            pass
                    except ConnectionError:
                        pass
                    writer.close()
            connector = aiohttp.TCPConnector(ssl=trusting(pair[0]), force_close=True)
            async with aiohttp.ClientSession(connector=connector) as client:
                for _ in range(8):  # every place has been given back
                    async with client.get(f"https://{address}/healthz") as reply:
                        assert reply.status == 200

    run(main)


def test_one_address_has_its_share_of_connections_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "is_this_machine", lambda address: address == "127.0.0.9")

    async def connect(address: Listen, source: str) -> bool:
        with socket.socket() as client:
            client.setblocking(False)
            client.bind((source, 0))
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, (address.host, address.port))
            try:
                await loop.sock_sendall(client, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return b" 200 " in await loop.sock_recv(client, 1000)
            except ConnectionError:
                return False

    async def main() -> None:
        app, section = guarded_app()
        options = {"per_address": 2, "stands_for_many": lambda address: address == "127.0.0.8"}
        async with listening(app, section.address, name="web", **options) as address:  # type: ignore[arg-type]
            held = [await asyncio.open_connection(address.host, address.port) for _ in range(2)]
            assert not await connect(address, "127.0.0.1")
            assert await connect(address, "127.0.0.7")
            for source in ("127.0.0.8", "127.0.0.9"):  # a proxy, this machine
                more = [await asyncio.open_connection(address.host, address.port, local_addr=(source, 0)) for _ in range(4)]
                assert await connect(address, source)
                for _, writer in more:
                    writer.close()
            for _, writer in held:
                writer.close()
                await writer.wait_closed()
            async with asyncio.timeout(3):
                while not await connect(address, "127.0.0.1"):
                    pass

    run(main)


@pytest.mark.parametrize("spoil", ["absent", "garbage", "mismatch", "encrypted"])
def test_files_that_cannot_be_used_are_said_at_start(tmp_path: Path, spoil: str) -> None:
    certificate, key = issue(tmp_path, "first")
    if spoil == "absent":
        key = tmp_path / "none.key"
    elif spoil == "garbage":
        certificate.write_text("no certificate")
    elif spoil == "mismatch":
        key = issue(tmp_path, "second")[1]
    else:
        locked = tmp_path / "locked.key"
        command = ["openssl", "ec", "-in", str(key), "-aes256", "-passout", "pass:secret", "-out", str(locked)]
        subprocess.run(command, check=True, capture_output=True)
        key = locked
    with pytest.raises(ConfigError, match="certificate"):
        Certificate(certificate, key).load()
