"""A Debian 13 machine with its own kernel, under QEMU: what a container cannot show. Drivers, MemoryMax, watchdogs, reboots.

It has one network cable, to a namespace of this machine, in which browsers and servers of a test live. It starts from a disk
that it does not change: what it writes is gone when it is left, and still there after a reboot inside.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.machines.cache import need_root
from tests.machines.vm_disk import AGENT_PORT, Disk, disk_of
from tests.machines.vm_line import Done, Line, MachineError
from tests.network.namespaces import Machine, machine

ADDRESS = "192.168.9.2"
NEIGHBOUR = "192.168.9.1"  # the namespace's end of the cable
TUN = Path("/dev/net/tun")
TAP = "vm0"
MAC = "52:54:00:ed:9e:ca"
MEMORY_MB = 1024
BOOT_WITHIN = 400.0  # seconds; emulated, on processors that are mostly somebody else's
END_WITHIN = 5.0
KERNEL_ARGUMENTS = (
    "root=/dev/vda rw console=ttyS0 quiet loglevel=4 panic=5 mitigations=off random.trust_cpu=on net.ifnames=0 "
    "systemd.show_status=0 tsc=reliable"
)


class VirtualMachine:
    """A running one. Its console is in `console`, for people who look for what went wrong."""

    def __init__(
        self, line: Line, process: subprocess.Popen[bytes], outside: Machine, console: Path, *, emulated: bool
    ) -> None:
        self.line = line
        self.outside = outside
        self.console = console
        self.emulated = emulated  # its processors are: everything takes some twenty times as long
        self._process = process

    def wait_boot(self, number: int = 1, within: float = BOOT_WITHIN) -> None:
        """Until it has come up so many times since it was started."""
        try:
            self.line.wait_boot(number, within)
        except MachineError as error:
            raise MachineError(f"{error}; its console ends with:\n{self._last_words()}") from None

    def run(self, *command: str, stdin: str = "", within: float = 30.0) -> Done:
        """A command as root, to its end."""
        return self.line.run(*command, stdin=stdin, within=within)

    def sh(self, script: str, within: float = 30.0) -> str:
        """What a script that has to succeed printed, without the last newline."""
        done = self.run("/bin/sh", "-eu", stdin=script, within=within)
        if done.code:
            raise MachineError(f"{script}: exit code {done.code}\n{done.out}{done.err}")
        return done.out.rstrip("\n")

    def write(self, path: str, text: str) -> None:
        """Replace a file inside."""
        done = self.run("/usr/bin/tee", path, stdin=text)
        if done.code:
            raise MachineError(f"cannot write {path}: {done.err}")

    def reboot(self, within: float = BOOT_WITHIN) -> float:
        """`systemctl reboot`; seconds until the agent answers again."""
        begun, number = time.monotonic(), self.line.boots
        self.run("systemctl", "reboot", "--no-block")
        self.wait_boot(number + 1, within)
        return time.monotonic() - begun

    @property
    def pid(self) -> int:
        """QEMU's."""
        return self._process.pid

    def _last_words(self) -> str:
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-30:])


def disk_for(tree: Path, files: Mapping[str, str]) -> Disk:
    """What a machine made of `tree` and `files` starts from."""
    return disk_of(tree, f"{ADDRESS}/24", NEIGHBOUR, files)


@contextmanager
def virtual_machine(disk: Disk) -> Iterator[VirtualMachine]:
    """A machine, switched on: `wait_boot` says when it is up. Gone at the end, without a word to it."""
    need_root()
    if not TUN.exists():
        raise MachineError(f"{TUN} is not there: a virtual machine's network cable needs it (modprobe tun; docker run --device {TUN})")
    emulated = not kvm_works(disk.kernel)
    with machine("vm") as outside, TemporaryDirectory(prefix="edgecam-vm-") as scratch:
        outside.ip("tuntap", "add", TAP, "mode", "tap")
        outside.ip("address", "add", f"{NEIGHBOUR}/24", "dev", TAP)
        outside.ip("link", "set", TAP, "up")
        agent, console = Path(scratch) / "agent", Path(scratch) / "console"
        with outside.inside():
            process = subprocess.Popen(
                [*_DIE_WITH_US, *_qemu(disk, agent, console, emulated=emulated)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, "TMPDIR": scratch},  # of what it writes over the disk
            )
        try:
            line = _line(agent, process)
            try:
                yield VirtualMachine(line, process, outside, console, emulated=emulated)
            finally:
                line.close()
        finally:
            _end(process)


# Also when the test run itself is killed.
_DIE_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")


def _qemu(disk: Disk, agent: Path, console: Path, *, emulated: bool) -> list[str]:
    return [
        "qemu-system-x86_64",
        *("-accel", "tcg,thread=multi,tb-size=512" if emulated else "kvm"),
        *("-machine", "q35", "-cpu", "max", "-smp", "2", "-m", str(MEMORY_MB), "-nodefaults", "-display", "none"),
        *("-kernel", str(disk.kernel), "-initrd", str(disk.initrd), "-append", KERNEL_ARGUMENTS),
        *("-drive", f"file={disk.image},format=raw,if=virtio,snapshot=on,cache=unsafe"),
        *(
            "-netdev",
            f"tap,id=net0,ifname={TAP},script=no,downscript=no",
            "-device",
            f"virtio-net-pci,netdev=net0,mac={MAC}",
        ),
        *("-device", "virtio-rng-pci", "-device", "virtio-serial-pci"),
        *("-chardev", f"socket,id=agent,path={agent},server=on,wait=off"),
        *("-device", f"virtserialport,chardev=agent,name={AGENT_PORT}"),
        *("-serial", f"file:{console}"),
    ]


@lru_cache(maxsize=1)
def kvm_works(kernel: Path) -> bool:
    """Whether a kernel really starts with it: there are machines that have /dev/kvm and fail at the first register."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    command = (
        "qemu-system-x86_64 -accel kvm -machine q35 -cpu max -m 256 -nodefaults -display none -serial stdio -no-reboot"
    )
    words = [*command.split(), "-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"]
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
        return b"Linux version" in done.stdout
    return False


def _line(path: Path, process: subprocess.Popen[bytes]) -> Line:
    try:
        return Line(path, END_WITHIN)
    except MachineError:
        process.kill()
        said = process.stderr.read().decode(errors="replace") if process.stderr is not None else ""
        raise MachineError(f"QEMU does not run: {said}") from None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(END_WITHIN)
    finally:
        if process.stderr is not None:
            process.stderr.close()
