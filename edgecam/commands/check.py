"""`edgecam check-config` and `edgecam probe`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from edgecam.config import load, render_effective


def check_config(file: Path | None, *, show: bool, overrides: Mapping[str, object]) -> int:
    """Print that the file is right, or raise ConfigError; `show` prints every effective value and its origin."""
    loaded = load(file, overrides)
    if show:
        print(render_effective(loaded))
        return 0
    cameras = ", ".join(loaded.settings.camera) or "none"
    signaling = ", ".join(loaded.settings.signaling) or "none"
    print(f"{loaded.path}: right (cameras: {cameras}; signaling: {signaling})")
    return 0


def probe(*, as_json: bool) -> int:
    """Print cameras and encoders of this machine."""
    from edgecam.capture.probe import probe_report

    report = probe_report()
    print(json.dumps(report.as_dict(), indent=2) if as_json else report.render())
    return 0
