"""On what and with what it was measured."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

from tests.bench.scene import CAMERA, Scene


def _busy(seconds: float) -> float:
    """The share of all cores that somebody uses now, in percent; the idle scene's part is small."""

    def look() -> tuple[int, int]:
        times = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(times), times[3] + times[4]  # idle and waiting for a disk

    before = look()
    time.sleep(seconds)
    total, idle = (after - earlier for after, earlier in zip(look(), before, strict=True))
    return 100 * (1 - idle / total) if total else 0.0


def conditions(scene: Scene) -> dict[str, str]:
    """For people; one line each."""
    with scene.browser.visit("about:blank") as visit:
        agent = str(visit.page.evaluate("navigator.userAgent"))
    chromium = re.search(r"Chrome/([\d.]+)", agent)
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiortc", "aioice", "av", "aiohttp"))
    return {
        "processor": f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "packages": packages,
        "browser": f"Chromium {chromium[1] if chromium else 'unknown'}, headless, on loopback",
        "before": f"{_busy(2.0):.0f} % of the processor busy, the capturing included",
        "picture": f"{CAMERA['width']}x{CAMERA['height']}, {CAMERA['fps']} fps, {CAMERA['bitrate_kbps']} kbit/s asked of the"
        f" encoder, {scene.daemon.camera()['bitrate_bps'] / 1000:.0f} needed",
    }


def commit() -> str:
    """Of which state of the code; says when it is not exactly a commit."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=8"]
    said = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    return f"commit {said.stdout.strip()}" if said.returncode == 0 else "no commit"
