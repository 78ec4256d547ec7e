"""Who has a device open, as the kernel knows it."""

from __future__ import annotations

import contextlib
from pathlib import Path


def holders(device: Path) -> set[int]:
    """The processes with a descriptor of that node; also of one that was replaced or deleted under the same name."""
    return {int(process.name) for process in Path("/proc").glob("[0-9]*") if _holds(process, str(device))}


def _holds(process: Path, device: str) -> bool:
    with contextlib.suppress(OSError):  # it may end while it is looked at
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()).removesuffix(" (deleted)") == device:
                    return True
    return False
