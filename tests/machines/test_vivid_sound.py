"""Sound of the real kernel: its driver snd-aloop, whose one end plays what the other end records, under the package's service.

On the machine of tests/machines/test_vivid.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.harness.browser import Visit
from tests.machines.vm import ADDRESS
from tests.machines.vm_camera import CAMERA, FRONT, PORT, TOKEN, CameraMachine
from tests.machines.vm_camera import CONFIG as CAMERAS
from tests.network.hosts import browser_on

pytestmark = pytest.mark.timeout(900)  # the first one may have a Debian to unpack

LOOP = "/sys/bus/platform/drivers/snd_aloop"
HEARD_WITHIN = 60.0  # seconds; emulated, a process takes ten to load
SOUND = {"microphone": "plughw:CARD=Loopback,DEV=1,SUBDEV=0", "speaker": "plughw:CARD=Loopback,DEV=0,SUBDEV=1"}
CONFIG = {**CAMERAS, "camera": {"front": {**CAMERA, "device": FRONT, **SOUND}}}
# What the camera's surroundings do: a tone for the microphone, and what the loudspeaker plays, recorded.
TONE = """
import array, math, sys
from fractions import Fraction
import av
out = av.open("plughw:Loopback,0,0", "w", format="alsa")
stream = out.add_stream("pcm_s16le", rate=48000, layout="mono")
samples = array.array("h", (int(8000 * math.sin(math.tau * float(sys.argv[1]) * n / 48000)) for n in range(48000)))
number = 0
while True:
    packet = av.Packet(samples.tobytes())
    packet.stream, packet.pts, packet.time_base = stream, number * 48000, Fraction(1, 48000)
    out.mux(packet)
    number += 1
"""
# Prints the frequency of what is loud enough to be heard, 0 of silence, once for each half second.
LISTEN = """
import array
import av
source = av.open("plughw:Loopback,1,1", "r", format="alsa", options={"sample_rate": "48000", "channels": "1"})
half = array.array("h")
for packet in source.demux(audio=0):
    half.frombytes(bytes(packet))
    if len(half) >= 24000:
        loud = max(map(abs, half)) > 300
        print(sum(a < 0 <= b for a, b in zip(half, half[1:])) * 2 if loud else 0, flush=True)
        del half[:]
