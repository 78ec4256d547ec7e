"""The settings models: what `edgecam.toml` may say. Frozen; unknown keys are errors; secrets are SecretStr.

Reading files, environment and credentials is `config.py`'s business; each component gets only its own section.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator, model_validator

CAMERA_NAME = r"^[a-z0-9][a-z0-9_-]{0,31}$"
CameraName = Annotated[str, StringConstraints(pattern=CAMERA_NAME)]
_ICE_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_ICE_HOST = rf"[^?:\s\[\]]{{1,255}}(:{_ICE_PORT})?"
# What aiortc can read of RFC 7064 and RFC 7065, which is less than they allow: no IPv6 literals, for example.
ICE_URL = rf"^(stuns?:{_ICE_HOST}|turns?:{_ICE_HOST}(\?transport=(udp|tcp))?)$"
IceUrl = Annotated[str, StringConstraints(pattern=ICE_URL)]


class Section(BaseModel):
    """A table of the file: frozen, nothing unknown allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class Quality:
    """Width and height in pixels, frames per second, bitrate in kbit/s."""

    width: int
    height: int
    fps: float
    bitrate_kbps: int


QUALITIES: dict[str, Quality] = {
    "low": Quality(640, 480, 15, 300),
    "medium": Quality(1280, 720, 24, 1000),
    "high": Quality(1280, 720, 30, 1500),
    "hd": Quality(1920, 1080, 30, 3000),
}


@dataclass(frozen=True, slots=True)
class Listen:
    """A TCP address to listen on."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return self.host in {"127.0.0.1", "::1", "localhost"} or self.host.startswith("127.")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> Listen:
    """`host:port`, `[v6]:port` or `:port` (all addresses). Raises ValueError with what would be right."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]*)):(\d{1,5})", text)
    if not match or int(match[3]) > 65535:
        raise ValueError(f"{text!r} is not an address to listen on; write host:port, for example 127.0.0.1:8088")
    return Listen(match[1] or match[2] or "0.0.0.0", int(match[3]))


class LogSettings(Section):
    """[log]"""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe level that is logged")
    format: Literal["auto", "console", "json", "journald"] = Field(
        "auto", description="auto: console on a terminal, journald fields under systemd, JSON lines otherwise"
    )


class ListenerSettings(Section):
    """What [web] and [server] share."""

    listen: str
    token: SecretStr = Field(
        SecretStr(""),
        description="secret that visitors must present; a listener that is not loopback gets one generated when empty",
    )
    cors_origins: tuple[str, ...] = Field(
        (), description="origins of other web sites that may use this API, e.g. https://home.example"
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="further host names that this listener answers to, e.g. a reverse proxy's"
    )

    @field_validator("listen")
    @classmethod
    def _listen_is_an_address(cls, value: str) -> str:
        parse_listen(value)
        return value

    @property
    def address(self) -> Listen:
        return parse_listen(self.listen)


class WebSettings(ListenerSettings):
    """[web]: the daemon's own HTTP: status, health, metrics, snapshots, viewer page, WHEP."""

    listen: str = Field("127.0.0.1:8088", description="host:port of the daemon's HTTP; :8088 for every address")


class IceServer(Section):
    """[[ice.servers]]: one STUN or TURN server."""

    urls: tuple[IceUrl, ...] = Field(description="e.g. stun:stun.example:3478 or turn:turn.example:3478?transport=udp")
    username: str = Field("", description="TURN user name")
    credential: SecretStr = Field(SecretStr(""), description="TURN password")

    @field_validator("urls", mode="before")
    @classmethod
    def _one_url_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _turn_needs_credentials(self) -> IceServer:
        if any(url.startswith("turn") for url in self.urls) and not (self.username and self.credential.get_secret_value()):
            raise ValueError("a turn: server needs username and credential")
        return self


class IceSettings(Section):
    """[ice]: how the camera finds a way to its viewers."""

    policy: Literal["all", "relay"] = Field("all", description="relay: only ever send through TURN")
    servers: tuple[IceServer, ...] = Field((), description="STUN and TURN servers; none unless you name some")
    use_signaling_servers: bool = Field(True, description="also use the servers that the signaling server hands out")


class ViewerSettings(Section):
    """[viewers]"""

    max: int = Field(50, ge=0, le=10_000, description="viewers of the whole daemon; one more is refused with a reason")
    connect_timeout: float = Field(15.0, ge=2, le=120, description="seconds a new viewer has to get connected")


