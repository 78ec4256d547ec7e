"""What the daemon's sandbox opens, tried with a real kernel, its drivers, udev, the installed unit, and Debian's own PyAV.

On the machine of tests/machines/test_vivid.py, and after it: edgecam is stopped here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.machines.vm import VirtualMachine
from tests.machines.vm_camera import CameraMachine

pytestmark = pytest.mark.timeout(600)  # the first one may have a Debian to unpack

OPEN = """
for node in "$@"; do
  [ -e "$node" ] || echo "$node is absent"
  said=$( (exec 3<>"$node") 2>&1 ) && echo "$node opens" && continue
  case $said in
    *"No such device or address") echo "$node has nothing behind it" ;;
    *) echo "$node refused" ;;
  esac
done
"""
HEAR = """
from edgecam.capture.sound import Microphone
microphone = Microphone("plughw:CARD=Dummy")
print(microphone.open())
heard = microphone.chunks()
print(sum(next(heard).frame.samples for _ in range(10)) > 0, flush=True)
"""
CAMERA = ("/dev/video0", "/dev/media0", "/dev/dma_heap/system")
SOUND = ("/dev/snd/controlC0", "/dev/snd/pcmC0D0c")
GPIO = "/dev/gpiochip9"
OTHERS = ("/dev/vda", "/dev/mem", "/dev/kmsg", "/dev/ttyS0", "/dev/fuse", "/dev/input/event0")
# Debian's kernel simulates no GPIO chip. The node of a chip that is not there is let through by the sandbox, to a kernel that then
# says so. What must stay closed may be opened by everybody, so that nothing but the sandbox can refuse it.
NODES = f"""
mknod {GPIO} c "$(awk '$2 == "gpiochip" {{print $1}}' /proc/devices)" 9
chgrp gpio {GPIO}
chmod 660 {GPIO}
chmod 666 {" ".join(OTHERS)}
"""
UNIT = "edgecam@probe"


def instead(command: str) -> str:
    """An instance of the unit with everything in it but what it starts."""
    return f"[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\nExecStart=\nExecStart={command}\n"


@pytest.fixture(scope="module")
def machine(emulated: CameraMachine) -> Iterator[VirtualMachine]:
    machine = emulated.vm
    machine.sh("systemctl stop edgecam; modprobe snd-dummy; udevadm settle", 120)
    machine.write("/usr/local/lib/open.sh", OPEN)
    machine.write("/usr/local/lib/hear.py", HEAR)
    machine.sh(f"mkdir -p /etc/systemd/system/{UNIT}.service.d")
    yield machine
    machine.sh(f"rm -r /etc/systemd/system/{UNIT}.service.d; systemctl daemon-reload", 120)


def inside_the_sandbox(machine: VirtualMachine, command: str) -> list[str]:
    """Lines that it printed."""
    machine.write(f"/etc/systemd/system/{UNIT}.service.d/instead.conf", instead(command))
    begun = machine.sh("journalctl --no-pager --lines=1 --show-cursor --output=cat | sed -n 's/^-- cursor: //p'")
    machine.sh("systemctl daemon-reload")
    done = machine.run("systemctl", "start", UNIT, within=120)
    said = machine.sh(f"journalctl --sync; journalctl -u {UNIT} -o cat _TRANSPORT=stdout --after-cursor='{begun}' --no-pager", 60)
    assert done.code == 0, said
    return said.splitlines()


def test_cameras_libcameras_buffers_sound_and_gpio_open_and_nothing_else_does(machine: VirtualMachine) -> None:
    machine.sh(NODES)
    said = inside_the_sandbox(machine, f"/bin/sh /usr/local/lib/open.sh {' '.join((*CAMERA, *SOUND, GPIO, *OTHERS))}")
    opens = [f"{node} opens" for node in (*CAMERA, *SOUND)]
    assert said == [*opens, f"{GPIO} has nothing behind it", *(f"{node} refused" for node in OTHERS)]


def test_a_microphone_is_heard_through_debians_own_pyav(machine: VirtualMachine) -> None:
    *_, opened, heard = inside_the_sandbox(machine, "/usr/bin/python3 /usr/local/lib/hear.py")
    assert opened.startswith("ALSA plughw:CARD=Dummy (48000 Hz")
    assert heard == "True"
