"""The governor as a service of the daemon: one, which goes on with other settings when they change."""

from __future__ import annotations

from pathlib import Path

from edgecam.app.services import Service
from edgecam.governors.governor import Governor
from edgecam.http.tokens import state_dir_of
from edgecam.jobs import Run
from edgecam.settings import Settings
from edgecam.web.context import WebContext


def governor_service(context: WebContext, root: Path) -> Service:
    """`root` is where `/sys` and `/proc` are found."""

    def build(settings: Settings) -> Run:
        if context.governor is None:
            state_dir = state_dir_of(settings)
            context.governor = Governor(settings.governor, state_dir, context.board, context.pipelines, context.viewers, root)
        else:
            context.governor.apply(settings.governor)
        return context.governor.run

    return Service("governor", lambda s: s.governor, build)
