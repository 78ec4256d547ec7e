"""`python -m tests.bench.floor_sender PROFILE each|one ADDRESS PORT...`: the stream to plain sockets of this machine, in real time.

From a socket for each receiver, or one for all, bound to the same address as ICE does it. Once per unit and receiver: sequence
number, encryption in place, one GSO send per run. No ICE, no RTCP, no event loop: nothing can be left out of it but the packets.
"""

from __future__ import annotations

import os
import socket
import sys
from itertools import cycle

from edgecam.media.packetize import packetize
from edgecam.rtc import aiortc_private
from edgecam.rtc.sending.cost import EXTENSIONS
from edgecam.rtc.sending.scratch import Scratch
from edgecam.rtc.sending.template import OWN_FIELDS, StreamFormat, Template, ViewerClass
from tests.bench import stream


def main(name: str, sockets: str, address: str, ports: list[int]) -> None:
    profile = next(each for each in aiortc_private.srtp_profiles() if each.name == name)
    scratch = Scratch()
    viewers = ViewerClass(StreamFormat(96, EXTENSIONS, "0", profile.tag_length))
    # Everything about a unit is made before, so that the loop has only what each viewer costs.
    templates = [
        Template(unit.data, packetize(unit.data), viewers, full=False, capture_ntp=0, scratch=scratch)
        for unit in stream.load()
    ]
    sessions = [profile.session(os.urandom(profile.key_length)) for _ in ports]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    own = [socket.socket(family, socket.SOCK_DGRAM) for _ in (ports if sockets == "each" else ports[:1])]
    for sock in own:
        sock.bind((address, 0))
    everybody = [
        (session.context, sock, (address, port)) for session, sock, port in zip(sessions, cycle(own), ports, strict=False)
    ]
    sequence = 1
    print("ready", flush=True)
    for number, _unit in stream.played(stream.load()):
        template = templates[number % len(templates)]
        for context, sock, receiver in everybody:
            at_sequence = sequence
            for run in template.runs:
                size = run.end - run.begin
                scratch.view[:size] = template.view[run.begin : run.end]
                scratch.lengths[: len(run.lengths)] = run.lengths
                for at in run.fields:
                    OWN_FIELDS.pack_into(scratch.view, at, at_sequence & 0xFFFF, 7, 9)
                    at_sequence += 1
                scratch.protect(context, run.pointers)
                sock.sendmsg((scratch.view[:size],), run.control if run.count > 1 else (), 0, receiver)
        sequence += template.count


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], [int(port) for port in sys.argv[4:]])
