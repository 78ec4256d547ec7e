"""Shared objects for LD_PRELOAD, compiled when they are needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path


def build_library(source: Path, cache_dir: Path, packages: str) -> Path:
    """That C file as a shared object in `cache_dir`, unless it is there. Raises, with what to install, when it cannot be made."""
    library = cache_dir / f"{source.stem}-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}.so"
    if library.exists():
        return library
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise RuntimeError(f"{source.name} needs a C compiler: {packages}")
    cache_dir.mkdir(parents=True, exist_ok=True)
    unfinished = library.with_suffix(f".{os.getpid()}")
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(unfinished), str(source), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{source.name} cannot be built; {packages}\n{done.stderr}")
    unfinished.replace(library)
    return library
