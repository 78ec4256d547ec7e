"""Real camera footage: the surveillance recording in Debian's opencv-doc, fetched once and never committed."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "footage"
NAME = "vtest.avi"
PACKAGE = "opencv-doc"


def surveillance_footage() -> Path:
    """The file, 768x576, ten frames a second. Raises when it is neither there nor to be had."""
    footage = CACHE / NAME
    if not footage.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory() as scratch:
            _fetch(Path(scratch), footage)
    return footage


def _fetch(scratch: Path, footage: Path) -> None:
    try:
        subprocess.run(["apt-get", "-qq", "download", PACKAGE], cwd=scratch, check=True, capture_output=True, text=True)
        (package,) = scratch.glob(f"{PACKAGE}_*.deb")
        subprocess.run(["dpkg", "-x", package, scratch / "tree"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        said = getattr(error, "stderr", "") or error
        raise RuntimeError(f"tests need {footage}, and Debian's {PACKAGE} cannot be fetched: {said}") from error
    found = next(iter((scratch / "tree").rglob(f"{NAME}*")), None)
    if found is None:
        raise RuntimeError(f"there is no {NAME} in {PACKAGE}")
    unfinished = footage.with_suffix(".part")
    if found.suffix == ".gz":
        with gzip.open(found) as packed, unfinished.open("wb") as file:
            shutil.copyfileobj(packed, file)
    else:
        shutil.copyfile(found, unfinished)
    unfinished.replace(footage)
