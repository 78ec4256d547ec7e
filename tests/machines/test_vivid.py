"""A camera driver of the real kernel, systemd, the package, and Chromium that watches: whatever breaks, the picture comes back.

One viewer page is opened once and never touched. One machine serves all tests, in their order; each leaves it as it found it.
tests/machines/test_vivid_sandbox.py goes on with it.
"""

from __future__ import annotations

import io
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import pytest

from tests.harness.browser import Browser, Visit
from tests.machines.vm_camera import BACK, CONFIG, FRONT, CameraMachine
from tests.machines.vm_times import RESTART_WITHIN, Times
from tests.network.hosts import browser_on

pytestmark = pytest.mark.timeout(900)  # the first one may have a Debian to unpack

BACK_WITHIN = 5.0  # seconds from the camera's being there again to its picture; more where processors are emulated
WATCHDOG_S = 20.0  # of the unit
MEMORY_MAX = 512 << 20  # bytes, of the unit
# What Chromium itself prints while a host is away, or has been started anew.
HOST_AWAY = ["net::ERR_", "404 .*/whep/", "WebSocket connection", "503", "502"]

# The longest time without a new picture since `watchPictures()`, as the person before the page saw it.
WATCH = """
() => {
  const video = document.querySelector('video');
  const seen = window.seen = { last: performance.now(), longest: 0 };
  if (window.watching) return;
  window.watching = true;
  const step = () => {
    const now = performance.now();
    window.seen.longest = Math.max(window.seen.longest, now - window.seen.last);
    window.seen.last = now;
    video.requestVideoFrameCallback(step);
  };
  video.requestVideoFrameCallback(step);
}
"""


@dataclass(slots=True)
class Scene:
    """The machine, and a page that somebody looks at."""

    machine: CameraMachine
    visit: Visit
    times: Times

    def watch(self) -> None:
        """From now on, times without a picture are measured."""
        self.visit.page.evaluate(WATCH)

    def missed(self, what: str) -> float:
        """Seconds for which the viewer saw nothing new, at most; noted as the price of `what`."""
        seconds = float(self.visit.page.evaluate("window.seen.longest")) / 1000
        self.times.add(f"{what}: viewer without a new picture for", seconds)
        return seconds

    def back(self, within: float = BACK_WITHIN) -> float:
        """Until pictures are decoded again; seconds."""
        begun = time.monotonic()
        self.visit.wait_frames(3, within=self.machine.within(within))
        return time.monotonic() - begun


@pytest.fixture(scope="module")
def browser(emulated: CameraMachine) -> Iterator[Browser]:
    with browser_on(emulated.vm.outside) as browser:
        yield browser


@pytest.fixture(scope="module")
def visit(emulated: CameraMachine, browser: Browser) -> Iterator[Visit]:
    emulated.run_with(CONFIG)
    with browser.visit(emulated.link("front"), tolerates=HOST_AWAY) as visit:
        yield visit


@pytest.fixture
def scene(emulated: CameraMachine, visit: Visit, times: Times) -> Scene:
    visit.wait_playing(within=emulated.within(15))
    visit.mark_connection()
    made = Scene(emulated, visit, times)
    made.watch()
    return made


def test_chromium_sees_the_kernels_camera_moving(scene: Scene) -> None:
    camera = scene.machine.wait_camera(condition="running")
    assert "(vivid)" in camera["source"]
    assert (camera["width"], camera["height"], camera["fps"]) == (320, 180, 5)
    scene.visit.assert_moving()
    scene.machine.wait_ready()


@pytest.mark.parametrize(
    ("fault", "code"), [("inject_fatal_streaming_error", "camera-io"), ("disconnect", "camera-absent")]
)
def test_a_driver_that_fails_while_it_streams_is_opened_again(scene: Scene, fault: str, code: str) -> None:
    restarts, before = scene.machine.camera()["restarts"], scene.machine.cursor()
    scene.machine.control(FRONT, **{fault: 1})
    scene.machine.wait_camera(restarts=restarts + 1, condition="running")
    scene.back()
    assert f"code={code}" in scene.machine.journal(before)
    scene.visit.assert_same_connection()
    assert scene.missed(f"{fault} ({code})") < scene.machine.within(BACK_WITHIN)


