"""The board's line of a camera's encoder: which one it is, and whether a better one was given up."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgecam.health import Component, Condition
from edgecam.media.pipeline import Pipeline

SOFTWARE = "libx264"


class EncoderLine:
    """`component` is kept by `look`, which is to be called whenever the board has changed. `left_out` gives the encoders that
    failed here and are not tried for now, with the reason."""

    def __init__(self, pipeline: Pipeline, left_out: Callable[[], Mapping[str, str]], component: Component) -> None:
        self.component = component
        self._pipeline = pipeline
        self._left_out = left_out
        self._hardware = ""  # one that has worked here

    def look(self) -> None:
        """Report what is so now."""
        info, camera, line = self._pipeline.info, self._pipeline.component.state, self.component
        if camera.code == "encoder-failed":
            if (line.state.code, line.state.detail) != (camera.code, camera.detail):
                line.waiting(camera.code, camera.detail)
        elif info is None or camera.condition not in {Condition.RUNNING, Condition.DEGRADED}:
            line.resting("encoder-closed", "there is nothing to encode")
        elif given_up := [name for name in (*self._left_out(), self._hardware, info.busy_encoder) if name not in {"", info.encoder}]:
            line.degraded("encoder-fallback", f"{info.encoder} instead of {given_up[0]}: {info.reason}")
        else:
            line.running(f"{info.encoder}: {info.reason}")
        if info is not None and info.encoder != SOFTWARE:
            self._hardware = info.encoder
