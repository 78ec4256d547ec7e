"""What is read from and written into SDP."""

from __future__ import annotations

import time

import pytest

from edgecam.errors import NegotiationError
from edgecam.peers import Candidate
from edgecam.rtc import candidates, sdp
from edgecam.rtc.ice.mdns import is_mdns

H264 = (
    "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 102\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:102 H264/90000\r\n"
    "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "sdp-malformed"),
        ("hello", "sdp-malformed"),
        ("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", "sdp-no-video"),
        ("v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n", "sdp-no-h264"),
        (H264.replace("packetization-mode=1", "packetization-mode=0"), "sdp-no-h264"),
    ],
)
def test_an_offer_that_cannot_be_served_is_refused_with_its_own_code(text: str, code: str) -> None:
    with pytest.raises(NegotiationError) as refused:
        sdp.require_usable(text)
    assert refused.value.code == code
    assert refused.value.remedy


TRANSPORT = ("a=ice-ufrag:abcd\r\n", "a=ice-pwd:abcdefghijklmnopqrstuvwx\r\n", "a=fingerprint:sha-256 AB\r\n", "a=setup:actpass\r\n")


def test_an_offer_with_its_transport_in_the_section_or_for_the_whole_session_is_accepted() -> None:
    sdp.require_usable(H264 + "".join(TRANSPORT))
    sdp.require_usable(H264.replace("v=0\r\n", "v=0\r\n" + "".join(TRANSPORT)))


@pytest.mark.parametrize("missing", TRANSPORT)
def test_a_description_that_nobody_could_connect_to_is_refused_before_it_is_answered(missing: str) -> None:
    with pytest.raises(NegotiationError) as refused:
        sdp.require_usable(H264 + "".join(TRANSPORT).replace(missing, ""))
    assert refused.value.code == "sdp-malformed"
    assert missing.partition(":")[0] in refused.value.message


@pytest.mark.parametrize(
    "swollen",
    [
        H264 + "a=rtpmap:102 H264/90000\r\n" * 5000,
        H264 + "m=video 9 UDP/TLS/RTP/SAVPF 102\r\n" * 7000,
        H264 + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" * 50,
    ],
)
def test_a_description_made_to_keep_the_daemon_busy_is_refused_at_once(swollen: str) -> None:
    started = time.process_time()
    with pytest.raises(NegotiationError, match="more than 8 media sections or 1000 lines"):
        sdp.require_usable(swollen)
    assert time.process_time() - started < 0.5, "it took seconds when the work was quadratic"


def test_the_largest_description_allowed_is_judged_quickly() -> None:
    lines = "".join(f"a=rtpmap:{n} H264/90000\r\n" for n in range(900))
    started = time.process_time()
    with pytest.raises(NegotiationError):
        sdp.require_usable(H264.replace("packetization-mode=1", "packetization-mode=0") + lines)
    assert time.process_time() - started < 0.5


def test_candidates_are_taken_out_of_a_description_with_their_section() -> None:
    host = "candidate:1 1 udp 1 192.168.1.7 50000 typ host"
    text = H264 + f"a=mid:v\r\na={host}\r\na=end-of-candidates\r\n"
    bare, found = sdp.split_candidates(text)
    assert found == [Candidate(f"a={host}", "v", 0), None]
    assert bare == H264 + "a=mid:v\r\n"


def test_the_profile_level_id_becomes_true_of_the_sps() -> None:
    assert "profile-level-id=42c028" in sdp.with_profile_level_id(H264, "42c028")


def test_a_negotiated_baseline_keeps_its_profile_and_gets_the_true_level() -> None:
    baseline = H264.replace("42e01f", "42001f")
    assert "profile-level-id=420028" in sdp.with_profile_level_id(baseline, "42c028")


def test_our_description_must_really_send_h264() -> None:
    sending = H264.replace(" 96 102", " 102").replace("a=rtpmap:96 VP8/90000\r\n", "") + "a=sendonly\r\n"
    sdp.require_sending(sending)
    for broken in (sending.replace("sendonly", "inactive"), sending.replace("video 9", "video 0"), H264 + "a=sendonly\r\n"):
        with pytest.raises(NegotiationError):
            sdp.require_sending(broken)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "candidate:1 1 tcp 1 10.0.0.1 9 typ host tcptype active",
        "candidate:1 1 udp x 10.0.0.1 9 typ host",
        "candidate:1 1 udp 1 10.0.0.1 99999 typ host",
        "candidate:1 1 udp 1 10.0.0.1 0 typ host",
        "candidate:" + "1" * 2000,
        "candidate:1 1 udp 1 127.0.0.1 9 typ host",
        "candidate:1 1 udp 1 ::1 9 typ host",
        "candidate:1 1 udp 1 224.0.0.251 5353 typ host",
        "candidate:1 1 udp 1 0.0.0.0 9 typ host",
        "candidate:1 1 udp 1 victim.example 53 typ host",
    ],
)
def test_candidates_that_cannot_be_used_are_ignored(text: str) -> None:
    assert candidates.parse(Candidate(text)) is None


@pytest.mark.parametrize("prefix", ["", "candidate:", "a=candidate:"])
def test_a_candidate_is_understood_in_every_form(prefix: str) -> None:
    parsed = candidates.parse(Candidate(prefix + "1 1 UDP 2122260223 192.168.1.7 50000 typ host generation 0", "0", 0))
    assert parsed is not None
    assert (parsed.address, parsed.type, parsed.priority) == (("192.168.1.7", 50000), "host", 2122260223)


def test_mdns_candidates_are_known_as_such() -> None:
    parsed = candidates.parse(Candidate("1 1 udp 1 1f4712db-ea17-4bcf-a596-105139dfd8bf.local 50000 typ host"))
    assert parsed is not None
    assert is_mdns(parsed.host)


def test_our_description_gets_the_candidates_that_are_there_and_says_whether_more_may_come() -> None:
    text = H264 + "a=mid:v\r\na=candidate:0 1 udp 1 0.0.0.0 9 typ host\r\na=end-of-candidates\r\n"
    host = "candidate:1 1 udp 1 192.168.1.7 50000 typ host"
    trickling = sdp.with_candidates(text, {"v": [host]}, complete=False)
    assert trickling.endswith(f"a=mid:v\r\na={host}\r\n")
    assert "a=ice-options:trickle\r\nm=" in trickling
    complete = sdp.with_candidates(text, {"v": [host]}, complete=True)
    assert complete.endswith(f"a={host}\r\na=end-of-candidates\r\n")
    assert "trickle" not in complete


def test_bundled_sections_have_the_ice_credentials_of_the_first() -> None:
    text = (
        "v=0\r\na=group:BUNDLE a v\r\n"
        "m=video 9 x\r\na=mid:v\r\na=ice-ufrag:vv\r\na=ice-pwd:v1\r\n"
        "m=audio 9 x\r\na=mid:a\r\na=ice-ufrag:aa\r\na=ice-pwd:a1\r\n"
        "m=audio 9 x\r\na=mid:o\r\na=ice-ufrag:oo\r\na=ice-pwd:o1\r\n"
    )
    assert sdp.ice_credentials(text) == {"v": ("aa", "a1"), "a": ("aa", "a1"), "o": ("oo", "o1")}
