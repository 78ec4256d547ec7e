"""Programs for Node that tests run: their npm packages are installed once, outside the tree."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "node"
INSTALL_WITHIN = 300.0  # seconds


def with_packages(program: Path) -> Path:
    """A copy of `program` (a .mjs beside its package.json, versions pinned) where Node finds its packages. Raises RuntimeError."""
    wanted = program.with_name("package.json")
    home = CACHE / program.parent.name
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:  # tests of several modules may start at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        installed = home / "installed.json"
        if not installed.exists() or installed.read_text() != wanted.read_text():
            shutil.copyfile(wanted, home / "package.json")
            _install(home)
            shutil.copyfile(wanted, installed)
        for file in program.parent.glob("*.mjs"):
            shutil.copyfile(file, home / file.name)
    return home / program.name


def _install(home: Path) -> None:
    if shutil.which("npm") is None:
        raise RuntimeError("tests need npm and node: apt-get install npm")
    command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        subprocess.run(command, cwd=home, check=True, capture_output=True, text=True, timeout=INSTALL_WITHIN)
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", "") or error
        raise RuntimeError(f"npm cannot install what {home.name} needs: {said}") from error
