"""Who may watch: which camera, whether it is private, whether there is room for one more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from edgecam.errors import ViewerRefusedError
from edgecam.media.pipeline import Pipeline
from edgecam.settings import ViewerSettings


class Admission:
    """`pipelines` may change meanwhile, `settings` may be replaced; `refused` counts. Whoever is refused gets ViewerRefusedError.

    `refusal` is that of everybody who is not here yet, as long as it is set.
    """

    def __init__(self, pipelines: Mapping[str, Pipeline], settings: ViewerSettings) -> None:
        self.settings = settings
        self.refused = 0
        self.refusal: Callable[[], ViewerRefusedError] | None = None
        self._pipelines = pipelines

    def require_open(self) -> None:
        """Newcomers are taken at all."""
        if self.refusal is not None:
            raise self._refuse(self.refusal())

    def camera(self, name: str) -> Pipeline:
        """That camera, if there is one, and it may be watched."""
        pipeline = self._pipelines.get(name)
        if pipeline is None:
            known = ", ".join(self._pipelines) or "none"
            raise ViewerRefusedError(f"there is no camera {name!r}", remedy=f"cameras here: {known}", code="camera-unknown")
        if pipeline.privacy.private:
            raise self._refuse(private(pipeline))
        return pipeline

    def room(self, name: str, watched: Collection[str]) -> Pipeline:
        """That camera, if it may have one more viewer; `watched` has the camera of each viewer who is here."""
        pipeline = self.camera(name)
        watching = sum(camera == name for camera in watched)
        if watching >= pipeline.settings.max_viewers:
            full = f"camera {name!r} is full: {watching} of {pipeline.settings.max_viewers} viewers"
            remedy = f"wait for one to leave, or raise [camera.{name}] max_viewers"
        elif len(watched) >= self.settings.max:
            full = f"this camera host is full: {len(watched)} of {self.settings.max} viewers"
            remedy = "wait for one to leave, or raise [viewers] max"
        else:
            return pipeline
        raise self._refuse(ViewerRefusedError(full, remedy=remedy, code="viewers-full"))

    def _refuse(self, error: ViewerRefusedError) -> ViewerRefusedError:
        self.refused += 1
        return error


def private(pipeline: Pipeline) -> ViewerRefusedError:
    """Why is nobody's business but the owner's, who sees it in the status."""
    return ViewerRefusedError(
        f"camera {pipeline.title!r} is private", remedy="it can be watched again once its owner ends that", code="camera-private"
    )
