"""SDP and mediasoup's parameters, one translated into the other."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from edgecam.errors import NegotiationError
from edgecam.rtc import extensions, sdp
from edgecam.rtc.negotiation import h264_capabilities
from edgecam.signaling.mediasoup_rtp import LocalVideo, RemoteTransport, agree, capabilities_of, transport_of

OFFER = """v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic:WMS *
m=video 9 UDP/TLS/RTP/SAVPF 99 100 101 102
c=IN IP4 0.0.0.0
a=sendonly
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:3 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:6 http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time
a=mid:0
a=rtcp-mux
a=ssrc-group:FID 1111 2222
a=ssrc:1111 cname:camera
a=ssrc:2222 cname:camera
a=rtpmap:99 H264/90000
a=rtcp-fb:99 nack
a=fmtp:99 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f
a=rtpmap:100 rtx/90000
a=fmtp:100 apt=99
a=rtpmap:101 H264/90000
a=rtcp-fb:101 nack
a=rtcp-fb:101 nack pli
a=rtcp-fb:101 goog-remb
a=rtcp-fb:101 ccm fir
a=fmtp:101 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42c01f
a=rtpmap:102 rtx/90000
a=fmtp:102 apt=101
a=ice-ufrag:ufra
a=ice-pwd:password
a=fingerprint:sha-256 AA:BB
a=fingerprint:sha-384 CC:DD
a=setup:actpass
"""
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
FINGERPRINT = ":".join(["0A"] * 32)


def h264(profile: str | None, mode: int | None = 1) -> dict[str, Any]:
    said = {"packetization-mode": mode, "profile-level-id": profile, "level-asymmetry-allowed": 1}
    return {
        "kind": "video",
        "mimeType": "video/H264",
        "clockRate": 90000,
        "preferredPayloadType": 107,
        "parameters": {key: value for key, value in said.items() if value is not None},
        "rtcpFeedback": [{"type": "nack"}, {"type": "nack", "parameter": "pli"}, {"type": "transport-cc", "parameter": ""}],
    }


RTX = {"kind": "video", "mimeType": "video/rtx", "clockRate": 90000, "parameters": {"apt": 107}}
OPUS = {"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2}
EXTENSIONS = [
    {"kind": "audio", "uri": SEND_TIME, "preferredId": 4},
    {"kind": "video", "uri": MID, "preferredId": 1, "direction": "sendrecv"},
    {"kind": "video", "uri": SEND_TIME, "preferredId": 4, "direction": "sendonly"},
]


def router(*codecs: dict[str, Any]) -> dict[str, Any]:
    return {"codecs": [OPUS, *codecs], "headerExtensions": EXTENSIONS}


def transport(**changes: Any) -> dict[str, Any]:
    return {
        "id": "t1",
        "iceParameters": {"usernameFragment": "uf", "password": "pw", "iceLite": True},
        "iceCandidates": [
            {"foundation": "udp", "priority": 5, "ip": "192.0.2.7", "protocol": "udp", "port": 40000, "type": "host"},
            {"foundation": "tcp", "priority": 4, "ip": "192.0.2.7", "protocol": "tcp", "port": 40000, "type": "host", "tcpType": "passive"},
            {"foundation": "udp", "priority": 3, "address": "sfu.example", "protocol": "udp", "port": 40001, "type": "host"},
        ],
        "dtlsParameters": {
            "role": "auto",
            "fingerprints": [{"algorithm": "sha-1", "value": "00:11"}, {"algorithm": "sha-256", "value": FINGERPRINT}],
        },
        "sctpParameters": {},
        "iceServers": [{"urls": "stun:stun.example"}],
        **changes,
    }


def test_the_offer_is_read_with_the_constrained_baseline_format_and_its_retransmission() -> None:
    assert LocalVideo.of(OFFER.replace("\n", "\r\n")) == LocalVideo(
        mid="0",
        cname="camera",
        ssrc=1111,
        rtx_ssrc=2222,
        fingerprint=("sha-256", "AA:BB"),
        payload_type=101,
        rtx_payload_type=102,
        profile_level_id="42c01f",
        feedback=(("nack", ""), ("nack", "pli"), ("goog-remb", ""), ("ccm", "fir")),
        extensions=((1, MID), (3, SEND_TIME), (6, "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time")),
    )


def test_an_offer_without_retransmission_is_read_too() -> None:
    lines = [line for line in OFFER.splitlines() if " rtx/" not in line and "apt=" not in line and "2222" not in line]
    video = LocalVideo.of("\n".join(lines))
    assert (video.ssrc, video.rtx_ssrc, video.rtx_payload_type) == (1111, None, None)
    parameters = agree(video, router(h264("42e01f"), RTX)).rtp_parameters()
    assert parameters["encodings"] == [{"ssrc": 1111, "dtx": False}]


def test_an_offer_that_is_none_of_ours_is_an_error_and_no_crash() -> None:
    for broken in ("", "v=0\r\n", OFFER.replace("a=ssrc", "a=x"), OFFER.replace("a=fmtp", "a=x"), OFFER.replace("extmap:1", "extmap:x")):
        with pytest.raises(NegotiationError):
            LocalVideo.of(broken)


@pytest.mark.parametrize(
    ("profiles", "declared"),
    [
        (["4d0032", "42e01f"], "42c01f"),
        (["4D0032", "42E034"], "42c01f"),
        (["4d0032"], "4d001f"),
        (["64001f", "4d0032"], "4d001f"),
        (["640c1f"], "640c1f"),
        (["42001f", "64001f"], "42001f"),
        ([None], "42c01f"),  # mediasoup takes it for 42e01f
    ],
)
def test_the_format_is_the_best_that_the_router_has_at_our_level(profiles: list[str | None], declared: str) -> None:
    agreed = agree(LocalVideo.of(OFFER), router(*[h264(profile) for profile in profiles]))
    assert agreed.profile_level_id == declared
    assert agreed.format["packetization-mode"] == 1


@pytest.mark.parametrize(
    "codecs", [[], [h264("42e01f", 0)], [h264("42e01f", None)], [h264("zz")], [h264("f4001f")], [{"mimeType": "video/VP8"}], [{}]]
)
def test_a_router_without_such_h264_is_an_error_that_names_the_remedy(codecs: list[dict[str, Any]]) -> None:
    with pytest.raises(NegotiationError, match="packetization-mode 1") as failed:
        agree(LocalVideo.of(OFFER), router(*codecs))
    assert failed.value.code == "sdp-no-h264"


def test_feedback_and_extensions_are_what_both_sides_have() -> None:
    parameters: dict[str, Any] = agree(LocalVideo.of(OFFER), router(h264("42e01f"), RTX)).rtp_parameters()
    main, rtx = parameters["codecs"]
    assert main["rtcpFeedback"] == [{"type": "nack", "parameter": ""}, {"type": "nack", "parameter": "pli"}]
    assert (main["payloadType"], rtx["payloadType"], rtx["parameters"]) == (101, 102, {"apt": 101})
    # What the router only sends is not for us to send to it, and an audio extension is no video extension.
    assert parameters["headerExtensions"] == [{"uri": MID, "id": 1, "encrypt": False, "parameters": {}}]
    assert parameters["encodings"] == [{"ssrc": 1111, "dtx": False, "rtx": {"ssrc": 2222}}]
    assert (parameters["mid"], parameters["rtcp"]) == ("0", {"cname": "camera", "reducedSize": True})


def test_retransmission_needs_a_router_that_has_it() -> None:
    agreed = agree(LocalVideo.of(OFFER), router(h264("42e01f")))
    assert not agreed.rtx
    answer = RemoteTransport.of(transport()).answer(agreed, {})
    assert "m=video 7 UDP/TLS/RTP/SAVPF 101\r\n" in answer
    assert "rtx" not in answer


def test_the_answer_describes_the_transport() -> None:
    remote = RemoteTransport.of(transport())
    answer = remote.answer(agree(LocalVideo.of(OFFER), router(h264("4d0032"), RTX)), {"sfu.example": "198.51.100.7"})
    sdp.require_usable(answer)
    lines = answer.split("\r\n")
    for line in (
        "a=ice-lite",
        "a=mid:0",
        "a=recvonly",
        "a=setup:passive",
        "a=ice-ufrag:uf",
        f"a=fingerprint:sha-256 {FINGERPRINT}",
        f"a=extmap:1 {MID}",
        "a=rtcp-fb:101 nack pli",
        "a=fmtp:101 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42c01f",
        "a=fmtp:102 apt=101",
        "a=candidate:udp 1 udp 5 192.0.2.7 40000 typ host",
        "a=candidate:udp 1 udp 3 198.51.100.7 40001 typ host",
        "a=end-of-candidates",
    ):
        assert line in lines
    assert not [line for line in lines if "tcp" in line.lower() and "candidate" in line]
    assert "sha-1 " not in answer


def test_the_dtls_role_is_the_one_that_the_server_leaves() -> None:
    video = LocalVideo.of(OFFER)
    assert RemoteTransport.of(transport()).dtls_parameters(video) == {
        "role": "client",
        "fingerprints": [{"algorithm": "sha-256", "value": "AA:BB"}],
    }
    dtls = {**transport()["dtlsParameters"], "role": "client"}
    remote = RemoteTransport.of(transport(dtlsParameters=dtls))
    assert remote.dtls_parameters(video)["role"] == "server"
    assert "a=setup:active" in remote.answer(agree(video, router(h264("42e01f"))), {})


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ""},
        {"iceParameters": None},
        {"iceParameters": {"usernameFragment": "a\r\na=candidate:1", "password": "pw"}},
        {"iceParameters": {"usernameFragment": "", "password": "pw"}},
        {"dtlsParameters": {}},
        {"dtlsParameters": {"fingerprints": [{"algorithm": "sha-1", "value": FINGERPRINT}]}},
        {"dtlsParameters": {"fingerprints": [{"algorithm": "sha-256", "value": "AA\r\na=setup:active"}]}},
        {"dtlsParameters": {"fingerprints": "sha-256"}},
    ],
)
def test_a_transport_that_cannot_be_used_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(NegotiationError):
        RemoteTransport.of(transport(**changes))


@pytest.mark.parametrize(
    "candidate",
    [
        None,
        "candidate:1",
        {"foundation": "1\r\na=x", "priority": 1, "ip": "192.0.2.1", "protocol": "udp", "port": 1},
        {"foundation": "1", "priority": 1, "ip": "192.0.2.1 1 typ host\r\na=x", "protocol": "udp", "port": 1},
        {"foundation": "1", "priority": "high", "ip": "192.0.2.1", "protocol": "udp", "port": 1},
        {"foundation": "1", "priority": 1, "ip": "192.0.2.1", "protocol": "udp", "port": 70000},
        {"foundation": "{host}", "priority": 1, "ip": "192.0.2.1", "protocol": "udp", "port": 1},
    ],
)
def test_candidates_that_are_none_are_left_out(candidate: object) -> None:
    assert RemoteTransport.of(transport(iceCandidates=[candidate])).candidates == ()


def test_acknowledgements_may_wrap_what_they_hold() -> None:
    bare = router(h264("42e01f"))
    for said in (bare, {"rtpCapabilities": bare}, {"success": True, "routerRtpCapabilities": bare}):
        assert capabilities_of(said) == bare
    for said in (transport(), {"params": transport()}, {"success": True, "transport": transport()}):
        assert transport_of(said)["id"] == "t1"
    with pytest.raises(NegotiationError):
        capabilities_of({"codecs": "none"})


def test_aiortc_takes_the_answer_to_its_own_offer() -> None:
    """Payload types, retransmission and extensions are the ones that were declared to the server."""

    async def main() -> None:
        extensions.register()
        pc = RTCPeerConnection()
        try:
            transceiver = pc.addTransceiver("video", direction="sendonly")
            transceiver.setCodecPreferences(h264_capabilities())
            await pc.setLocalDescription(await pc.createOffer())
            agreed = agree(LocalVideo.of(pc.localDescription.sdp), router(h264("4d0032"), RTX))
            answer = RemoteTransport.of(transport()).answer(replace(agreed), {"sfu.example": "192.0.2.8"})
            await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            declared: Any = agreed.rtp_parameters()
            codecs = transceiver._codecs
            assert [codec.payloadType for codec in codecs] == [codec["payloadType"] for codec in declared["codecs"]]
            assert [codec.mimeType for codec in codecs] == ["video/H264", "video/rtx"]
            assert [(e.id, e.uri) for e in transceiver._headerExtensions] == [(1, MID)]
        finally:
            await pc.close()

    asyncio.run(main())
