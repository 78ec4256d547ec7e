"""STUN messages (RFC 8489) with the attributes that ICE (RFC 8445) and TURN (RFC 8656) add. Bytes only, no I/O."""

from __future__ import annotations

import enum
import hmac
import secrets
import zlib
from dataclasses import dataclass, field
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from struct import pack, pack_into, unpack_from

COOKIE = 0x2112A442
_COOKIE_BYTES = pack("!I", COOKIE)
HEADER = 20  # bytes
Address = tuple[str, int]


class Method(enum.IntEnum):
    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    DATA = 0x007
    CREATE_PERMISSION = 0x008
    CHANNEL_BIND = 0x009


class Kind(enum.IntEnum):
    REQUEST = 0x000
    INDICATION = 0x010
    SUCCESS = 0x100
    ERROR = 0x110


class Attribute(enum.IntEnum):
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    CHANNEL_NUMBER = 0x000C
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    DATA = 0x0013
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_ADDRESS_FAMILY = 0x0017
    REQUESTED_TRANSPORT = 0x0019
    XOR_MAPPED_ADDRESS = 0x0020
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A


@dataclass(slots=True)
class Message:
    """One message; `attributes` holds raw values, `signed` what a received MESSAGE-INTEGRITY covers."""

    method: int
    kind: int = Kind.REQUEST
    transaction: bytes = field(default_factory=lambda: secrets.token_bytes(12))
    attributes: dict[int, bytes] = field(default_factory=dict)
    signed: bytes | None = None

    def text(self, attribute: Attribute) -> str:
        return self.attributes.get(attribute, b"").decode("utf-8", "replace")

    def number(self, attribute: Attribute) -> int | None:
        value = self.attributes.get(attribute)
        return int.from_bytes(value, "big") if value else None

    def address(self, attribute: Attribute) -> Address | None:
        """An XOR address as (IP address, port); None when absent or malformed."""
        value = self.attributes.get(attribute, b"")
        if len(value) not in {8, 20} or value[1] != {8: 1, 20: 2}[len(value)]:
            return None
        port = unpack_from("!H", value, 2)[0] ^ (COOKIE >> 16)
        return inet_ntop(AF_INET if value[1] == 1 else AF_INET6, _masked(value[4:], self.transaction)), port

    def put_address(self, attribute: Attribute, address: Address) -> None:
        host = address[0].partition("%")[0]
        family, packed = (2, inet_pton(AF_INET6, host)) if ":" in host else (1, inet_pton(AF_INET, host))
        head = pack("!BBH", 0, family, address[1] ^ (COOKIE >> 16))
        self.attributes[attribute] = head + _masked(packed, self.transaction)

    @property
    def error(self) -> tuple[int, str]:
        """ERROR-CODE and its reason phrase, (0, "") when there is none."""
        value = self.attributes.get(Attribute.ERROR_CODE, b"")
        if len(value) < 4:
            return 0, ""
        return (value[2] & 7) * 100 + value[3], value[4:].decode("utf-8", "replace")[:100]

    def put_error(self, code: int, reason: str) -> None:
        self.attributes[Attribute.ERROR_CODE] = pack("!HBB", 0, code // 100, code % 100) + reason.encode()

    def is_signed_with(self, key: bytes) -> bool:
        """Whether the MESSAGE-INTEGRITY is there and right."""
        given = self.attributes.get(Attribute.MESSAGE_INTEGRITY)
        if given is None or self.signed is None:
            return False
        return hmac.compare_digest(given, hmac.digest(key, self.signed, "sha1"))

    def encode(self, key: bytes | None = None) -> bytes:
        """The bytes, with MESSAGE-INTEGRITY when there is a `key`, and always with FINGERPRINT."""
        body = b"".join(_attribute(kind, value) for kind, value in self.attributes.items())
        data = bytearray(pack("!HHI12s", self.method | self.kind, len(body), COOKIE, self.transaction) + body)
        if key is not None:
            pack_into("!H", data, 2, len(data) - HEADER + 24)
            data += _attribute(Attribute.MESSAGE_INTEGRITY, hmac.digest(key, data, "sha1"))
        pack_into("!H", data, 2, len(data) - HEADER + 8)
        data += _attribute(Attribute.FINGERPRINT, _fingerprint(data))
        return bytes(data)


def decode(data: bytes) -> Message | None:
    """The message in a datagram; None for whatever is no well-formed STUN. What follows MESSAGE-INTEGRITY does not count."""
    if len(data) < HEADER or data[0] & 0xC0:
        return None
    kind, length, cookie, transaction = unpack_from("!HHI12s", data)
    if cookie != COOKIE or length != len(data) - HEADER or length % 4:
        return None
    message = Message(kind & 0x3EEF, kind & 0x0110, transaction)
    at = HEADER
    while at + 4 <= len(data):
        name, size = unpack_from("!HH", data, at)
        value = data[at + 4 : at + 4 + size]
        if len(value) != size:
            return None
        if name == Attribute.FINGERPRINT:
            return message if value == _fingerprint(data[:at]) else None
        if message.signed is None:
            if name == Attribute.MESSAGE_INTEGRITY:
                message.signed = data[:2] + pack("!H", at + 24 - HEADER) + data[4:at]
            message.attributes.setdefault(name, value)
        at += 4 + (size + 3 & ~3)
    return message


def _attribute(kind: int, value: bytes) -> bytes:
    return pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def _fingerprint(data: bytes | bytearray) -> bytes:
    return pack("!I", zlib.crc32(data) ^ 0x5354554E)


def _masked(packed: bytes, transaction: bytes) -> bytes:
    size = len(packed)
    mask = (_COOKIE_BYTES + transaction)[:size]
    return (int.from_bytes(packed, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
