"""`python -m tests.bench.references.rtp_sender PORT`: the stream as plain RTP to 127.0.0.1, for Janus."""

from __future__ import annotations

import socket
import struct
import sys

from edgecam.media.packetize import packetize
from tests.bench import stream

PAYLOAD_TYPE = 96


def main(port: int) -> None:
    sequence = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        for number, unit in stream.played(stream.load()):
            payloads = packetize(unit.data)
            for index, payload in enumerate(payloads, 1):
                marker = (index == len(payloads)) << 7
                timestamp = number * stream.PERIOD_NS * 9 // 100_000 & 0xFFFFFFFF
                header = struct.pack("!BBHII", 0x80, marker | PAYLOAD_TYPE, sequence & 0xFFFF, timestamp, 1)
                sequence += 1
                try:
                    sock.send(header + payload.of(unit.data))
                except ConnectionRefusedError:  # Janus is still starting
                    continue


if __name__ == "__main__":
    main(int(sys.argv[1]))
