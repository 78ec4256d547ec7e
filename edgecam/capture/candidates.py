"""The H.264 encoders that are tried, in this order, and how each is told to make a live stream of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

# Bounds a keyframe, of each rendition, to what its ceiling carries in that time: ceiling_bps * VBV_SECONDS / 8 bytes. FFmpeg
# takes it when the encoder is opened: at a lower target keyframes shrink with the rate control, not by this bound.
VBV_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """What is to be encoded: pixels, frames per second, bit/s, seconds between unasked keyframes."""

    width: int
    height: int
    fps: float
    bitrate_bps: int
    keyframe_interval: float

    @property
    def group(self) -> int:
        """Pictures from one unasked keyframe to the next."""
        return max(1, round(self.keyframe_interval * self.fps))


@dataclass(frozen=True, slots=True)
class Candidate:
    """An encoder of FFmpeg's: the pixels it takes without converting them once more, and its private options.

    Of every one the same is asked: no B-frames, nothing held back, one slice a picture, an IDR picture with SPS and PPS in front
    where a keyframe is forced, and a keyframe that VBV_SECONDS of the bitrate carry. What an encoder cannot be told is made
    up for in H264Encoder.
    """

    pixel_format: str
    options: Callable[[EncoderSpec], dict[str, str]]
    memory: str = ""  # whose memory it takes pictures from: FFmpeg's name of the kind of device; empty for ours


def _v4l2m2m(_spec: EncoderSpec) -> dict[str, str]:
    return {}  # it is told by V4L2's controls: see H264Encoder and v4l2control.py


def _vbv(spec: EncoderSpec) -> dict[str, str]:
    return {"maxrate": str(spec.bitrate_bps), "bufsize": str(round(spec.bitrate_bps * VBV_SECONDS))}


def _nvenc(spec: EncoderSpec) -> dict[str, str]:
    return _vbv(spec) | {
        "preset": "p1", "tune": "ull", "rc": "cbr", "zerolatency": "1", "delay": "0", "bf": "0",
        "forced-idr": "1", "no-scenecut": "1", "profile": "baseline",
    }  # fmt: skip


def _qsv(spec: EncoderSpec) -> dict[str, str]:
    return _vbv(spec) | {
        "preset": "veryfast", "async_depth": "1", "low_delay_brc": "1", "bf": "0", "forced_idr": "1", "idr_interval": "0",
        "look_ahead": "0", "scenario": "livestreaming", "profile": "baseline",
    }  # fmt: skip


def _vaapi(spec: EncoderSpec) -> dict[str, str]:
    return _vbv(spec) | {"async_depth": "1", "bf": "0", "idr_interval": "0", "rc_mode": "CBR", "profile": "constrained_baseline"}


def _x264(spec: EncoderSpec) -> dict[str, str]:
    return _vbv(spec) | {
        "preset": "ultrafast",  # constrained baseline by itself; asking for the profile is an error on PyAV 14.2
        "tune": "zerolatency",
        "forced-idr": "1",
        "x264-params": f"sliced-threads=0:slices=1:repeat-headers=1:keyint={spec.group}:scenecut=0",
    }


V4L2_M2M = "h264_v4l2m2m"
SOFTWARE = "libx264"
# Hardware before software.
CANDIDATES: Mapping[str, Candidate] = MappingProxyType(
    {
        V4L2_M2M: Candidate("yuv420p", _v4l2m2m),
        "h264_nvenc": Candidate("yuv420p", _nvenc),
        "h264_qsv": Candidate("nv12", _qsv),
        "h264_vaapi": Candidate("nv12", _vaapi, memory="vaapi"),
        SOFTWARE: Candidate("yuv420p", _x264),
    }
)