def test_a_damaged_buffer_costs_one_picture(scene: Scene) -> None:
    before = scene.machine.camera()
    dropped = before["frames_dropped"] or 0  # None until the first report

    def counted() -> dict[str, Any] | None:
        now = scene.machine.camera()
        if (now["frames_dropped"] or 0) > dropped:
            return now
        # The one before may have been a picture that came too soon after another, and was left out for that.
        scene.machine.control(FRONT, inject_v4l2_buf_flag_error=1)
        return None

    machine = scene.machine
    after = machine.until(counted, within=machine.within(5), what="a damaged picture to be counted", explain=machine.camera)
    scene.back()
    assert after["restarts"] == before["restarts"]
    scene.visit.assert_same_connection()
    assert scene.missed("one damaged buffer") < scene.machine.within(1.0)


def test_a_driver_that_gives_nothing_any_more_is_left_and_tried_again(scene: Scene) -> None:
    scene.machine.control(FRONT, percentage_of_dropped_buffers=100)
    hung = time.monotonic()
    scene.machine.wait_camera(code="camera-stalled")
    scene.times.add("hang: noticed after", time.monotonic() - hung)
    scene.machine.control(FRONT, percentage_of_dropped_buffers=0)
    scene.times.add("hang: picture after the driver's recovery within", scene.back(within=BACK_WITHIN + 3))
    scene.visit.assert_same_connection()


def test_a_driver_that_is_unbound_and_bound_brings_its_picture_back(scene: Scene) -> None:
    pid, before = scene.machine.main_pid, scene.machine.cursor()
    scene.machine.unbind()
    scene.machine.wait_camera(code="camera-absent")
    scene.machine.bind()
    scene.times.add("unbind, bind: picture after bind within", scene.back())
    assert "code=camera-io" not in scene.machine.journal(before)  # it was known at once what had happened
    scene.visit.assert_same_connection()
    assert scene.machine.main_pid == pid


def test_a_camera_whose_node_has_another_number_afterwards_is_found_by_its_path(scene: Scene) -> None:
    node = scene.machine.vm.sh(f"readlink -f {FRONT}")
    # Somebody who has the old node open keeps its number taken.
    scene.machine.vm.sh(f"systemd-run --quiet --unit=holder sh -c 'exec 9<{node}; exec sleep infinity'")
    try:
        held = "test -e /proc/$(systemctl show holder -P MainPID)/fd/9"
        scene.machine.until(lambda: scene.machine.vm.run("/bin/sh", "-c", held).code == 0, within=5, what="the node to be held")
        scene.machine.unbind()
        scene.machine.bind()
        scene.times.add("renamed node: picture after bind within", scene.back())
        assert scene.machine.vm.sh(f"readlink -f {FRONT}") != node
    finally:
        scene.machine.vm.sh("systemctl stop holder")
    scene.visit.assert_moving()


def test_two_cameras_of_one_model_are_told_apart(scene: Scene, browser: Browser) -> None:
    with browser.visit(scene.machine.link("back")) as other:
        other.wait_playing(within=scene.machine.within(15))
        shown = {name: scene.machine.camera(name)["source"] for name in ("front", "back")}
        assert shown == {"front": f"v4l2 {FRONT} (vivid)", "back": f"v4l2 {BACK} (vivid)"}
        scene.visit.assert_moving()
        # The front one's picture has colours, the back one's has none.
        assert _colourfulness(scene.machine, "front") > 60
        assert _colourfulness(scene.machine, "back") < 20


def test_too_much_memory_costs_who_took_it_and_nobody_else(scene: Scene) -> None:
    pid = scene.machine.main_pid
    eat = "import sys; x = bytearray(700 << 20); print(len(x))"
    join = "echo $$ > /sys/fs/cgroup/system.slice/edgecam.service/cgroup.procs"
    done = scene.machine.vm.run("/bin/sh", "-c", f"{join}; exec python3 -c '{eat}'", within=60)
    assert done.code == -signal.SIGKILL, done
    scene.back()
    assert scene.machine.main_pid == pid
    assert scene.machine.show("ActiveState") == "active"
    scene.visit.assert_same_connection()
    scene.missed("MemoryMax reached by another process of the service")


