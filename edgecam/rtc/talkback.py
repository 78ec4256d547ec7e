"""What a viewer says, on its way to the camera's loudspeaker: RTP in, Opus out. Nothing is decoded in the daemon."""

from __future__ import annotations

from struct import Struct

from aiortc import RTCRtpSender

from edgecam.media.speaker import Speaker, Speech
from edgecam.rtc import aiortc_private

_HEADER = Struct("!BBHII")
LONGEST = 1275  # bytes of an Opus packet of one frame, RFC 6716 section 3.4


def speech_of(packet: bytes) -> Speech | None:
    """The payload of an RTP packet (RFC 3550 section 5.1), None for one that has none or is malformed."""
    if len(packet) < _HEADER.size or packet[0] >> 6 != 2:
        return None
    first, _, sequence, _, _ = _HEADER.unpack_from(packet)
    begin = _HEADER.size + 4 * (first & 0x0F)
    if first & 0x10:
        if len(packet) < begin + 4:
            return None
        begin += 4 + 4 * int.from_bytes(packet[begin + 2 : begin + 4], "big")
    end = len(packet) - (packet[-1] if first & 0x20 else 0)
    return Speech(sequence, packet[begin:end]) if 0 < end - begin <= LONGEST else None


class Talkback:
    """One viewer's way to the loudspeaker. `listen` once the remote description is known and sections are bundled."""

    def __init__(self, viewer: object, speaker: Speaker) -> None:
        self._viewer = viewer
        self._speaker = speaker
        self._closed = False

    def listen(self, sender: RTCRtpSender, payload_type: int) -> None:
        """To audio of that payload type on the transport of `sender`."""
        aiortc_private.take_rtp(sender, payload_type, self._heard)

    def close(self) -> None:
        self._closed = True
        self._speaker.left(self._viewer)

    def _heard(self, packet: bytes) -> None:
        speech = None if self._closed else speech_of(packet)
        if speech is not None:
            self._speaker.say(self._viewer, speech)
