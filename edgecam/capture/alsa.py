"""ALSA devices by name: whether there is ALSA at all, and why a device does not open, which FFmpeg keeps to itself."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import Literal

import av

from edgecam.errors import CaptureError

ALSA_CONFIG = Path("/usr/share/alsa/alsa.conf")
NONBLOCK = 1  # SND_PCM_NONBLOCK
Kind = Literal["microphone", "speaker"]
_STREAMS: dict[Kind, int] = {"speaker": 0, "microphone": 1}  # snd_pcm_stream_t
_LISTS: dict[Kind, str] = {"speaker": "aplay -L", "microphone": "arecord -L"}
_CALLED: dict[Kind, str] = {"speaker": "loudspeaker", "microphone": "microphone"}


def require_alsa(kind: Kind) -> None:
    """Raise CaptureError where FFmpeg knows no ALSA. PyAV's wheels bring an ALSA library that looks for its configuration where it
    was built: it is told where the system has it."""
    if "alsa" not in av.formats_available:
        remedy = "use Debian's python3-av, or PyAV 15 and later"
        raise CaptureError("this FFmpeg was built without ALSA", remedy=remedy, code=f"{kind}-unusable")
    if ALSA_CONFIG.exists():
        os.environ.setdefault("ALSA_CONFIG_PATH", str(ALSA_CONFIG))
    if (library := _library()) is not None:
        library.snd_lib_error_set_handler(_SILENCE)


def broken(kind: Kind, device: str, doing: str, error: OSError | av.FFmpegError) -> CaptureError:
    """What FFmpeg's error means, for people. The device must be closed: it is opened once more for a moment."""
    number = _why(kind, device) if error.errno == errno.EIO else error.errno
    what, why = f"the {_CALLED[kind]} {device}", os.strerror(number or errno.EIO)
    if number in {errno.ENOENT, errno.ENODEV, errno.ENXIO}:
        remedy = f"plug it in, or set {kind} to a name that `{_LISTS[kind]}` lists"
        return CaptureError(f"{what} is not there ({why})", remedy=remedy, code=f"{kind}-absent")
    if number in {errno.EBUSY, errno.EAGAIN}:
        remedy = "end the program that uses it, or use a device that is shared: default, dsnoop:, dmix:"
        return CaptureError(f"{what} is in use", remedy=remedy, code=f"{kind}-busy")
    if number in {errno.EACCES, errno.EPERM}:
        return CaptureError(
            f"{what} may not be used ({why})", remedy="add the user that runs edgecam to the group audio", code=f"{kind}-denied"
        )
    remedy = f"try a name that begins with plughw: instead of hw:; `{_LISTS[kind]}` lists them"
    return CaptureError(f"cannot {doing} {what} ({why})", remedy=remedy, code=f"{kind}-io")


# It prints ten lines about each device that is not there; we say why in one.
_SILENCE = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)(lambda *_: None)


def _library() -> ctypes.CDLL | None:
    """The one that FFmpeg uses, where that is a file of its own."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "/libasound" in line:
            return ctypes.CDLL(line.split(maxsplit=5)[5])
    return None


def _why(kind: Kind, device: str) -> int:
    """The errno of ALSA itself, 0 when the device opens now, or when that cannot be asked. FFmpeg says EIO whatever it was."""
    if (library := _library()) is None:
        return 0
    handle = ctypes.c_void_p()
    result = library.snd_pcm_open(ctypes.byref(handle), device.encode(), _STREAMS[kind], NONBLOCK)
    if result == 0:
        library.snd_pcm_close(handle)
    return -int(result)
