"""The many ways in which pages write to each other, and the one in which the camera does."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from edgecam.peers import Candidate
from edgecam.signaling import rooms_wire as wire
from edgecam.signaling.fields import WireError
from edgecam.signaling.rooms_wire import (
    Address,
    Answer,
    Entered,
    Form,
    Gone,
    HangUp,
    IceCandidate,
    Offer,
    Present,
    Unknown,
)

SDP = "v=0\r\n"
LINE = "candidate:1 1 udp 2122 192.0.2.1 5000 typ host"
FOUND = Candidate(LINE, "0", 0)
WRITTEN = {"candidate": LINE, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "abcd"}


def heard(body: Any, wrapper: wire.Wrapper = "auto") -> wire.Heard:
    return wire.decode(json.dumps(body), wrapper)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"type": "offer", "sdp": SDP}, Offer(SDP)),
        ({"type": "offer", "sdp": {"type": "offer", "sdp": SDP}}, Offer(SDP)),
        ({"type": "offer", "offer": {"type": "offer", "sdp": SDP}}, Offer(SDP)),
        ({"type": "offer", "data": {"type": "offer", "sdp": SDP}}, Offer(SDP)),
        ({"type": "OFFER", "payload": {"sdp": {"type": "offer", "sdp": SDP}}}, Offer(SDP)),
        ({"event": "webrtc_offer", "data": SDP}, Offer(SDP)),
        ({"sdp": {"type": "offer", "sdp": SDP}}, Offer(SDP)),
        ({"offer": {"type": "offer", "sdp": SDP}}, Offer(SDP)),
        ({"type": "answer", "sdp": SDP, "surprise": [1]}, Answer(SDP)),
        ({"answer": {"type": "answer", "sdp": SDP}}, Answer(SDP)),
        ({"type": "ice-candidate", "candidate": WRITTEN}, IceCandidate(FOUND)),
        ({"type": "ice_candidate", "data": WRITTEN}, IceCandidate(FOUND)),
        ({"type": "iceCandidate", "data": {"candidate": WRITTEN}}, IceCandidate(FOUND)),
        ({"type": "candidate", **WRITTEN}, IceCandidate(FOUND)),
        ({"type": "ice", "ice": WRITTEN}, IceCandidate(FOUND)),
        ({"candidate": WRITTEN}, IceCandidate(FOUND)),
        ({"ice": WRITTEN}, IceCandidate(FOUND)),
        ({"type": "ice-candidate", "candidate": None}, IceCandidate(None)),
        ({"type": "ice-candidate", "candidate": ""}, IceCandidate(None)),
        ({"type": "ice-candidate", "candidate": {"candidate": "", "sdpMid": "0"}}, IceCandidate(None)),
        ({"type": "candidate"}, IceCandidate(None)),
        ({"candidate": None}, IceCandidate(None)),
        ({"type": "user-joined", "user_id": "anna"}, Entered("anna")),
        ({"type": "peer_joined", "peerId": 7}, Entered("7")),
        ({"event": "user-joined", "data": {"user": {"id": "a1", "name": "Anna"}}}, Entered("a1")),
        ({"type": "user-joined"}, Entered("")),
        ({"type": "user-left", "id": "anna"}, Gone("anna")),
        ({"type": "participants", "participants": ["anna", {"id": "bert"}, None]}, Present(("anna", "bert"))),
        ({"type": "bye"}, HangUp()),
        ({"type": "chat", "message": "hello"}, Unknown()),
        ({"type": "chat", "message": '{"type":"chat"}'}, Unknown()),
        ({}, Unknown()),
    ],
)
def test_what_pages_write_is_understood(body: dict[str, Any], said: wire.Said) -> None:
    assert heard(body).said == said


@pytest.mark.parametrize("inner", [{"type": "offer", "sdp": SDP}, json.dumps({"type": "offer", "sdp": SDP})])
@pytest.mark.parametrize("name", ["data", "payload", "message"])
def test_what_a_relay_wraps_is_unwrapped_with_the_senders_name(inner: object, name: str) -> None:
    found = heard({"from": "Anna Müller", name: inner})
    assert (found.said, found.sender) == (Offer(SDP), "Anna Müller")
    assert found.form == Form(sdp_is_object=False, candidate_type="", names_itself=False)
    assert heard({"type": "message", "from": "anna", name: inner}).said == Offer(SDP)
    assert isinstance(heard({"from": "anna", name: inner}, "off").said, Unknown)
    assert heard({"from": "anna", name: inner}, "on").said == Offer(SDP)


def test_messages_tell_whom_they_are_from_and_for_and_how_they_are_written() -> None:
    found = heard({"type": "ice", "candidate": WRITTEN, "from": "anna", "to": "front"})
    assert (found.sender, found.to) == ("anna", "front")
    assert found.form == Form(None, "ice", names_itself=True)
    seen = wire.merged(Form(sdp_is_object=True), found.form)
    assert seen == Form(sdp_is_object=True, candidate_type="ice", names_itself=True)


@pytest.mark.parametrize(
    "text",
    [
        "", "hello", "[]", "null", "5", "\0", "{" * 3000, '{"type":"offer"}', '{"type":"offer","sdp":5}', '{"type":"answer","sdp":{}}',
        '{"type":"offer","sdp":"v=0\\u0000"}', '{"type":"ice","candidate":5}', '{"type":"ice","candidate":"a\\nb"}', '{"offer":7}',
        '{"data":"{"}', '{"type":"offer","sdp":"\\ud800"}', json.dumps({"type": "offer", "sdp": "v" * 200_000}),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_error(text: str) -> None:
    with pytest.raises(WireError):
        wire.decode(text)


def test_what_the_camera_writes() -> None:
    assert json.loads(wire.encode_description("offer", SDP, Address(), as_object=False)) == {"type": "offer", "sdp": SDP}
    assert json.loads(wire.encode_description("answer", SDP, Address("anna", "front"), as_object=True)) == {
        "type": "answer",
        "sdp": {"type": "answer", "sdp": SDP},
        "to": "anna",
        "from": "front",
    }
    written = json.loads(wire.encode_candidate(FOUND, Address(), Form(candidate_type="ice")))
    assert written == {"type": "ice", "candidate": {"candidate": LINE, "sdpMid": "0", "sdpMLineIndex": 0}}


NAMES = ["type", "event", "sdp", "offer", "answer", "candidate", "ice", "data", "payload", "from", "to", "user", "users", "id"]
LEAVES: list[Any] = [None, True, 0, -1, 1e9, "", "x", SDP, LINE, "offer", "answer", "ice-candidate", "user-joined", "participants", "bye"]


def anything(chance: random.Random, depth: int) -> Any:
    """Some JSON that has the words of a message in it."""
    if depth == 0 or chance.random() < 0.4:
        return chance.choice(LEAVES)
    if chance.random() < 0.2:
        return [anything(chance, depth - 1) for _ in range(chance.randrange(4))]
    body = {chance.choice(NAMES): anything(chance, depth - 1) for _ in range(chance.randrange(6))}
    return json.dumps(body) if chance.random() < 0.2 else body


def test_whatever_comes_is_a_message_or_one_error() -> None:
    chance = random.Random(4)
    understood = 0
    for _ in range(20_000):
        wrapper: wire.Wrapper = chance.choice(("auto", "on", "off"))
        try:
            understood += not isinstance(wire.decode(json.dumps(anything(chance, 4)), wrapper).said, Unknown)
        except WireError:
            continue
    assert understood > 1000
