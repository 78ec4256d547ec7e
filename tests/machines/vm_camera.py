"""edgecam, installed from its package, as a service of a virtual machine whose cameras are the kernel's own: its driver vivid."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.harness.daemons import toml
from tests.harness.waiting import until
from tests.machines.package import installed
from tests.machines.vm import ADDRESS, VirtualMachine, disk_for, virtual_machine
from tests.machines.vm_disk import Disk

T = TypeVar("T")

PORT = 8088
TOKEN = "of-this-machine-and-no-other"
ACCESS = {"Authorization": f"Bearer {TOKEN}"}

SELDOM = 1.0  # seconds between two looks: to answer takes an emulated processor a good part of one
EMULATED = 10  # times as patient, see CameraMachine.within

# Of one model and one platform device, so that Debian's rules give both the same link. One of ours tells them apart.
FRONT = "/dev/v4l/by-path/vivid-000-vid-cap"
BACK = "/dev/v4l/by-path/vivid-001-vid-cap"
DRIVER = "/sys/bus/platform/drivers/vivid"
# Emulated processors encode: small pictures, few of them.
CAMERA = {
    "source": "v4l2",
    "width": 320,
    "height": 180,
    "fps": 5,
    "bitrate_kbps": 400,
    "renditions": 1,
    # What is given up while it still loads is loaded once more.
    "start_timeout": 120,
    "stall_timeout": 8,
}
CONFIG = {
    "web": {"listen": f"0.0.0.0:{PORT}", "token": TOKEN},
    "camera": {"front": {**CAMERA, "device": FRONT}, "back": {**CAMERA, "device": BACK, "capture": "on-demand"}},
}
# node_types: webcams, and none of the other thirty nodes. Both pictures move; the second's is a ramp of grays.
FILES = {
    "/etc/edgecam/edgecam.toml": toml(CONFIG),
    "/etc/modules-load.d/devices.conf": "vivid\nsnd-aloop\n",
    "/etc/modprobe.d/vivid.conf": "options vivid n_devs=2 node_types=0x1,0x1\n",
    "/etc/udev/rules.d/99-vivid.rules": (
        'ACTION!="add", GOTO="end"\nSUBSYSTEM!="video4linux", GOTO="end"\nATTR{name}!="vivid-*", GOTO="end"\n'
        'SYMLINK+="v4l/by-path/$attr{name}", RUN+="/usr/bin/v4l2-ctl -d $devnode -c horizontal_movement=6"\n'
        'ATTR{name}=="vivid-001-*", RUN+="/usr/bin/v4l2-ctl -d $devnode -c test_pattern=20"\nLABEL="end"\n'
    ),
    # Python takes twenty times as long to load, and other things may run beside the emulation.
    "/etc/systemd/system/edgecam.service.d/emulated.conf": "[Service]\nTimeoutStartSec=300\n",
    # The package brings the signaling server too; what is tested here is the daemon.
    "/etc/systemd/system/edgecam-server.service.d/away.conf": "[Unit]\nConditionPathExists=/no/such/file\n",
}


class CameraMachine:
    """The virtual machine as who runs it sees it: systemctl inside, HTTP from outside."""

    def __init__(self, vm: VirtualMachine) -> None:
        self.vm = vm
        self._config = toml(CONFIG)

    def within(self, seconds: float) -> float:
        """A bound in seconds where processors are real, and what may be asked of emulated ones on a machine that does other things too."""
        return seconds * EMULATED if self.vm.emulated else seconds

    @staticmethod
    def until(
        ask: Callable[[], T | None], *, within: float, what: str, explain: Callable[[], object] = lambda: ""
    ) -> T:
        """As `until` of the harness, without keeping the machine busy by asking."""
        return until(ask, within=within, what=what, explain=explain, interval=SELDOM)

    # over the network, from the other end of the cable

    def get(self, path: str, within: float = 10.0) -> tuple[int, bytes]:
        """Status and body. Raises OSError when nobody answers."""
        with self.vm.outside.inside():
            connection = http.client.HTTPConnection(ADDRESS, PORT, timeout=within)
            try:
                connection.request("GET", path, headers=ACCESS)
                with connection.getresponse() as response:
                    return response.status, response.read()
            finally:
                connection.close()

    def camera(self, name: str = "front") -> dict[str, Any]:
        """Its part of /api/v1/status."""
        (found,) = [camera for camera in self.status()["cameras"] if camera["name"] == name]
        assert isinstance(found, dict)
        return found

    def status(self) -> dict[str, Any]:
        code, body = self.get("/api/v1/status")
        assert code == 200, body
        document = json.loads(body)
        assert isinstance(document, dict)
        return document

    def wait_camera(self, name: str = "front", within: float = 15.0, **fields: object) -> dict[str, Any]:
        """Until its status holds these values, the daemon's being away meanwhile included."""

        def look() -> dict[str, Any] | None:
            try:
                camera = self.camera(name)
            except (OSError, http.client.HTTPException):
                return None
            return camera if all(camera[key] == value for key, value in fields.items()) else None

        return self.until(look, within=self.within(within), what=f"camera {name} with {fields}", explain=self.journal)

    def wait_ready(self, within: float = 30.0) -> None:
        """Until /readyz says 200: every camera gives pictures."""

        def ready() -> bool:
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.get("/readyz")[0] == 200
            return False

        self.until(ready, within=within, what="ready", explain=self.journal)

    @staticmethod
    def link(camera: str) -> str:
        """The viewer page, as a person opens it."""
        return f"http://{ADDRESS}:{PORT}/view/{camera}?token={TOKEN}"

    # with systemctl, inside

    def show(self, what: str) -> str:
        """A property of edgecam.service."""
        return self.vm.sh(f"systemctl show edgecam --property={what} --value")

    @property
    def main_pid(self) -> int:
        return int(self.show("MainPID"))

    @property
    def start_seconds(self) -> float:
        """From the start of the process to its READY, the last time."""
        times = self.vm.sh("systemctl show edgecam -p ExecMainStartTimestampMonotonic -p ActiveEnterTimestampMonotonic")
        micros = {name: int(value) for name, _, value in (line.partition("=") for line in times.splitlines())}
        return (micros["ActiveEnterTimestampMonotonic"] - micros["ExecMainStartTimestampMonotonic"]) / 1e6

    def run_with(self, config: Mapping[str, Any]) -> None:
        """The daemon runs with these tables; started anew, which takes half a minute of a processor, only where it does not yet."""
        if (wanted := toml(config)) == self._config and self.show("ActiveState") == "active":
            return
        self.vm.write("/etc/edgecam/edgecam.toml", wanted)
        self._config = wanted
        self.vm.sh("systemctl restart edgecam", within=240)

    def wait_active(self, within: float = 240.0) -> None:
        """Until systemd has READY."""
        self.until(lambda: self.show("ActiveState") == "active", within=within, what="edgecam active", explain=self.journal)

    def journal(self, since: str = "") -> str:
        """What the service said last; everything since a `cursor` when one is given."""
        what = [f"--after-cursor={since}"] if since else ["--lines=30"]
        return self.vm.run("journalctl", "--unit=edgecam", "--no-pager", "--output=short-monotonic", *what).out

    def cursor(self) -> str:
        """This moment in the journal."""
        return self.vm.sh("journalctl --no-pager --lines=1 --show-cursor --output=cat | sed -n 's/^-- cursor: //p'")

    def group(self, name: str) -> str:
        """A file of the service's control group."""
        return self.vm.sh(f"cat /sys/fs/cgroup/system.slice/edgecam.service/{name}")

    # the driver

    def control(self, node: str, **values: int) -> None:
        """Set controls of a camera, buttons with 1: vivid's are its faults."""
        self.vm.sh(f"v4l2-ctl -d {node} -c " + ",".join(f"{name}={value}" for name, value in values.items()))

    def unbind(self) -> None:
        """All cameras are pulled out: their nodes are gone when this returns."""
        self.vm.sh(f"echo vivid.0 > {DRIVER}/unbind; udevadm settle; test ! -e {FRONT}")

    def bind(self) -> None:
        """They are plugged in."""
        self.vm.sh(f"echo vivid.0 > {DRIVER}/bind")


def camera_disk() -> Disk:
    """What it starts from: made the first time, in a minute or two."""
    return disk_for(installed(), FILES)


@contextmanager
def camera_machine() -> Iterator[CameraMachine]:
    """Switched on; it may still be starting."""
    with virtual_machine(camera_disk()) as vm:
        yield CameraMachine(vm)
