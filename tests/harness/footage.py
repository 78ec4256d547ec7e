"""Real camera footage: the surveillance recording in Debian's opencv-doc, fetched once and never committed."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av

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


def busy_footage() -> Path:
    """The same as 1280x720 at 30 frames a second, three times as fast: hard to encode in 2 Mbit/s. Made once."""
    busy = CACHE / "busy-720p30.mkv"
    if not busy.exists():
        source = surveillance_footage()
        unfinished = busy.with_suffix(".part")
        with av.open(str(source)) as film, av.open(str(unfinished), "w", format="matroska") as made:
            stream = made.add_stream("mpeg4", rate=30, options={"qscale": "3", "flags": "+qscale"})
            stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
            for number, frame in enumerate(film.decode(video=0)):
                picture = frame.reformat(1280, 720, "yuv420p")
                picture.pts, picture.time_base = number, Fraction(1, 30)
                made.mux(stream.encode(picture))
            made.mux(stream.encode(None))
        unfinished.replace(busy)
    return busy
