"""`edgecam demo`: signaling server, daemon and viewer page in one process, on a test picture unless told otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from edgecam import logs
from edgecam.app.daemon import Opened, run_daemon
from edgecam.commands.daemon import until_signalled
from edgecam.config import load
from edgecam.errors import ConfigError, FatalError
from edgecam.http.tokens import TokenInfo, listener_token, state_dir_of
from edgecam.server.app import serve
from edgecam.settings import Settings
from edgecam.supervisor import leaf_errors

CAMERA = "demo"


def demo(
    source: str, quality: str, host: str, port: int, web_port: int, overrides: Mapping[str, object]
) -> int:
    """Run until Ctrl-C."""
    address = f"[{host}]" if ":" in host else host
    near = "127.0.0.1" if host in {"0.0.0.0", "::"} else address
    chosen = {
        "log.level": "warning",
        "web.listen": f"{address}:{web_port}",
        "server.listen": f"{address}:{port}",
        f"camera.{CAMERA}.title": "Demo camera",
        f"camera.{CAMERA}.quality": quality,
        **_source(source),
        f"signaling.{CAMERA}.url": f"ws://{near}:{port}/ws",
    }
    settings = load(None, {**chosen, **overrides}, environ={}, default_file=None).settings
    logs.configure(settings.log)
    try:
        return until_signalled(_run(settings))
    except* FatalError as group:
        raise _for_demo(group) from None


def _for_demo(group: ExceptionGroup[FatalError]) -> FatalError:
    """The first error, with the option of this command to change instead of a setting."""
    error = next(leaf for leaf in leaf_errors(group) if isinstance(leaf, FatalError))
    if error.code == "port-busy":
        return FatalError(error.message, remedy="choose free ones with --port and --web-port", code=error.code)
    return error


def _source(source: str) -> dict[str, object]:
    key = f"camera.{CAMERA}"
    if source == "test":
        return {f"{key}.source": "test"}
    path = Path(source)
    if path.is_char_device() or source.startswith("/dev/"):
        return {f"{key}.source": "v4l2", f"{key}.device": source}
    if path.is_file():
        return {f"{key}.source": "file", f"{key}.path": str(path.resolve())}
    raise ConfigError(
        f"--source {source}: there is no such file or device", remedy="name a video file, a device such as /dev/video0, or test"
    )


async def _run(settings: Settings) -> None:
    token = listener_token(settings.server, state_dir_of(settings), "server").token
    if token:
        # The embedded camera registers with the embedded server's own secret.
        section = settings.signaling[CAMERA].model_copy(update={"token": type(settings.server.token)(token)})
        settings = settings.model_copy(update={"signaling": {CAMERA: section}})
    async with asyncio.TaskGroup() as group:
        listening = asyncio.Event()

        def server_open(links: Sequence[str], _token: TokenInfo) -> None:
            print("\nedgecam demo is running. Open in a browser:\n", flush=True)
            for link in links:
                print(f"    {_viewer_page(link)}")
            listening.set()

        def daemon_open(opened: Opened) -> None:
            for link in opened.links:
                print(f"    {link}   (status)")
            print("\nCtrl-C ends it.", flush=True)

        group.create_task(serve(settings, announce=server_open), name="signaling server")
        await listening.wait()
        group.create_task(run_daemon(settings, on_open=daemon_open), name="daemon")


def _viewer_page(link: str) -> str:
    parts = urlsplit(link)
    return urlunsplit(parts._replace(path=f"/view/{CAMERA}"))
