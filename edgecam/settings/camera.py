"""[camera.NAME]: one camera, its picture and its encoder."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from edgecam.settings.controls import Controls
from edgecam.settings.privacy import GpioText, WindowText
from edgecam.settings.section import Applied, Seconds, Section


@dataclass(frozen=True, slots=True)
class Quality:
    """Width and height in pixels, frames per second, bitrate in kbit/s."""

    width: int
    height: int
    fps: float
    bitrate_kbps: int


# RFC 3986; credentials have keys of their own, so that they are secrets wherever the address is shown.
STREAM_URL = r"^((rtsps?|https?)://[^\s/@]+(/\S*)?)?$"

NETWORK_START = 12.0  # seconds
LIBCAMERA_START = 8.0  # seconds; libcamera looks at every device first, and picamera2 imports much on a small board
Share = Annotated[float, Field(ge=0, le=1)]

QUALITIES: dict[str, Quality] = {
    "low": Quality(640, 480, 15, 300),
    "medium": Quality(1280, 720, 24, 1000),
    "high": Quality(1280, 720, 30, 1500),
    "hd": Quality(1920, 1080, 30, 3000),
}


class CameraSettings(Section):
    """[camera.NAME]: one camera, captured once and encoded once per rendition."""

    applied = Applied.ANEW
    applied_otherwise = MappingProxyType(
        dict.fromkeys(
            ("title", "max_viewers", "bitrate_kbps", "min_bitrate_kbps", "capture", "linger", "controls"), Applied.AT_ONCE)
        | dict.fromkeys(("playout_delay_ms",), Applied.NEWCOMERS)
        | dict.fromkeys(
            ("source", "device", "input_format", "camera", "rotation", "hflip", "vflip", "roi", "lores",
             "path", "url", "username", "password", "transport", "transcode", "quality",
             "width", "height", "fps", "renditions", "keyframe_interval",
             "overlay", "overlay_corner", "encoder", "encoder_retry", "stall_timeout", "start_timeout", "picture_check"), Applied.REOPENED
        )
    )  # fmt: skip

    title: str = Field("", max_length=80, description="name shown to people; the section's name when empty")
    enabled: bool = Field(True, description="false leaves the camera alone")
    source: Literal["v4l2", "picamera2", "rtsp", "mjpeg", "test", "file"] = Field(
        "v4l2",
        description="v4l2 device, libcamera camera by picamera2, network camera by RTSP or by MJPEG over HTTP, generated test picture, "
        "or video file",
    )
    device: str = Field(
        "/dev/video0", min_length=1, description="v4l2: device node, by-id link preferred, or the camera's name as `edgecam probe` has it"
    )
    input_format: Literal["auto", "yuyv", "nv12", "mjpeg", "h264"] = Field(
        "auto", description="v4l2: what to ask the camera for; h264 is the camera's own, passed through untouched"
    )
    camera: str = Field("0", max_length=200, description="picamera2: index, id or model of the camera, as `edgecam probe` lists them")
    rotation: Literal[0, 180] = Field(0, description="picamera2: degrees by which the picture is turned")
    hflip: bool = Field(False, description="picamera2: mirror the picture, left to right")
    vflip: bool = Field(False, description="picamera2: mirror the picture, top to bottom")
    roi: tuple[Share, ...] = Field(
        (), description="picamera2: part of the field of view to show: x, y, width, height as shares of it, e.g. [0.25, 0.25, 0.5, 0.5]"
    )  # fmt: skip
    lores: bool = Field(
        False, description="picamera2: take the smaller renditions from the ISP's second stream instead of scaling them here"
    )
    controls: Controls = Field(
        {}, description="v4l2, picamera2: the camera's controls by its driver's names, which `edgecam controls NAME` lists, "
        'e.g. { brightness = 10, auto_exposure = "Manual Mode" } or { Brightness = 0.1, AfMode = "Continuous" }',
    )  # fmt: skip
    path: str = Field("", description="file: video file, looped in real time")
    url: str = Field("", pattern=STREAM_URL, description="rtsp, mjpeg: address of the stream, without user and password")
    username: str = Field("", description="rtsp, mjpeg: user at the camera")
    password: SecretStr = Field(SecretStr(""), description="rtsp, mjpeg: its password")
    transport: Literal["auto", "tcp", "udp"] = Field("tcp", description="rtsp: how packets come; auto tries UDP first")
    transcode: Literal["auto", "always"] = Field(
        "auto", description="rtsp, v4l2: auto passes the camera's H.264 on untouched where browsers can play it; always decodes and encodes"
    )
    quality: Literal["low", "medium", "high", "hd"] = Field(
        "high",
        description="low 640x480@15 300 kbps, medium 1280x720@24 1 Mbps, high 1280x720@30 1.5 Mbps, hd 1920x1080@30 3 Mbps",
    )
    width: int | None = Field(None, ge=64, le=4096, multiple_of=2, description="pixels; overrides quality")
    height: int | None = Field(None, ge=64, le=4096, multiple_of=2, description="pixels; overrides quality")
    fps: float | None = Field(None, gt=0, le=120, description="frames per second; overrides quality")
    bitrate_kbps: int | None = Field(None, ge=50, le=50_000, description="ceiling of the bitrate; overrides quality")
    min_bitrate_kbps: int | None = Field(
        None, ge=50, le=50_000, description="floor that slow viewers cannot push any rendition below; a share of the ceiling when unset"
    )
    renditions: int = Field(
        3, ge=1, le=3,
        description="sizes to encode at most: full, half and a quarter of width and height; smaller ones only while slow viewers need them",
    )  # fmt: skip
    keyframe_interval: float = Field(10.0, ge=0.5, le=300, description="seconds between keyframes nobody asked for")
    overlay: Literal["off", "time", "name", "both"] = Field(
        "off", description="what is burnt into the picture; not where the camera's H.264 is passed through"
    )
    overlay_corner: Literal["bottom-left", "bottom-right", "top-left", "top-right"] = Field("bottom-left", description="where")
    encoder: Literal["auto", "picamera2", "h264_v4l2m2m", "h264_nvenc", "h264_qsv", "h264_vaapi", "libx264"] = Field(
        "auto", description="auto: the first of these that really encodes a frame, hardware before software"
    )
    encoder_retry: float = Field(
        300.0, ge=1, le=86_400,
        description="auto: seconds until an encoder that was busy or failed is tried again, beside the picture; longer each time it fails",
    )  # fmt: skip
    microphone: str = Field(
        "", max_length=200, description='ALSA microphone whose sound goes with the picture, e.g. "default" or "plughw:1,0"; '
        '"test" beeps each second; none when empty'
    )  # fmt: skip
    microphone_kbps: int = Field(32, ge=8, le=128, description="bitrate of its sound (Opus)")
    speaker: str = Field(
        "", max_length=200, description="ALSA loudspeaker on which viewers may talk, one at a time; none when empty"
    )
    playout_delay_ms: int = Field(
        0, ge=-1, le=10_000, description="how long viewers hold pictures back; 0 shows each at once, more is smoother, -1 leaves it to them"
    )
    max_viewers: int = Field(16, ge=1, le=1000, description="viewers of this camera; one more is refused with a reason")
    stall_timeout: float = Field(2.0, ge=0.5, le=60, description="seconds without a frame before the capture process is replaced")
    start_timeout: float = Field(3.0, ge=1, le=120, description="seconds each step of opening may take; network cameras get 12 at least")
    capture: Literal["always", "on-demand"] = Field(
        "always", description="on-demand: the device is closed while nobody watches, and nothing is captured"
    )
    linger: Seconds = Field(10.0, ge=0, le=3600, description="on-demand: seconds that the camera stays open after the last viewer")
    privacy_file: str = Field("", description="the camera is private while this file exists, and while its directory cannot be read")
    privacy_schedule: tuple[WindowText, ...] = Field(
        (), description='times in which the camera is private, local time, e.g. ["mon-fri 22:00-06:30", "sat,sun 00:00-24:00"]'
    )
    privacy_clock: Literal["synchronised", "any"] = Field(
        "synchronised", description="with a schedule, private until the clock has been synchronised once; any: the clock is right anyway"
    )
    privacy_gpio: GpioText = Field(
        "", description='GPIO line that makes the camera private while it is high, e.g. "gpiochip0:17"; "gpiochip0:17:low" while low'
    )
    picture_check: bool = Field(True, description="notice a frozen, black or empty picture; false where the source shows still pictures")

    @model_validator(mode="after")
    def _consistent(self) -> CameraSettings:
        if self.source == "file" and not self.path:
            raise ValueError('source = "file" needs path = "/path/to/video"')
        for source, schemes in (("rtsp", ("rtsp://", "rtsps://")), ("mjpeg", ("http://", "https://"))):
            if self.source == source and not self.url.startswith(schemes):
                raise ValueError(f'source = "{source}" needs url = "{schemes[0]}ADDRESS/PATH"')
        if self.roi and (len(self.roi) != 4 or not min(self.roi[2:]) > 0 or self.roi[0] + self.roi[2] > 1 or self.roi[1] + self.roi[3] > 1):
            raise ValueError("roi must be x, y, width and height within 0 and 1, for example [0.25, 0.25, 0.5, 0.5]")
        if self.encoder == "picamera2" != self.source:
            raise ValueError('encoder = "picamera2" encodes pictures of source = "picamera2" only')
        if self.encoder == "picamera2" and self.overlay != "off":
            raise ValueError('encoder = "picamera2" reads the camera\'s own buffers, where no overlay can be drawn; set encoder = "auto"')
        if self.privacy_file and not self.privacy_file.startswith("/"):
            raise ValueError(f'privacy_file must be a whole path, for example "/run/edgecam/private", not {self.privacy_file!r}')
        if (self.configured_floor_bps or 0) > self.ceiling_bps:
            raise ValueError(f"min_bitrate_kbps is above the ceiling of {self.ceiling_bps // 1000} kbps; lower it or raise bitrate_kbps")
        return self

    @property
    def start_limit(self) -> float:
        """Seconds that a step of opening may take: a stream from elsewhere has to be asked for, and looked at."""
        least = {"rtsp": NETWORK_START, "mjpeg": NETWORK_START, "picamera2": LIBCAMERA_START}
        return max(self.start_timeout, least.get(self.source, 0.0))

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
    def configured_floor_bps(self) -> int | None:
        return self.min_bitrate_kbps * 1000 if self.min_bitrate_kbps else None

    @property
    def floor_bps(self) -> int:
        """The smallest rendition's, if the picture is large enough to have them all; see media/ladder.py."""
        share = {1: 0.25, 2: 0.2, 3: 0.08}[self.renditions]
        return self.configured_floor_bps or max(50_000, round(self.ceiling_bps * share))
