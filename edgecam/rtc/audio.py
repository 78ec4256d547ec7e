"""A peer connection's audio section on our side: the camera's sound out, a viewer's speech in, each where there is one."""

from __future__ import annotations

from aiortc import RTCPeerConnection, RTCRtpSender

from edgecam.media.pipeline import Pipeline
from edgecam.rtc import aiortc_private, sdp
from edgecam.rtc.negotiation import opus_capabilities
from edgecam.rtc.sending.sound import SoundFanOut, SoundOutlet
from edgecam.rtc.talkback import Talkback


class AudioSection:
    """To be made before the offer is described to `pc`, or made. `direction` is ours: sendonly, recvonly or sendrecv."""

    def __init__(self, pc: RTCPeerConnection, direction: str, pipeline: Pipeline, fanout: SoundFanOut, viewer: str) -> None:
        transceiver = pc.addTransceiver("audio", direction=direction)
        transceiver.setCodecPreferences(opus_capabilities())
        self.sender: RTCRtpSender = transceiver.sender
        self._outlet: SoundOutlet | None = None
        self._talkback: Talkback | None = None
        if pipeline.microphone is not None and direction != "recvonly":
            self._outlet = SoundOutlet(self.sender, pipeline.microphone, fanout, viewer)
        if pipeline.speaker is not None and direction != "sendonly":
            aiortc_private.receive_elsewhere(transceiver)
            self._talkback = Talkback(viewer, pipeline.speaker)

    @property
    def sends(self) -> bool:
        return self._outlet is not None

    def described(self, local_sdp: str, sender: RTCRtpSender) -> None:
        """Both descriptions are there; `sender` is one of the transport that all sections share."""
        payload_type = sdp.received_opus(local_sdp)
        if self._talkback is not None and payload_type is not None:
            self._talkback.listen(sender, payload_type)

    def close(self) -> None:
        """Say BYE, and leave the floor. Idempotent."""
        if self._outlet is not None:
            self._outlet.close()
        if self._talkback is not None:
            self._talkback.close()


def direction_for(offer_sdp: str, pipeline: Pipeline) -> str | None:
    """What our audio section is to be when a viewer offers that; None for no sound either way."""
    viewer_receives, viewer_sends = sdp.audio_wishes(offer_sdp)
    sends = viewer_receives and pipeline.microphone is not None
    receives = viewer_sends and pipeline.speaker is not None
    return {(True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly", (False, False): None}[sends, receives]
