"""A hardware encoder that hangs, crashes or fails is left out from then on, and the status says so.

No machine here has one, so a script plays the capture process; the wire between the two is real.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from edgecam.capture.process import CaptureProcess
from edgecam.errors import CaptureError
from edgecam.settings import CameraSettings
from tests.capture.watching import Recorder

# What a child does with a hardware encoder; then, when told to leave that out, it is content with software.
CHILD = """
import json, os, signal, socket, sys, time
from dataclasses import asdict
from edgecam.capture import wire
from edgecam.capture.wire import Kind
from edgecam.media.types import CaptureReport, StreamInfo

sock = socket.socket(fileno=int(sys.argv[-1]))
messages = wire.MessageBuffer()
((_kind, payload),) = messages.received(sock.recv_into(messages.free()))
skipped = wire.decode_json(payload)["skip_encoders"]
def send(kind, value):
    sock.sendall(wire.encode_json(kind, value))
def opened(encoder):
    send(Kind.OPENED, asdict(StreamInfo("test", "yuv420p", 640, 480, 30, encoder, json.dumps(skipped), "42c01f")))
def unit(number):
    sock.sendall(wire.encode_unit_header(5, True, number) + b"12345")
def unit_and_reports():
    opened("h264_v4l2m2m")
    unit(1)
    for captured in (10, 40):
        send(Kind.REPORT, asdict(CaptureReport(captured, 0, 1, 0, 1.0)))
def unit_and_failure():
    opened("h264_v4l2m2m")
    unit(1)
    send(Kind.FAILED, {"code": "encoder-failed", "message": "it failed", "remedy": ""})
send(Kind.PHASE, {"phase": "opening"})
if "h264_v4l2m2m" in skipped:
    opened("libx264")
    unit(1)
else:
    send(Kind.PHASE, {"phase": "probing h264_v4l2m2m"})
    BEHAVIOUR
signal.pause()
"""
BEHAVIOURS = {
    "hangs while it is tried": ("pass", "encoder-failed"),
    "crashes the process while it is tried": ("os.kill(os.getpid(), signal.SIGBUS)", "capture-crashed"),
    "hangs after a while": (
        "unit_and_reports()",
        "camera-stalled",
    ),
    "fails after a while": (
        "unit_and_failure()",
        "encoder-failed",
    ),
}


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_an_encoder_is_left_out_after_it(behaviour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    action, code = BEHAVIOURS[behaviour]
    script = tmp_path / "child.py"
    script.write_text(CHILD.replace("BEHAVIOUR", action))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))

    async def run() -> Recorder:
        settings = CameraSettings.model_validate({"source": "test", "start_timeout": 1, "stall_timeout": 0.5})
        camera, sink = CaptureProcess("front", settings), Recorder()
        with pytest.raises(CaptureError) as caught:
            await camera.run(sink)
        assert caught.value.code == code
        sink.infos.clear()
        task = asyncio.create_task(camera.run(sink))
        await sink.until(lambda: bool(sink.infos))
        task.cancel()
        await asyncio.wait([task])
        return sink

    (info,) = asyncio.run(run()).infos
    assert info.encoder == "libx264"
    assert "h264_v4l2m2m" in json.loads(info.reason)
