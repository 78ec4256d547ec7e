"""The `websocket` dialect's text frames: what is written, what is understood, what is refused."""

from __future__ import annotations

import json
import random
import re

import pytest
import structlog
from aiortc.rtcicetransport import parse_stun_turn_uri
from pydantic import SecretStr

from edgecam.peers import Candidate
from edgecam.settings import ICE_URL, IceServer
from edgecam.signaling import fields, wire
from edgecam.signaling.fields import MAX_CANDIDATE_BYTES, MAX_MESSAGE_BYTES, MAX_SDP_BYTES

STUN = IceServer(urls=("stun:stun.example:3478",))
TURN = IceServer(
    urls=("turn:turn.example:3478?transport=udp", "turns:turn.example"),
    username="user",
    credential=SecretStr("pass"),
)
CANDIDATE = Candidate("candidate:1 1 udp 2122260223 192.0.2.1 5000 typ host", "0", 0)
PEER = "a" * 22
ENTRIES = (wire.CameraEntry("front", "Front door", True), wire.CameraEntry("yard", "Yard", False))

EVERY_MESSAGE: list[wire.Message] = [
    wire.Welcome((STUN, TURN)),
    wire.Welcome(),
    wire.Register("sender"),
    wire.Register("sender", "front", title="Front door", instance_id="i" * 20, token="s3cret ü"),
    wire.Register("receiver", "front", peer_id=PEER, offers=True, listing=True),
    wire.Registered("sender", (TURN,)),
    wire.Registered("receiver", (), PEER, "front", ENTRIES),
    wire.Registered("receiver", cameras=()),
    wire.Cameras(ENTRIES),
    wire.PeerConnected("receiver"),
    wire.PeerConnected("receiver", PEER, "front", offers=True),
    wire.PeerDisconnected("sender", PEER, "front"),
    wire.Offer("v=0\r\ns=ü\r\n", PEER, "front"),
    wire.Answer("v=0\r\n"),
    wire.IceCandidate(CANDIDATE, PEER),
    wire.IceCandidate(None),
    wire.GetTurnConfig(),
    wire.TurnConfig((STUN,)),
    wire.Error("sender role is already taken"),
    wire.Error("no room", "viewers-full", PEER, "front"),
]


@pytest.mark.parametrize("message", EVERY_MESSAGE, ids=lambda m: type(m).__name__)
def test_what_one_end_writes_the_other_reads(message: wire.Message) -> None:
    assert wire.decode(wire.encode(message)) == message


def test_without_extensions_the_original_messages_are_written() -> None:
    def body(message: wire.Message) -> object:
        return json.loads(wire.encode(message))

    servers = {"iceServers": [{"urls": list(TURN.urls), "username": "user", "credential": "pass"}]}
    assert body(wire.Welcome((TURN,))) == {"type": "welcome", "turnConfig": servers}
    assert body(wire.Register("sender")) == {"type": "register", "role": "sender"}
    assert body(wire.Registered("sender", (TURN,))) == {
        "type": "registered",
        "role": "sender",
        "turnConfig": servers,
    }
    assert body(wire.PeerConnected("receiver")) == {"type": "peer-connected", "peer": "receiver"}
    assert body(wire.Offer("v=0")) == {"type": "offer", "sdp": "v=0"}
    assert body(wire.IceCandidate(CANDIDATE)) == {
        "type": "ice-candidate",
        "candidate": {"candidate": CANDIDATE.candidate, "sdpMid": "0", "sdpMLineIndex": 0},
    }
    assert body(wire.Error("no")) == {"type": "error", "message": "no"}
    assert body(wire.GetTurnConfig()) == {"type": "get-turn-config"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type":"offer","sdp":{"type":"offer","sdp":"v=0"},"extra":[1]}', wire.Offer("v=0")),
        ('{"type":"answer","sdp":"v=0","peerId":7}', wire.Answer("v=0", "7")),
        ('{"type":"ice-candidate","candidate":"candidate:1"}', wire.IceCandidate(Candidate("candidate:1"))),
        (
            '{"type":"ice-candidate","candidate":"a=candidate:1","sdpMid":"v","sdpMLineIndex":1}',
            wire.IceCandidate(Candidate("a=candidate:1", "v", 1)),
        ),
        (
            '{"type":"ice-candidate","candidate":{"candidate":"c","sdpMid":0,"sdpMLineIndex":"0"}}',
            wire.IceCandidate(Candidate("c", "0", None)),
        ),
        ('{"type":"ice-candidate"}', wire.IceCandidate(None)),
        ('{"type":"ice-candidate","candidate":null}', wire.IceCandidate(None)),
        ('{"type":"ice-candidate","candidate":""}', wire.IceCandidate(None)),
        ('{"type":"ice-candidate","candidate":{"candidate":""}}', wire.IceCandidate(None)),
        ('{"type":"ice-candidate","candidate":{}}', wire.IceCandidate(None)),
        ('{"type":"error","message":"one\\ntwo","peerId":null}', wire.Error("one two")),
        ('{"type":"error"}', wire.Error("")),
        ('{"type":"welcome"}', wire.Welcome()),
        ('{"type":"welcome","turnConfig":null}', wire.Welcome()),
        ('{"type":"turn-config","config":[{"urls":"stun:stun.example:3478"}]}', wire.TurnConfig((STUN,))),
        ('{"type":"ping"}', wire.Unknown("ping")),
    ],
)
def test_variants_met_in_the_field_are_understood(text: str, message: object) -> None:
    assert wire.decode(text) == message


