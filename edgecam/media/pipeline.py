"""One camera from source to viewers: hands units to renditions, and viewers from one rendition to another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from edgecam.health import Component, Condition
from edgecam.media.broadcaster import REPLAY_NS, SWITCH_REPLAY_NS
from edgecam.media.feed import EXPIRY, Convoy, Feed
from edgecam.media.keyframes import ViewerTurns
from edgecam.media.ladder import MIN_FLOOR, Rung, bitrates, rungs, worthwhile
from edgecam.media.levels import expected_profile_level_id
from edgecam.media.microphone import Microphone
from edgecam.media.pace import Pace
from edgecam.media.rendition import Bounds, Rendition
from edgecam.media.shutter import Shutter
from edgecam.media.sight import FAULTS, SLOW, Sight
from edgecam.media.speaker import Speaker
from edgecam.media.types import NO_LIMITS, AccessUnit, CaptureReport, Limits, LowerRendition, StreamInfo, VideoSource
from edgecam.privacy import PrivacySwitch, never_private
from edgecam.settings import CameraSettings

log = structlog.get_logger(__name__)

WITHHELD = 1 << 62  # bit/s: what no link carries
MAX_RENDITIONS = 3
RETUNE_INTERVAL = 0.5  # seconds between changes of the encoders' bitrates
# A camera without a picture for longer than its capture process may take, and this many seconds more, is stuck.
SLOWEST_PICTURES = 2.5  # picture intervals that are never a stall
STUCK_AFTER = 5.0


@dataclass(frozen=True, slots=True)
class RequestCount:
    """Keyframe requests of all renditions: PLI, FIR and joins, and how many were passed to the encoders."""

    asked: int
    sent: int


class Pipeline:
    """A camera's stream. `run()` is one attempt: it raises when the source breaks, and the supervisor runs it again;
    viewers keep their feeds and renditions meanwhile and go on at the next keyframe.

    Rendition 0 is encoded while somebody watches it or nobody watches any, so that the camera is known to work and a
    newcomer's start is instantaneous; the others while somebody watches them. `renditions` are those that can be had;
    where `limits` withhold some of them, the best that is left takes the place of rendition 0.

    While it is private nothing that was seen before is kept, or handed to anybody.
    """

    def __init__(
        self, name: str, settings: CameraSettings, source: VideoSource, component: Component, privacy: PrivacySwitch | None = None
    ) -> None:
        self.name = name
        self.title = settings.title or name
        self.settings = settings
        self.source = source
        self.component = component
        self.info: StreamInfo | None = None
        self.last_report: CaptureReport | None = None
        self.starts = 0
        self.units = 0  # pictures, in whichever rendition they came first
        self.last_unit_ns = 0
        self.privacy = privacy or never_private(name)
        self.microphone: Microphone | None = None
        self.speaker: Speaker | None = None
        self.shutter = Shutter(
            source, component, self.privacy, self._closed, always=settings.capture == "always", linger=settings.linger
        )
        self._pace = Pace()
        self.sight = Sight(name, component, self.shutter.reopen)
        self.privacy.listen(self._privacy_changed)
        size = settings.effective
        floor = settings.configured_floor_bps
        expected = rungs(size.width, size.height, size.fps, settings.ceiling_bps, floor, 1)
        self.source = source
        self._all = tuple(Rendition(index, expected[0], source.apply) for index in range(MAX_RENDITIONS))
        self.renditions = self._all[:1]
        self.limits = NO_LIMITS
        self._turns: dict[Feed, ViewerTurns] = {}  # of started feeds
        self._retuned = 0.0
        self._newest = -1  # timestamp

    async def run(self) -> None:
        await self.shutter.run(self)

    # what the source calls

    def opened(self, info: StreamInfo) -> None:
        self.info = info
        self.shutter.opened()
        self.starts += 1
        for rendition, stream in self._arranged(info):
            rendition.reopened(self._bounds(rendition.index, stream))
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
            renditions=len(self.renditions),
        )

    def unit(self, unit: AccessUnit) -> None:
        if self.privacy.private:  # it was on its way
            return
        self.last_unit_ns = unit.received_ns
        if unit.timestamp > self._newest:
            self._newest = unit.timestamp
            self.units += 1
        if unit.rendition < len(self.renditions):
            self.renditions[unit.rendition].unit(unit)
        self.sight.pictures()

    def report(self, report: CaptureReport) -> None:
        self.last_report = report
        slow = self.info is not None and self._pace.slow(report.frames_captured, self.info.fps, time.monotonic())
        self.sight.told(report.picture if report.picture in FAULTS or not slow else SLOW)
        now = time.monotonic()
        for rendition in self.renditions:
            for feed in rendition.broadcaster.feeds:
                self._place(feed, now)
        self._settle(now)
        self._retune(now)

    # what viewers call

    def prepare(self, viewer: object) -> None:
        """A viewer is about to connect: have the camera open, and a young keyframe at hand when it does. `release` is to follow."""
        self.shutter.presence.enter(viewer)
        self.renditions[self.first].requests.request()

    def release(self, viewer: object) -> None:
        """That viewer is gone. Idempotent."""
        self.shutter.presence.leave(viewer)

    def attach(self, deliver: Callable[[AccessUnit], None]) -> Feed:
        """A new viewer's feed; nothing comes before it is started, but the camera is opened. It is to be closed."""
        feed = Feed(deliver, self)
        self.shutter.presence.enter(feed)
        return feed

    # what feeds call

    def feed_started(self, feed: Feed) -> None:
        self._turns[feed] = ViewerTurns()
        feed.rendition = feed.destination = feed.placement.index = self.first
        self._begin(feed, REPLAY_NS)

    def feed_wants_keyframe(self, feed: Feed) -> None:
        turns = self._turns.get(feed)
        if turns is not None:  # whoever has not started gets a keyframe anyway
            self.renditions[feed.destination].requests.request(turns.next(time.monotonic()))

    def feed_estimates(self, feed: Feed, bps: int) -> None:
        now = time.monotonic()
        feed.available_bps, feed.heard = bps, now
        self._place(feed, now)
        self._retune(now)

    def feed_switched(self, feed: Feed, before: int) -> None:
        self._all[before].broadcaster.remove(feed)
        log.info("viewer.rendition", camera=self.name, rendition=feed.rendition, before=before, bps=feed.available_bps)

    def feed_joined(self, feed: Feed, convoy: Convoy) -> None:
        self._all[feed.rendition].broadcaster.unite(feed, convoy)

    def feed_parted(self, feed: Feed) -> None:
        self._all[feed.rendition].broadcaster.part(feed)

    def feed_closed(self, feed: Feed) -> None:
        self.shutter.presence.leave(feed)
        self._turns.pop(feed, None)
        for rendition in self._all:
            rendition.broadcaster.remove(feed)
        self._settle(time.monotonic())

    # what governors call

    def limit(self, limits: Limits) -> None:
        """From now on no more than that: the camera stays open, viewers of what is withheld move to the next lower rendition."""
        if limits == self.limits:
            return
        self.limits = limits
        for rendition in self.renditions:
            rendition.limit(self._bounds(rendition.index, rendition.rung))
        for feed in self._turns:
            # Of one whose link is not known nobody says later that it may climb again.
            if feed.destination < self.first or feed.heard < 0:
                self._move(feed, self.first)
        self._settle(time.monotonic())

    # what a new configuration calls

    def reconfigure(self, settings: CameraSettings) -> None:
        """Other settings from now on. Bitrates hold at once, also for the encoders that run; what only the source needs to know,
        it is told when it is run anew."""
        self.settings = settings
        self.title = settings.title or self.name
        self.shutter.presence.apply(always=settings.capture == "always", linger=settings.linger)
        if self.info is not None:
            for rendition, stream in self._arranged(self.info):
                rendition.limit(self._bounds(rendition.index, stream))
            self._settle(time.monotonic())

    # what status reads

    @property
    def first(self) -> int:
        """The best rendition that anybody is given."""
        return min(self.limits.best_rendition, len(self.renditions) - 1)

    @property
    def ceiling_bps(self) -> int:
        """The most that anybody is given."""
        return self.renditions[self.first].rung.ceiling_bps

    @property
    def every(self) -> int:
        """Of how many captured pictures one is encoded."""
        return self.limits.every(self.info.fps if self.info is not None else self.settings.effective.fps)

    @property
    def subscribers(self) -> int:
        return sum(rendition.viewers for rendition in self.renditions)

    @property
    def keyframes(self) -> int:
        return sum(rendition.keyframes for rendition in self._all)

    @property
    def keyframe_requests(self) -> RequestCount:
        return RequestCount(sum(r.requests.asked for r in self._all), sum(r.requests.sent for r in self._all))

    @property
    def best(self) -> Rendition:
        """The best rendition that is encoded now."""
        given = self.renditions[self.first :]
        return next((rendition for rendition in given if rendition.running), given[0])

    @property
    def stuck(self) -> bool:
        """Whether it is said to run and gives no pictures all the same: whoever had to notice is broken itself."""
        state = self.component.state
        if state.condition is not Condition.RUNNING and state.code not in FAULTS:
            return False
        fps = self.info.fps if self.info is not None else self.settings.effective.fps
        limit = max(self.settings.stall_timeout, SLOWEST_PICTURES / fps if fps > 0 else 0.0) + STUCK_AFTER
        return time.monotonic_ns() - self.last_unit_ns > limit * 1e9

    @property
    def last_keyframe(self) -> AccessUnit | None:
        """Of the best rendition that anybody is given, however old."""
        return self.renditions[self.first].broadcaster.last_keyframe

    @property
    def profile_level_id(self) -> str:
        """Of the real SPS; before the camera was ever open, what the configured size will need."""
        if self.info is not None:
            return self.info.profile_level_id
        quality = self.settings.effective
        return expected_profile_level_id(quality.width, quality.height, quality.fps)

    # inside

    def _closed(self) -> None:
        """What comes next refers to nothing that came before."""
        self.last_report = None
        if not self.shutter.reopens:
            self.sight.forget()
        for rendition in self._all:
            rendition.broke()

    def _privacy_changed(self) -> None:
        if self.privacy.private:
            for rendition in self._all:
                rendition.erase()

    def _arranged(self, info: StreamInfo) -> Sequence[tuple[Rendition, StreamInfo | LowerRendition]]:
        """From now on there are the renditions that make sense at the configured bitrate, with these streams: viewers of others
        move to the last of them."""
        settings = self.settings
        can: list[StreamInfo | LowerRendition] = [info, *info.lower[: settings.renditions - 1]]
        count = min(len(can), worthwhile(settings.ceiling_bps, settings.configured_floor_bps))
        self.renditions = self._all[:count]
        for rendition in self.renditions:
            rendition.broadcaster.keyframes_on_request = info.keyframes_on_request
        for gone in self._all[count:]:
            gone.end()
            for feed in gone.broadcaster.feeds:
                if feed.destination >= count:
                    self._move(feed, count - 1)
        return list(zip(self.renditions, can, strict=False))

    def _bounds(self, index: int, stream: StreamInfo | LowerRendition | Rung) -> Bounds:
        """With the bitrates that the limits leave. Half as many pictures cost half the bits: each is as good as before."""
        configured, share = self.settings.configured_floor_bps, self.limits.bitrate / self.every
        floor, ceiling = bitrates(index, len(self.renditions), self.settings.ceiling_bps, configured)
        least = min(floor, configured or MIN_FLOOR)
        low, high = max(least, round(floor * share)), max(least, round(ceiling * share))
        rung = Rung(stream.width, stream.height, stream.fps, low, high)
        return Bounds(rung, ceiling, self.every, lowest=index == len(self.renditions) - 1)

    def _place(self, feed: Feed, now: float) -> None:
        """Have the viewer on the rendition that its link carries, as far as that is known."""
        if now - feed.heard > EXPIRY:
            return
        needs = [WITHHELD if r.index < self.first else r.policy.need_bps for r in self.renditions]
        index = feed.placement.decide(feed.available_bps, needs, now)
        if index != feed.destination:
            self._move(feed, index)

    def _move(self, feed: Feed, index: int) -> None:
        """Bring the viewer to another rendition; it keeps the old one until the new one's keyframe."""
        if feed.destination != feed.rendition:
            self._all[feed.destination].broadcaster.remove(feed)
        feed.placement.index = feed.destination = index
        if index != feed.rendition:
            self._begin(feed, SWITCH_REPLAY_NS)
        elif feed.needs_keyframe:  # one was asked for, but where it no longer goes
            self.feed_wants_keyframe(feed)

    def _begin(self, feed: Feed, replay_ns: int) -> None:
        rendition = self.renditions[feed.destination]
        rendition.need(time.monotonic())
        rendition.broadcaster.add(feed, time.monotonic_ns(), replay_ns)

    def _settle(self, now: float) -> None:
        """Encode what somebody watches, and the best rendition when nobody watches anything."""
        watched = [bool(rendition.broadcaster.feeds) for rendition in self.renditions]
        for rendition, needed in zip(self.renditions, watched, strict=True):
            rendition.settle(needed or (rendition.index == self.first and not any(watched)), now)

    def _retune(self, now: float) -> None:
        if now - self._retuned < RETUNE_INTERVAL:
            return
        self._retuned = now
        for rendition in self.renditions:
            changed = rendition.retune(now)
            if changed is not None:
                log.debug(
                    "encoder.bitrate", camera=self.name, rendition=rendition.index, bps=changed[1], before=changed[0]
                )