"""
# The frequency of what the page plays, 0 of silence.
HEAR = """
async () => {
  const context = window.hearing ??= new AudioContext();
  await context.resume();
  if (!window.analyser) {
    window.analyser = new AnalyserNode(context, { fftSize: 8192, smoothingTimeConstant: 0 });
    context.createMediaStreamSource(document.querySelector('video').srcObject).connect(window.analyser);
    await new Promise((resolve) => setTimeout(resolve, 400));
  }
  const bins = new Float32Array(window.analyser.frequencyBinCount);
  window.analyser.getFloatFrequencyData(bins);
  const loudest = bins.indexOf(Math.max(...bins));
  return bins[loudest] > -60 ? loudest * context.sampleRate / 8192 : 0;
}
"""
# A page without TLS has no microphone: what it says is made instead of recorded. It calls again, as our own page does.
TALK = """
async ([url, token, frequency]) => {
  const context = new AudioContext();
  await context.resume();
  const voice = context.createMediaStreamDestination();
  const oscillator = new OscillatorNode(context, { frequency });
  oscillator.connect(voice);
  oscillator.start();
  const call = async () => {
    const pc = window.talking = new RTCPeerConnection();
    pc.addTransceiver('video', { direction: 'recvonly' });
    pc.addTransceiver(voice.stream.getAudioTracks()[0], { direction: 'sendonly' });
    pc.onconnectionstatechange = () => {
      if (!['failed', 'closed'].includes(pc.connectionState)) return;
      pc.close();
      call();
    };
    await pc.setLocalDescription(await pc.createOffer());
    const headers = { 'Content-Type': 'application/sdp', Authorization: `Bearer ${token}` };
    const reply = await fetch(url, { method: 'POST', body: pc.localDescription.sdp, headers });
    await pc.setRemoteDescription({ type: 'answer', sdp: await reply.text() });
  };
  await call();
}
"""


@contextmanager
def beside(machine: CameraMachine, name: str, program: str, *arguments: str) -> Iterator[None]:
    """A Python program that runs in the machine meanwhile, as a service called `name`."""
    machine.vm.write(f"/run/{name}.py", program)
    machine.vm.sh(f"systemd-run --quiet --collect --unit={name} python3 -u /run/{name}.py {' '.join(arguments)}")
    try:
        yield
    finally:
        machine.vm.sh(f"systemctl stop {name} || true")


def said(machine: CameraMachine, name: str) -> list[str]:
    """What such a program has printed."""
    return machine.vm.sh(f"journalctl --unit={name} --output=cat --no-pager _COMM=python3").splitlines()


def heard(visit: Visit) -> float:
    """The frequency that the page plays, 0 of silence."""
    return float(visit.page.evaluate(HEAR))


def device(machine: CameraMachine, kind: str) -> dict[str, Any]:
    found = machine.camera()[kind]
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def machine(emulated: CameraMachine) -> CameraMachine:
    emulated.run_with(CONFIG)
    return emulated


@pytest.fixture(scope="module")
def visit(machine: CameraMachine) -> Iterator[Visit]:
    with browser_on(machine.vm.outside) as browser, browser.visit(machine.link("front")) as visit:
        visit.wait_playing(within=machine.within(15))
        visit.wait_for("!document.querySelector('#btn-mute').disabled", within=machine.within(15))
        visit.page.click("#btn-mute")
        yield visit


def test_what_a_microphone_records_is_heard(machine: CameraMachine, visit: Visit) -> None:
    with beside(machine, "tone", TONE, "440"):
        machine.until(lambda: abs(heard(visit) - 440) < 15, within=HEARD_WITHIN, what="the tone", explain=machine.journal)
        machine.until(lambda: device(machine, "microphone")["condition"] == "running", within=HEARD_WITHIN, what="a microphone in time")
    machine.until(lambda: heard(visit) == 0, within=HEARD_WITHIN, what="silence")


def test_a_microphone_that_is_pulled_out_is_heard_again_once_it_is_back(machine: CameraMachine, visit: Visit) -> None:
    pid = machine.main_pid
    visit.mark_connection()
    machine.vm.sh(f"echo snd_aloop.0 > {LOOP}/unbind")
    machine.until(lambda: device(machine, "microphone")["code"] == "microphone-absent", within=HEARD_WITHIN, what="its loss noticed")
    visit.wait_frames(10)
    machine.vm.sh(f"echo snd_aloop.0 > {LOOP}/bind")
    with beside(machine, "tone", TONE, "660"):
        machine.until(lambda: abs(heard(visit) - 660) < 15, within=HEARD_WITHIN, what="the tone", explain=machine.journal)
    visit.assert_same_connection()
    assert machine.main_pid == pid


def test_what_a_viewer_says_comes_out_of_the_loudspeaker(machine: CameraMachine, visit: Visit) -> None:
    with beside(machine, "listener", LISTEN):
        visit.page.evaluate(TALK, [f"http://{ADDRESS}:{PORT}/whep/front", TOKEN, 880])
        machine.until(lambda: said(machine, "listener"), within=HEARD_WITHIN, what="a recording")
        machine.until(
            lambda: any(860 <= int(line) <= 900 for line in said(machine, "listener")),
            within=machine.within(HEARD_WITHIN),
            what="the voice",
            explain=lambda: (said(machine, "listener"), machine.camera()["speaker"], machine.journal()),
        )
        visit.page.evaluate("window.talking.close()")
    machine.until(lambda: device(machine, "speaker")["condition"] == "resting", within=HEARD_WITHIN, what="a loudspeaker that is off")
