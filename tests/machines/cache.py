"""What takes minutes to make is made once, whoever asks, and kept under `.cache/machines/` by what went into it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "machines"


def key(parts: Iterable[str | bytes]) -> str:
    """Twelve hexadecimal digits that stand for all of `parts`, in their order."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()[:12]


def kept(name: str, wanted: str, make: Callable[[Path], None], saying: str) -> Path:
    """`.cache/machines/NAME-WANTED`, made by `make(directory)` if it is not there. Concurrent callers wait for the one that makes it.

    Older ones of the same name go, except those that a living process was given.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    made = CACHE / f"{name}-{wanted}"
    with _locked(CACHE / f"{name}.lock", fcntl.LOCK_EX):
        if not made.exists():
            print(f"{saying} ({made.relative_to(ROOT)})", file=sys.stderr, flush=True)
            unfinished = made.with_suffix(".part")
            _remove(unfinished)
            unfinished.mkdir()
            try:
                make(unfinished)
            except BaseException:
                _remove(unfinished)
                raise
            unfinished.rename(made)
            _forget_others(name, made)
    _hold(made)
    return made


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, seconds: float = 1800) -> str:
    """Standard output of a command that has to succeed; what it said is in the error when it does not."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, errors="replace", timeout=seconds)
    if done.returncode:
        said = (done.stdout + done.stderr)[-4000:]
        raise RuntimeError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{said}")
    return done.stdout


def need_root() -> None:
    """Raises, with a sentence, for anybody else."""
    if os.geteuid() != 0:
        raise RuntimeError("unpacking and running whole machines needs root")


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


# Directories that this process uses. The kernel lets go of them when it ends.
_held: dict[Path, int] = {}


def _hold(made: Path) -> None:
    if made not in _held:
        descriptor = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        _held[made] = descriptor


def _forget_others(name: str, made: Path) -> None:
    for other in CACHE.glob(f"{name}-????????????"):
        if other == made or other in _held:
            continue
        descriptor = os.open(other, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            _remove(other)
        finally:
            os.close(descriptor)


def _remove(tree: Path) -> None:
    """Never through a mount: a file system that somebody left mounted inside is an error, not something to empty."""
    if not tree.exists():
        return
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    inside = [point for point in mounted if point.startswith(f"{tree}/")]
    if inside:
        raise RuntimeError(f"cannot remove {tree}: mounted inside are {', '.join(inside)}")
    shutil.rmtree(tree)
