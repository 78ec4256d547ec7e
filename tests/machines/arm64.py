"""The packages on arm64, emulated by QEMU's user mode: `make deb-arm64`. Slow, so no part of `make test`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.machines.chroot import said, shell, within
from tests.machines.package import built
from tests.machines.trixie import OF_EDGECAM, unpacked

BINFMT = Path("/proc/sys/fs/binfmt_misc")
INTERPRETER = Path("/usr/bin/qemu-aarch64-static")
# An ELF file of 64 bits, little endian, for machine 0xb7, and which of these bits count. F: the kernel opens QEMU now, so
# that it is found in every tree.
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"

CHECK = """
apt-get -q -y --no-install-recommends install /packages/*.deb
uname -m | grep -x aarch64
edgecam --version
edgecam check-config
edgecam probe
python3 -c 'import edgecam.app.daemon, edgecam.server.app, edgecam.capture.child; print("imports")'
apt-get -q -y purge edgecam edgecam-server edgecam-common
"""


def main() -> None:
    """Prints what the commands said; raises when one failed."""
    _emulate()
    packages = built()
    # Nothing is booted: of systemd only what makes the users is needed.
    tree = unpacked("trixie-arm64", ["python3", "systemd-standalone-sysusers", *OF_EDGECAM], architecture="arm64")
    print(said(within(tree, *shell(CHECK), shared={packages.directory: "/packages"}, seconds=3000)))


def _emulate() -> None:
    """Have the kernel run programs for arm64, if it does not already."""
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], check=True)
    if any("aarch64" in entry.name for entry in BINFMT.iterdir()):
        return
    if not INTERPRETER.exists():
        sys.exit(f"there is no {INTERPRETER}: install qemu-user-static")
    (BINFMT / "register").write_text(f":qemu-aarch64:M::{MAGIC}:{MASK}:{INTERPRETER}:F")


if __name__ == "__main__":
    main()
