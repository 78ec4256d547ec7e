"""`python -m tests.governors.hot ROOT FILE`: `edgecam run --config FILE` on a machine whose sensors are under ROOT."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecam import logs
from edgecam.app.configuration import Configuration
from edgecam.app.daemon import run_daemon
from edgecam.commands.daemon import announce, until_signalled
from tests.daemon.reloading import Reloadable


class HotDaemon(Reloadable):
    """The daemon with sensors of the test."""

    module = "tests.governors.hot"

    def __init__(self, root: Path, config: Mapping[str, Any], state_dir: Path, **options: Any) -> None:
        super().__init__(config, state_dir, **options)
        self.arguments = [str(root), str(self.file)]


def main(root: str, file: str) -> int:
    configuration = Configuration(Path(file), {})
    beginning = configuration.begin()
    settings = beginning.loaded.settings
    logs.configure(settings.log)
    return until_signalled(run_daemon(settings, on_open=announce, reload=(configuration, beginning), root=Path(root)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
