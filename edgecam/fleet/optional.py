"""Libraries that only some need: imported when configured, with a sentence that says what to install when they are not there."""

from __future__ import annotations

import importlib.util

from edgecam.errors import ConfigError


def available(module: str) -> bool:
    """Whether it is installed; it is not imported, which would cost memory that perhaps nobody needs."""
    return importlib.util.find_spec(module) is not None


def require(module: str, *, wanted_by: str, package: str, extra: str) -> None:
    """Raises ConfigError unless `module` is installed; `package` is Debian's, `extra` ours."""
    if not available(module):
        raise ConfigError(
            f"{wanted_by} needs the Python package {module}", remedy=f"apt install {package}, or pip install 'edgecam[{extra}]'"
        )