class CameraSettings(Section):
    """[camera.NAME]: one camera, captured once and encoded once."""

    title: str = Field("", max_length=80, description="name shown to people; the section's name when empty")
    enabled: bool = Field(True, description="false leaves the camera alone")
    source: Literal["v4l2", "test", "file"] = Field("v4l2", description="v4l2 device, generated test picture, or video file")
    device: str = Field("/dev/video0", description="v4l2: device node, by-id link preferred")
    input_format: Literal["auto", "yuyv", "mjpeg"] = Field("auto", description="v4l2: what to ask the camera for")
    path: str = Field("", description="file: video file, looped in real time")
    quality: Literal["low", "medium", "high", "hd"] = Field(
        "high",
        description="low 640x480@15 300 kbps, medium 1280x720@24 1 Mbps, high 1280x720@30 1.5 Mbps, hd 1920x1080@30 3 Mbps",
    )
    width: int | None = Field(None, ge=64, le=4096, multiple_of=2, description="pixels; overrides quality")
    height: int | None = Field(None, ge=64, le=4096, multiple_of=2, description="pixels; overrides quality")
    fps: float | None = Field(None, gt=0, le=120, description="frames per second; overrides quality")
    bitrate_kbps: int | None = Field(None, ge=50, le=50_000, description="ceiling of the bitrate; overrides quality")
    min_bitrate_kbps: int | None = Field(
        None, ge=50, le=50_000, description="floor that slow viewers cannot push the bitrate below; a quarter of the ceiling when unset"
    )
    keyframe_interval: float = Field(10.0, ge=0.5, le=300, description="seconds between keyframes nobody asked for")
    encoder: Literal["auto", "h264_v4l2m2m", "libx264"] = Field(
        "auto", description="auto: the first that really encodes a frame, hardware before software"
    )
    max_viewers: int = Field(16, ge=1, le=1000, description="viewers of this camera; one more is refused with a reason")
    stall_timeout: float = Field(2.0, ge=0.5, le=60, description="seconds without a frame before the capture process is replaced")
    start_timeout: float = Field(3.0, ge=1, le=120, description="seconds each step of opening the camera may take")

    @model_validator(mode="after")
    def _consistent(self) -> CameraSettings:
        if self.source == "file" and not self.path:
            raise ValueError('source = "file" needs path = "/path/to/video"')
        if self.floor_bps > self.ceiling_bps:
            raise ValueError(f"min_bitrate_kbps is above the ceiling of {self.ceiling_bps // 1000} kbps; lower it or raise bitrate_kbps")
        return self

    @property
    def effective(self) -> Quality:
        """The preset with the numbers that override it."""
        preset = QUALITIES[self.quality]
        return Quality(
            self.width or preset.width,
            self.height or preset.height,
            self.fps or preset.fps,
            self.bitrate_kbps or preset.bitrate_kbps,
        )

    @property
    def ceiling_bps(self) -> int:
        return self.effective.bitrate_kbps * 1000

    @property
    def floor_bps(self) -> int:
        return self.min_bitrate_kbps * 1000 if self.min_bitrate_kbps else max(50_000, self.ceiling_bps // 4)


class WebsocketSignaling(Section):
    """[signaling.NAME] type = "websocket": the bundled server, or any server that speaks its messages."""

    type: Literal["websocket"] = Field("websocket", description="the dialect")
    url: str = Field("ws://127.0.0.1:8080/ws", pattern=r"^wss?://\S+$", description="the server's WebSocket address")
    cameras: tuple[CameraName, ...] = Field((), description="cameras to offer there; all when empty")
    token: SecretStr = Field(SecretStr(""), description="secret that the server asks for")
    heartbeat: float = Field(10.0, ge=1, le=120, description="seconds between pings; a silent server is left after half of it")


class ServerSettings(ListenerSettings):
    """[server]: the bundled signaling server (`edgecam server`)."""

    listen: str = Field("127.0.0.1:8080", description="host:port of the signaling server and its pages")
    allow_anonymous: bool = Field(
        False, description="let clients in without the token (older clients that know of none)"
    )
    ice_servers: tuple[IceServer, ...] = Field((), description="handed to cameras and viewers when they register")
    max_cameras: int = Field(1000, ge=1, description="cameras registered at once")
    max_viewers: int = Field(1000, ge=1, description="viewers registered at once")


class Settings(Section):
    """The whole file."""

    state_dir: Path | None = Field(
        None, description="where generated tokens are kept; systemd's StateDirectory or ~/.local/state/edgecam when unset"
    )
    log: LogSettings = LogSettings()
    web: WebSettings = WebSettings()
    ice: IceSettings = IceSettings()
    viewers: ViewerSettings = ViewerSettings()
    camera: dict[CameraName, CameraSettings] = {}
    signaling: dict[CameraName, WebsocketSignaling] = {}
    server: ServerSettings = ServerSettings()

    @model_validator(mode="after")
    def _signaling_names_real_cameras(self) -> Settings:
        for name, section in self.signaling.items():
            for camera in section.cameras:
                if camera not in self.camera:
                    known = ", ".join(self.camera) or "none"
                    raise ValueError(f"signaling.{name}.cameras names {camera!r}, but the cameras are: {known}")
        return self
