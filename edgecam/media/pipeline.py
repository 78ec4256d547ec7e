"""One camera from source to viewers: owns the fan-out, the keyframe debounce and the bitrate policy."""

from __future__ import annotations

import time
from collections import deque

import structlog

from edgecam.health import Component, Condition
from edgecam.media.bitrate import BitratePolicy
from edgecam.media.broadcaster import Broadcaster, Subscription
from edgecam.media.keyframes import KeyframeRequests
from edgecam.media.levels import expected_profile_level_id
from edgecam.media.types import AccessUnit, CaptureReport, EncoderDemand, StreamInfo, VideoSource
from edgecam.settings import CameraSettings

log = structlog.get_logger(__name__)

RATE_WINDOW_NS = 2_000_000_000  # over which the real bitrate and frame rate are measured
RETUNE_INTERVAL = 0.5  # seconds between changes of the encoder's bitrate
RETUNE_STEP = 0.05  # smaller relative changes are not worth a reconfiguration
# A camera without a picture for longer than its capture process may take, and this many seconds more, is stuck.
SLOWEST_PICTURES = 2.5  # picture intervals that are never a stall
STUCK_AFTER = 5.0


class Pipeline:
    """A camera's stream. `run()` is one attempt: it raises when the source breaks, and the supervisor runs it again;
    viewers keep their subscriptions meanwhile and go on at the next keyframe."""

    def __init__(self, name: str, settings: CameraSettings, source: VideoSource, component: Component) -> None:
        self.name = name
        self.title = settings.title or name
        self.settings = settings
        self.component = component
        self.info: StreamInfo | None = None
        self.last_report: CaptureReport | None = None
        self.units = 0
        self.keyframes = 0
        self.starts = 0
        self.last_unit_ns = 0
        self._source = source
        self._requests = KeyframeRequests(self._demand_keyframe)
        self._broadcaster = Broadcaster(self._requests.request)
        self._bitrate = BitratePolicy(settings.floor_bps, settings.ceiling_bps)
        self._applied_bps = settings.ceiling_bps
        self._retuned = 0.0
        self._recent: deque[tuple[int, int]] = deque()  # (received_ns, bytes) of the last RATE_WINDOW_NS

    async def run(self) -> None:
        try:
            await self._source.run(self)
        finally:
            self._requests.cancel()
            self._broadcaster.discontinue()
            self._recent.clear()

    # what the source calls

    def opened(self, info: StreamInfo) -> None:
        self.info = info
        self.starts += 1
        self._applied_bps = self.settings.ceiling_bps
        self._retune(time.monotonic())
        log.info(
            "camera.opened",
            camera=self.name,
            source=info.source,
            size=f"{info.width}x{info.height}",
            fps=round(info.fps, 2),
            pixel_format=info.pixel_format,
            encoder=info.encoder,
            reason=info.reason,
        )

    def unit(self, unit: AccessUnit) -> None:
        self.units += 1
        self.keyframes += unit.keyframe
        self.last_unit_ns = unit.received_ns
        self._broadcaster.publish(unit)
        recent = self._recent
        recent.append((unit.received_ns, len(unit.data)))
        while recent[0][0] < unit.received_ns - RATE_WINDOW_NS:
            recent.popleft()
        if not self.component.state.ready:
            self.component.running()

    def report(self, report: CaptureReport) -> None:
        self.last_report = report
        self._retune(time.monotonic())

    # what viewers call

    def prepare(self) -> None:
        """A viewer is about to connect: have a young keyframe at hand when it does."""
        self._requests.request()

    def subscribe(self, viewer: object) -> Subscription:
        self._bitrate.join(viewer, time.monotonic())
        return self._broadcaster.subscribe(time.monotonic_ns())

    def unsubscribe(self, viewer: object, subscription: Subscription) -> None:
        self._bitrate.leave(viewer)
        self._broadcaster.unsubscribe(subscription)

    def request_keyframe(self) -> None:
        self._requests.request()

    def bandwidth(self, viewer: object, bps: int) -> None:
        """A viewer's estimate of its link, bit/s (REMB)."""
        now = time.monotonic()
        self._bitrate.estimate(viewer, bps, now)
        self._retune(now)

    # what status reads

    @property
    def subscribers(self) -> int:
        return len(self._broadcaster)

    @property
    def stuck(self) -> bool:
        """Whether it is said to run and gives no pictures all the same: whoever had to notice is broken itself."""
        if self.component.state.condition is not Condition.RUNNING:
            return False
        fps = self.info.fps if self.info is not None else self.settings.effective.fps
        limit = max(self.settings.stall_timeout, SLOWEST_PICTURES / fps if fps > 0 else 0.0) + STUCK_AFTER
        return time.monotonic_ns() - self.last_unit_ns > limit * 1e9

    @property
    def last_keyframe(self) -> AccessUnit | None:
        return self._broadcaster.last_keyframe

    @property
    def keyframe_requests(self) -> KeyframeRequests:
        return self._requests

    @property
    def target_bps(self) -> int:
        return self._applied_bps

    @property
    def profile_level_id(self) -> str:
        """Of the real SPS; before the camera was ever open, what the configured size will need."""
        if self.info is not None:
            return self.info.profile_level_id
        quality = self.settings.effective
        return expected_profile_level_id(quality.width, quality.height, quality.fps)

    def measured(self) -> tuple[float, float]:
        """(frames per second, bit/s) over the last two seconds; zeros when nothing came."""
        now = time.monotonic_ns()
        recent = [(at, size) for at, size in self._recent if at >= now - RATE_WINDOW_NS]
        if len(recent) < 2:
            return 0.0, 0.0
        seconds = max(1e-3, (recent[-1][0] - recent[0][0]) / 1e9)
        return (len(recent) - 1) / seconds, sum(size for _, size in recent[1:]) * 8 / seconds

    def _demand_keyframe(self) -> None:
        self._source.apply(EncoderDemand(self._applied_bps, keyframe=True))

    def _retune(self, now: float) -> None:
        if now - self._retuned < RETUNE_INTERVAL:
            return
        self._retuned = now
        target = self._bitrate.update(now, self.measured()[1])
        if abs(target - self._applied_bps) >= RETUNE_STEP * self._applied_bps or (
            target != self._applied_bps and target in {self.settings.floor_bps, self.settings.ceiling_bps}
        ):
            log.debug("encoder.bitrate", camera=self.name, bps=target, before=self._applied_bps)
            self._applied_bps = target
            self._source.apply(EncoderDemand(target))