def test_when_the_service_takes_too_much_memory_a_capture_process_dies_and_not_the_daemon(scene: Scene) -> None:
    machine = scene.machine
    machine.wait_camera(condition="running")  # it has all the memory that it takes; the other one's process stands by
    pid, restarts = machine.main_pid, _restarts(machine)
    # Somebody whom the kernel spares takes what is left, and half of what a capture process has.
    anonymous = machine.vm.sh(f"sed -n 's/^RssAnon:\\s*\\([0-9]*\\) kB/\\1/p' /proc/{pid}/status")
    stat = dict(line.split() for line in machine.group("memory.stat").splitlines())
    daemon, everybody = int(anonymous) << 10, int(stat["anon"])
    much = MEMORY_MAX - everybody - int(stat["kernel"]) + (everybody - daemon) // 4
    join = "echo $$ > /sys/fs/cgroup/system.slice/edgecam.service/cgroup.procs; echo -999 > /proc/self/oom_score_adj"
    take = f"import time; taken = bytearray({much}); time.sleep(600)"
    before = machine.cursor()
    taker = machine.vm.sh(f"""sh -c '{join}; exec python3 -c "{take}"' >/dev/null 2>&1 & echo $!""")
    try:
        died = "ended by SIGKILL"
        machine.until(lambda: died in machine.journal(before), within=machine.within(15), what=died, explain=machine.journal)
    finally:
        machine.vm.sh(f"kill -KILL {taker}")
    scene.times.add("MemoryMax reached: picture after there is memory again within", scene.back(within=10))
    assert machine.main_pid == pid
    assert _restarts(machine) > restarts
    scene.visit.assert_same_connection()


def test_a_frozen_daemon_is_killed_by_systemds_watchdog_and_started_again(scene: Scene) -> None:
    pid = scene.machine.main_pid
    scene.machine.vm.sh(f"kill -STOP {pid}")
    frozen = time.monotonic()
    scene.machine.until(lambda: scene.machine.main_pid not in (0, pid), within=WATCHDOG_S + scene.machine.within(5), what="another process")
    scene.times.add("daemon frozen: another process after", time.monotonic() - frozen)
    assert "Watchdog timeout" in scene.machine.journal()
    scene.visit.wait_playing(within=RESTART_WITHIN)
    scene.missed("daemon frozen")
    scene.times.add("  of which from the start of the process to READY", scene.machine.start_seconds)


def test_a_camera_that_is_absent_at_the_start_is_waited_for(scene: Scene) -> None:
    scene.machine.vm.sh("systemctl stop edgecam; rmmod vivid; systemctl start edgecam", within=RESTART_WITHIN)
    scene.times.add("start without a camera: READY after", scene.machine.start_seconds)
    assert scene.machine.camera()["code"] == "camera-absent"
    assert scene.machine.get("/readyz")[0] == 503
    scene.machine.vm.sh("modprobe vivid")
    begun = time.monotonic()
    scene.visit.wait_playing(within=scene.machine.within(15))
    scene.times.add("camera that comes later: playing after", time.monotonic() - begun)


def test_after_a_reboot_the_same_page_has_its_picture_again(scene: Scene) -> None:
    begun = time.monotonic()
    scene.times.add("reboot: the machine answers after", scene.machine.vm.reboot())
    scene.visit.wait_playing(within=RESTART_WITHIN)
    scene.times.add("reboot: picture after", time.monotonic() - begun)
    scene.visit.assert_moving()
    scene.machine.wait_ready()


def _restarts(machine: CameraMachine) -> int:
    return int(machine.camera()["restarts"]) + int(machine.camera("back")["restarts"])


def _colourfulness(machine: CameraMachine, name: str) -> int:
    """How far the blue chroma of a snapshot reaches, 0…255."""
    code, picture = machine.get(f"/api/v1/cameras/{name}/snapshot.jpg")
    assert code == 200, picture
    with av.open(io.BytesIO(picture), "r") as file:
        chroma = bytes(next(file.decode(video=0)).reformat(format="yuv444p").planes[1])
    return max(chroma) - min(chroma)
