"""What a virtual machine starts from: Debian's kernel, an initrd that mounts one disk, and the disk, made from a tree without mounting."""

from __future__ import annotations

import gzip
import lzma
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.machines import vm_agent
from tests.machines.cache import kept, key, run
from tests.machines.trixie import debian_architecture, unpacked
from tests.machines.vm_cpio import Archive

AGENT_PORT = "edgecam.tests"
DISK_SIZE = "3G"  # sparse; what a machine writes goes into an overlay that ends with it
# That the kernel needs to reach its disk; ext4 asks for the second one by name.
DISK_MODULES = ("virtio_blk", "crc32c_generic", "ext4")

INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sysfs /sys; $B mount -t devtmpfs dev /dev
for module in /modules/*; do $B insmod $module; done
until [ -b /dev/vda ]; do $B usleep 10000; done
$B mount -t ext4 -o noatime /dev/vda /root
$B mount --move /dev /root/dev; $B umount /proc /sys
exec $B switch_root /root /usr/lib/systemd/systemd
"""
AGENT_UNIT = f"""[Unit]
Description=Does what tests say
[Service]
ExecStart=/usr/bin/python3 -ISB /usr/local/lib/vm_agent.py {AGENT_PORT}
[Install]
WantedBy=multi-user.target
"""
# A machine of a test: nobody logs in, nothing is updated, its only interface has one address.
MASKED = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "logrotate.timer",
    "man-db.timer",
    "getty@.service",
    "serial-getty@.service",
    "systemd-resolved.service",
    "systemd-networkd-persistent-storage.service",
]
# systemd's own: nothing has to be made anew because /usr has changed.
UP_TO_DATE = ("/etc/.updated", "/var/.updated")
WANTED = {"multi-user.target": ("systemd-networkd.service", "vm-agent.service")}


@dataclass(frozen=True, slots=True)
class Disk:
    """Files for QEMU, which does not change them."""

    kernel: Path
    initrd: Path
    image: Path


def kernel_layer() -> Path:
    """Debian's kernel with all its modules, and a busybox for the initrd: unpacked, not installed."""
    return unpacked("kernel", [f"linux-image-{debian_architecture()}", "busybox-static"], variant="extract")


def disk_of(tree: Path, address: str, gateway: str, files: Mapping[str, str]) -> Disk:
    """A disk with what is in `tree`, the modules, the agent and `files` (text by absolute path). Made once for each.

    The tree and the cache have to be on one file system: files are linked, not copied.
    """
    kernel = kernel_layer()
    all_files = {**_own_files(address, gateway), **files}
    source = Path(__file__).read_text()
    wanted = key([tree.name, kernel.name, source, *(text for pair in sorted(all_files.items()) for text in pair)])

    def make(directory: Path) -> None:
        stage = directory / "stage"
        run("cp", "-al", tree, stage)
        (version,) = (kernel / "usr/lib/modules").iterdir()
        (stage / "usr/lib/modules").mkdir(parents=True, exist_ok=True)
        run("cp", "-al", version, stage / "usr/lib/modules")
        run("chroot", stage, "depmod", version.name)
        for path, text in all_files.items():
            _write(stage / path.lstrip("/"), text)
        _choose_units(stage)
        (directory / "initrd").write_bytes(_initrd(kernel, stage / "usr/lib/modules" / version.name))
        shutil.copy(kernel / f"boot/vmlinuz-{version.name}", directory / "vmlinuz")
        run("mke2fs", "-q", "-t", "ext4", "-d", stage, directory / "disk.ext4", DISK_SIZE)
        shutil.rmtree(stage)

    made = kept("vm", wanted, make, "making the disk of a virtual machine")
    return Disk(made / "vmlinuz", made / "initrd", made / "disk.ext4")


def _own_files(address: str, gateway: str) -> dict[str, str]:
    network = f"[Match]\nName=eth*\n[Network]\nAddress={address}\nGateway={gateway}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    return {
        "/etc/hostname": "vm\n",
        "/etc/hosts": "127.0.0.1 localhost\n127.0.1.1 vm\n",
        "/etc/fstab": "/dev/vda / ext4 noatime 0 0\n",
        "/etc/systemd/network/10-eth.network": network,
        "/etc/systemd/system/vm-agent.service": AGENT_UNIT,
        "/usr/local/lib/vm_agent.py": Path(vm_agent.__file__).read_text(),
        **dict.fromkeys(UP_TO_DATE, ""),
    }


def _write(path: Path, text: str) -> None:
    """Never through a hard link: the other name of the file is in the cached tree."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(text)


def _choose_units(stage: Path) -> None:
    units = stage / "etc/systemd/system"
    for name in MASKED:
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    for target, names in WANTED.items():
        wants = units / f"{target}.wants"
        wants.mkdir(exist_ok=True)
        for name in names:
            home = units if (units / name).exists() else Path("/usr/lib/systemd/system")
            (wants / name).unlink(missing_ok=True)
            (wants / name).symlink_to(f"/{(home / name).relative_to(stage)}" if home == units else home / name)


def _initrd(kernel: Path, modules: Path) -> bytes:
    """Two megabytes instead of the distribution's forty, which emulation would take seconds to unpack."""
    archive = Archive()
    for name in ("bin", "modules", "proc", "sys", "dev", "root"):
        archive.directory(name)
    archive.file("bin/busybox", (kernel / "usr/bin/busybox").read_bytes(), executable=True)
    for number, module in enumerate(_needed(modules)):
        archive.file(f"modules/{number:02}-{module.stem}", _unpacked_module(module))
    archive.file("init", INIT.encode(), executable=True)
    return gzip.compress(archive.finished(), 1)


def _needed(modules: Path) -> list[Path]:
    """The modules of DISK_MODULES after what they depend on."""
    depends: dict[str, list[str]] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        name, _, needs = line.partition(":")
        depends[name] = needs.split()
    found: list[str] = []
    for wanted in DISK_MODULES:
        (path,) = [name for name in depends if Path(name).name.split(".")[0] == wanted]
        # The file lists what comes later first.
        found += [name for name in [*reversed(depends[path]), path] if name not in found]
    return [modules / name for name in found]


def _unpacked_module(path: Path) -> bytes:
    packed = path.read_bytes()
    return lzma.decompress(packed) if path.suffix == ".xz" else packed
