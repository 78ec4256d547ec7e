"""What was negotiated about one viewer's RTP stream."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgecam.rtc.sending.template import StreamFormat


@dataclass(frozen=True, slots=True)
class Stream:
    """What identifies one viewer's RTP stream. `rtx_payload_type` is None when retransmission was not negotiated."""

    format: StreamFormat
    ssrc: int
    rtx_ssrc: int
    rtx_payload_type: int | None
    cname: str

    @property
    def repeatable(self) -> StreamFormat:
        """Without RTX a lost packet is sent again bit for bit, so that nothing in it may depend on when it was sent."""
        if self.rtx_payload_type is not None:
            return self.format
        return replace(self.format, extensions=replace(self.format.extensions, abs_send_time=0))
