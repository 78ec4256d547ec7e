"""`edgecam check-config` and `edgecam probe`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from edgecam.config import LoadedConfig, load, render_effective
from edgecam.errors import ConfigError, FatalError


def check_config(
    file: Path | None, *, show: bool, overrides: Mapping[str, object], plan: bool = False, json_schema: bool = False
) -> int:
    """Print that the file is right, or raise ConfigError. `show` prints every effective value and its origin, `plan` what a
    reload would change, `json_schema` the schema for editors, for which no file is needed."""
    if json_schema:
        from edgecam.config.jsonschema import render

        print(render(), end="")
        return 0
    loaded = load(file, overrides)
    if plan:
        return _show_plan(file, overrides, loaded)
    if show:
        print(render_effective(loaded), end="")
        return 0
    cameras = ", ".join(loaded.settings.camera) or "none"
    signaling = ", ".join(loaded.settings.signaling) or "none"
    print(f"{loaded.path}: right (cameras: {cameras}; signaling: {signaling})")
    return 0


def _show_plan(file: Path | None, overrides: Mapping[str, object], loaded: LoadedConfig) -> int:
    """As the running daemon sees it: it knows what runs, and has the environment and the credentials that count. It may listen
    somewhere else than the file says by now, and want another token."""
    from edgecam.commands.query import ask
    from edgecam.commands.running import last_good

    refusals: list[FatalError] = []
    for settings in (loaded.settings, *last_good(file, overrides)):
        try:
            found = json.loads(ask(settings, "/api/v1/configuration/preview"))
            break
        except FatalError as error:
            refusals.append(error)
    else:
        raise refusals[0]
    if loaded.path is not None and Path(found["file"]).resolve() != loaded.path.resolve():
        raise ConfigError(f"the running daemon has another file: {found['file']}", remedy="name that one")
    if found["problem"]:
        raise ConfigError(found["problem"])
    print("\n".join(found["changes"]) or "nothing would change")
    return 0


def probe(*, as_json: bool) -> int:
    """Print cameras and encoders of this machine."""
    from edgecam.capture.probe import probe_report

    report = probe_report()
    print(json.dumps(report.as_dict(), indent=2) if as_json else report.render())
    return 0
