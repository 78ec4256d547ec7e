"""Microphone and loudspeaker, each in a process of its own as cameras are: no sound driver can hang or crash daemon or picture."""

from __future__ import annotations

from collections.abc import Callable

from edgecam.capture.soundlink import SoundDevice
from edgecam.capture.spawn import SOUND_MODULE, SPEAKER_MODULE
from edgecam.capture.wire import HEADER, SPEECH, Kind
from edgecam.media.speaker import Speech
from edgecam.media.types import SoundPacket


class MicrophoneProcess:
    """SoundSource of an ALSA device, or of the test beep."""

    def __init__(self, camera: str, device: str, bitrate_bps: int) -> None:
        self._config = {"device": device, "bitrate_bps": bitrate_bps}
        self._device = SoundDevice(camera, "microphone", SOUND_MODULE)

    async def run(self, opened: Callable[[str], None], heard: Callable[[SoundPacket], None]) -> None:
        """Open, deliver until broken, release. Raises CaptureError."""
        await self._device.attend(self._config, opened, heard)


class SpeakerProcess:
    """SoundSink of an ALSA device."""

    def __init__(self, camera: str, device: str) -> None:
        self._config = {"device": device}
        self._device = SoundDevice(camera, "speaker", SPEAKER_MODULE)

    async def run(self, opened: Callable[[str], None]) -> None:
        """Open, play until broken, release. Raises CaptureError."""
        await self._device.attend(self._config, opened)

    def play(self, speech: Speech) -> bool:
        """Pass it on; False while the device is not open."""
        link = self._device.link
        if link is None or not link.is_open:
            return False
        payload = SPEECH.pack(speech.sequence) + speech.data
        link.send(HEADER.pack(Kind.SAY, len(payload)) + payload)
        return True
