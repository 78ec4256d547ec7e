"""A viewer's counters in the form in which aiortc's senders give theirs."""

from __future__ import annotations

from typing import Any

from aiortc import clock
from aiortc.stats import RTCOutboundRtpStreamStats, RTCRemoteInboundRtpStreamStats, RTCStatsReport

from edgecam.rtc.sending.repair import Repair
from edgecam.rtc.sending.sender import ViewerSender


def statistics(sender: ViewerSender, repair: Repair) -> RTCStatsReport:
    """outbound-rtp, and remote-inbound-rtp once the viewer has reported (W3C webrtc-stats)."""
    common: dict[str, Any] = {"timestamp": clock.current_datetime(), "ssrc": sender.stream.ssrc, "kind": "video", "transportId": ""}
    # aiortc itself gives None as long as it has not been measured.
    round_trip: Any = repair.round_trip
    report = RTCStatsReport()
    report.add(
        RTCOutboundRtpStreamStats(
            type="outbound-rtp",
            id=f"outbound-rtp_{id(sender)}",
            packetsSent=sender.packets + repair.packets,
            bytesSent=sender.octets + repair.octets,
            trackId="",
            **common,
        )
    )
    heard = repair.reception
    if heard is not None:
        report.add(
            RTCRemoteInboundRtpStreamStats(
                type="remote-inbound-rtp",
                id=f"remote-inbound-rtp_{id(sender)}",
                packetsReceived=sender.packets - heard.lost,
                packetsLost=heard.lost,
                jitter=heard.jitter,
                roundTripTime=round_trip,
                fractionLost=heard.fraction_lost,
                **common,
            )
        )
    return report
