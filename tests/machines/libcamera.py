"""Real libcamera and real picamera2: Debian 13's libcamera, whose virtual cameras need no hardware, in a tree of its own.

Nothing is compiled but a few lines that stand for dma-buf. picamera2 is no package of Debian: it comes from PyPI, with the two
wheels that it cannot do without; `tests/fakes/picamera/` has the rest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.machines.cache import ROOT, kept, key, run
from tests.machines.trixie import unpacked

OF_EDGECAM = """
    python3-aiohttp python3-aiortc python3-av python3-ifaddr python3-pydantic-settings python3-sdnotify python3-structlog
""".split()  # noqa: SIM905
OF_PICAMERA2 = """
    python3-libcamera libcamera-ipa python3-numpy python3-pil python3-piexif python3-prctl python3-jsonschema python3-tqdm
    python3-libarchive-c
""".split()  # noqa: SIM905
WHEELS = ("picamera2==0.3.38", "simplejpeg==1.9.0", "videodev2==0.0.4")
PYTHON = "3.13"  # the tree's
FAKES = ROOT / "tests" / "fakes"
CAMERAS = """%YAML 1.1
---
"front":
  supported_formats:
  - {width: 640, height: 480, frame_rates: [5, 30]}
  - {width: 320, height: 240, frame_rates: [5, 30]}
  test_pattern: "lines"
  location: "CameraLocationFront"
  model: "striped"
"back":
  supported_formats:
  - {width: 640, height: 480, frame_rates: [5, 30]}
  test_pattern: "bars"
  location: "CameraLocationBack"
  model: "barred"
"""
# The tree under a layer that ends with the command, this machine's network, processes, and /tmp; $1 tree, $2 cameras, $3 sources.
ENTER = """
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
mkdir -p /mnt/root/usr/share/libcamera/pipeline/virtual "/mnt/root$3"
cp "$2" /mnt/root/usr/share/libcamera/pipeline/virtual/virtual.yaml
for shared in /proc /sys /dev /tmp "$3"; do mount --rbind "$shared" "/mnt/root$shared"; done
shift 3
# Were libcamera's tracing library loaded with libcamera, it would wait for threads of its own, and they, in a function that
# another LD_PRELOAD interposes, for the end of the loading.
exec chroot /mnt/root env LD_PRELOAD="liblttng-ust.so.1:${LD_PRELOAD:-}" "$@"
"""


def tree() -> Path:
    """A Debian 13 with libcamera and what edgecam and picamera2 need. Some 45 s of work the first time."""
    return unpacked("libcamera", [*OF_EDGECAM, *OF_PICAMERA2])


def picamera2() -> Path:
    """A directory for PYTHONPATH with picamera2 in it, and the library that stands for dma-buf."""
    source = (FAKES / "fakedma.c").read_bytes()

    def make(directory: Path) -> None:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--python-version", PYTHON]
        with TemporaryDirectory() as wheels:
            run(*pip, "-d", wheels, *WHEELS)
            for wheel in Path(wheels).iterdir():
                zipfile.ZipFile(wheel).extractall(directory)
        (directory / "cameras.yaml").write_text(CAMERAS)
        run("gcc", "-shared", "-fPIC", "-O2", "-Wall", "-o", directory / "fakedma.so", FAKES / "fakedma.c", "-ldl")

    return kept("picamera2", key([*WHEELS, PYTHON, CAMERAS, source]), make, "fetching picamera2")


def python() -> list[str]:
    """The command that is the tree's Python, which sees this machine's network, processes and /tmp."""
    return ["unshare", "--mount", "sh", "-c", ENTER, "sh", str(tree()), str(picamera2() / "cameras.yaml"), str(ROOT), "python3"]


def environment() -> dict[str, str]:
    """What that Python needs to see picamera2 and this edgecam."""
    packages = picamera2()
    path = os.pathsep.join(map(str, (ROOT, packages, FAKES / "picamera")))
    return {"PYTHONPATH": path, "LD_PRELOAD": str(packages / "fakedma.so"), "LC_ALL": "C.UTF-8"}


def run_python(*arguments: str, extra: Mapping[str, str] | None = None, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Whatever it says, the caller judges."""
    whole = {**os.environ, **environment(), **(extra or {})}
    return subprocess.run([*python(), *arguments], env=whole, capture_output=True, text=True, timeout=seconds)
