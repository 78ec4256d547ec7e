"""STUN on the wire: the RFC's own examples, and what must not break us."""

from __future__ import annotations

import random

import pytest

from edgecam.rtc.ice.servers import ServerHealth, parse_url, servers_of
from edgecam.rtc.ice.stun import Attribute, Kind, Message, Method, decode
from edgecam.settings import IceServer

# RFC 5769 sections 2.1 to 2.3
PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff"
    "80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)
RESPONSE_V4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
RESPONSE_V6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a147"
    "0113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)


def test_the_rfcs_request_is_read_and_its_signature_holds() -> None:
    message = decode(REQUEST)
    assert message is not None
    assert (message.method, message.kind, message.text(Attribute.USERNAME)) == (Method.BINDING, Kind.REQUEST, "evtj:h6vY")
    assert message.is_signed_with(PASSWORD)
    assert not message.is_signed_with(b"another")


@pytest.mark.parametrize(
    ("data", "address"), [(RESPONSE_V4, ("192.0.2.1", 32853)), (RESPONSE_V6, ("2001:db8:1234:5678:11:2233:4455:6677", 32853))]
)
def test_the_rfcs_responses_are_read(data: bytes, address: tuple[str, int]) -> None:
    message = decode(data)
    assert message is not None
    assert message.address(Attribute.XOR_MAPPED_ADDRESS) == address
    assert message.is_signed_with(PASSWORD)


@pytest.mark.parametrize("address", [("192.0.2.7", 1), ("2001:db8::1", 65535)])
def test_what_is_written_is_read_again(address: tuple[str, int]) -> None:
    message = Message(Method.BINDING, Kind.SUCCESS)
    message.put_address(Attribute.XOR_MAPPED_ADDRESS, address)
    message.put_error(487, "Role Conflict")
    read = decode(message.encode(b"key"))
    assert read is not None
    assert read.address(Attribute.XOR_MAPPED_ADDRESS) == address
    assert read.error == (487, "Role Conflict")
    assert read.is_signed_with(b"key")


def test_what_follows_the_signature_does_not_count() -> None:
    message = Message(Method.BINDING)
    signed = message.encode(b"key")[:-8]
    forged = bytearray(signed + b"\x00\x25\x00\x00")
    forged[3] += -4  # the fingerprint's eight bytes are gone, four have come
    read = decode(bytes(forged))
    assert read is not None
    assert Attribute.USE_CANDIDATE not in read.attributes


def test_broken_messages_are_passed_over() -> None:
    rng = random.Random(5)
    for _ in range(20_000):
        data = bytearray(rng.choice((REQUEST, RESPONSE_V4, RESPONSE_V6)))
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        read = decode(bytes(data[: rng.randrange(len(data) + 1)]))
        if read is not None:  # whatever is left must be harmless to ask
            assert read.error[0] < 1000
            read.address(Attribute.XOR_MAPPED_ADDRESS)
            read.is_signed_with(PASSWORD)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("stun:stun.example", ("stun", "stun.example", 3478, "udp", False)),
        ("turn:turn.example:443?transport=tcp", ("turn", "turn.example", 443, "tcp", False)),
        ("turns:turn.example", ("turn", "turn.example", 5349, "tcp", True)),
        ("turn:[2001:db8::1]:3479", ("turn", "2001:db8::1", 3479, "udp", False)),
    ],
)
def test_urls_of_servers(url: str, parts: tuple[object, ...]) -> None:
    server = parse_url(url)
    assert server is not None
    assert (server.kind, server.host, server.port, server.transport, server.tls) == parts


def test_a_server_that_fails_is_left_alone_longer_each_time_unless_it_is_the_last_of_its_kind() -> None:
    servers = servers_of([IceServer.model_validate({"urls": f"stun:s{n}.example"}) for n in range(2)])
    health = ServerHealth()
    health.failed(servers[0], "timeout", "it is silent")
    assert health.choose(servers) == [servers[1]]
    first = health.of(servers[0].url).retry_at
    health.failed(servers[0], "timeout", "it is silent")
    assert health.of(servers[0].url).retry_at > first + 1
    health.failed(servers[1], "timeout", "it is silent")
    assert health.choose(servers) == list(servers)
    health.succeeded(servers[0], 0.02)
    assert health.choose(servers) == [servers[0]]
    assert health.as_list()[0]["latency_ms"] == 20