def test_unusable_ice_servers_are_skipped() -> None:
    entries = [
        {"urls": ["stun:stun.example:3478", "http://no", 5]},
        {"urls": "turn:no.credentials"},
        {"urls": "turn:t", "username": "u", "credential": 5},
        {"urls": []},
        {},
        "stun:bare",
        None,
        {"url": "stun:old.example"},
        {"urls": "stun:stun.example:3478", "username": None, "credential": None},
    ]
    message = wire.decode(json.dumps({"type": "welcome", "turnConfig": {"iceServers": entries}}))
    assert message == wire.Welcome((STUN, IceServer(urls=("stun:old.example",)), STUN))


@pytest.mark.parametrize(
    "url",
    [
        "turn:2001:db8::1:3478",
        "turn:2001:db8::1",
        "stun:stun.example?transport=udp",
        "turn:turn.example?foo=bar",
        "turn:turn.example?transport=sctp",
        "stun:stun.example:70000",
        "stun:stun.example:",
        "stun:",
    ],
)
def test_an_ice_server_that_the_camera_could_not_use_is_left_out_with_one_warning(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fields, "_warned", set())
    servers = {"iceServers": [{"urls": [url, *TURN.urls], "username": "user", "credential": "pass"}, {"urls": url}]}
    text = json.dumps({"type": "welcome", "turnConfig": servers})
    with structlog.testing.capture_logs() as events:
        for _ in range(3):
            assert wire.decode(text) == wire.Welcome((TURN,))
    (warning,) = events
    assert (warning["event"], warning["log_level"], warning["url"]) == ("ice-server.ignored", "warning", url)


@pytest.mark.parametrize(
    "url",
    ["stun:192.0.2.1", "stuns:stun.example:5349", "turn:turn.example:1?transport=tcp", "turns:turn.example:65535?transport=udp"],
)
def test_an_ice_server_that_passes_is_one_that_aiortc_can_read(url: str) -> None:
    assert re.fullmatch(ICE_URL, url)
    assert parse_stun_turn_uri(url)["host"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"offer"',
        "{}",
        '{"type":null}',
        '{"type":["offer"]}',
        '{"type":"offer"}',
        '{"type":"offer","sdp":""}',
        '{"type":"offer","sdp":" \\r\\n"}',
        '{"type":"offer","sdp":{"type":"offer"}}',
        '{"type":"offer","sdp":5}',
        '{"type":"offer","sdp":"\\u0000"}',
        '{"type":"offer","sdp":"\\ud800"}',
        '{"type":"offer","sdp":"v=0","peerId":"a b"}',
        '{"type":"offer","sdp":"v=0","peerId":true}',
        '{"type":"offer","sdp":"v=0","peerId":"' + "a" * 65 + '"}',
        '{"type":"offer","sdp":"v=0","cameraId":"../x"}',
        '{"type":"offer","sdp":"v=0","n":NaN}',
        '{"type":"offer","sdp":"v=0","n":' + "9" * 5000 + "}",
        '{"type":"ice-candidate","candidate":5}',
        '{"type":"ice-candidate","candidate":"a\\r\\nb"}',
        '{"type":"ice-candidate","candidate":"' + "a" * (MAX_CANDIDATE_BYTES + 1) + '"}',
        '{"type":"register"}',
        '{"type":"register","role":"boss"}',
        '{"type":"register","role":["sender"]}',
        '{"type":"register","role":"sender","token":5}',
        '{"type":"register","role":"sender","token":"' + "a" * 513 + '"}',
        '{"type":"peer-connected"}',
        "[" * 100_000,
        '{"type":' * 30_000,
        json.dumps({"type": "offer", "sdp": "a" * (MAX_SDP_BYTES + 1)}),
        json.dumps({"type": "x", "pad": "a" * MAX_MESSAGE_BYTES}),
        json.dumps({"type": "x", "pad": "ü" * (MAX_MESSAGE_BYTES // 2)}, ensure_ascii=False),
    ],
    ids=lambda text: text[:40],
)
def test_malformed_messages_are_refused_with_one_line(text: str) -> None:
    with pytest.raises(wire.WireError) as caught:
        wire.decode(text)
    assert "\n" not in str(caught.value)
    assert 0 < len(str(caught.value)) < 100


def test_a_refused_token_is_not_repeated() -> None:
    with pytest.raises(wire.WireError) as caught:
        wire.decode(json.dumps({"type": "register", "role": "sender", "token": "hunter2" * 100}))
    assert "hunter2" not in str(caught.value)


def mutated(text: str, chance: random.Random) -> str:
    """A message with a few characters cut, doubled, replaced, or a value swapped for another kind."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text) + 1)
        match chance.randrange(5):
            case 0:
                text = text[:at] + text[at + chance.randint(1, 8) :]
            case 1:
                text = text[:at] + text[at : at + 20] * 2 + text[at + 20 :]
            case 2:
                text = text[:at] + chance.choice('{}[]":,\\0ü\0\ud800\u2028') + text[at + 1 :]
            case 3:
                text = text.replace('"' + "a" * 22 + '"', chance.choice(["null", "1e999", "-1", "{}", "[[]]", '""']))
            case 4:
                text = text[:at] + chance.choice(['"sdp":', "\\ud83d", "true", "\r\n", '"type":"offer",']) + text[at:]
    return text


def test_thousands_of_mutated_messages_are_read_or_refused_and_never_crash() -> None:
    chance = random.Random(20240501)
    texts = [wire.encode(message) for message in EVERY_MESSAGE]
    read = refused = 0
    for _ in range(6000):
        text = mutated(chance.choice(texts), chance)
        try:
            message = wire.decode(text)
        except wire.WireError:
            refused += 1
            continue
        read += 1
        if not isinstance(message, wire.Unknown):
            assert wire.decode(wire.encode(message)) == message
    assert read > 300
    assert refused > 300
