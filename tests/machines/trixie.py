"""A Debian 13 (trixie) root file system, unpacked once from the mirror that this machine's apt uses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.machines.cache import kept, key, need_root, run

SUITE = "trixie"
SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))

# What edgecam depends on or suggests, so that nothing has to be fetched when it is installed in a copy of the tree.
OF_EDGECAM = [
    "python3-aiohttp",
    "python3-aiortc",
    "python3-av",
    "python3-ifaddr",
    "python3-pydantic-settings",
    "python3-sdnotify",
    "python3-structlog",
    "python3-hiredis",
    "python3-libgpiod",
    "python3-paho-mqtt",
    "python3-redis",
    "python3-socketio",
    "python3-zeroconf",
]
# What a machine has, and what tests do there. autopkgtest and what it asks for are here so that one tree is enough.
OF_A_MACHINE = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "udev",
    "kmod",
    "python3",
    "iproute2",
    "curl",
    "ca-certificates",
    "v4l-utils",
    "procps",
    "bash-completion",
    "passwd",
    "autopkgtest",
    "dpkg-dev",
    "man-db",
]

# Documents and translations are most of the small files. The exclusion ends with the unpacking: what is installed later is whole.
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/lintian/*")


def tree() -> Path:
    """The unpacked tree, kept under `.cache/machines/`. Nobody writes into it: mount it read-only, or as an overlay's lower layer.

    Takes a minute the first time. Raises RuntimeError with what apt or mmdebstrap said.
    """
    return unpacked("trixie", [*OF_A_MACHINE, *OF_EDGECAM])


def unpacked(
    name: str,
    packages: Sequence[str],
    *,
    variant: str = "minbase",
    architecture: str = "",
    left_out: Sequence[str] = LEFT_OUT,
) -> Path:
    """A tree with `packages`, without what they recommend. `architecture` is Debian's word, this machine's when empty.

    `left_out` are patterns of files that are not unpacked.
    """
    need_root()
    mirror = apt_mirror()
    options = [
        "--mode=root",
        f"--variant={variant}",
        f"--include={','.join(packages)}",
        "--aptopt=Acquire::Languages none",
        "--aptopt=Acquire::Retries 3",
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in left_out),
        *([f"--architectures={architecture}"] if architecture else []),
        '--customize-hook=rm -f "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap "$1"/etc/apt/apt.conf.d/99mmdebstrap',
        # Each start makes its own; nothing of this machine stays inside.
        '--customize-hook=rm -f "$1"/etc/resolv.conf "$1"/etc/hostname',
        '--customize-hook=: >"$1"/etc/machine-id',
    ]

    def make(directory: Path) -> None:
        # Its processes and mounts end with it, however this one ends.
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        run(*alone, "mmdebstrap", "--quiet", *options, SUITE, directory, mirror)

    about = f" for {architecture}, some minutes" if architecture else ", about a minute"
    return kept(name, key([SUITE, mirror, *options]), make, f"unpacking Debian 13{about}")


def apt_mirror() -> str:
    """Address of the Debian mirror in this machine's apt sources, deb822 or one line each. Raises RuntimeError when there is none."""
    for file in SOURCES:
        text = file.read_text() if file.exists() else ""
        found = re.search(r"(?m)^URIs:\s*(\S+)", text) or re.search(r"(?m)^deb\s+(?:\[[^]]*\]\s*)?(\S+)", text)
        if found:
            return found[1]
    raise RuntimeError(f"no Debian mirror in {' or '.join(map(str, SOURCES))}")


def debian_architecture() -> str:
    """This machine's, in Debian's word: amd64, arm64."""
    return run("dpkg", "--print-architecture").strip()
