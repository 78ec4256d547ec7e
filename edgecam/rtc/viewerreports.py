"""What one viewer reports about what it receives (RTCP), and who hears of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import structlog

from edgecam.rtc import feedback
from edgecam.rtc.retransmission import RetransmissionBudget
from edgecam.rtc.sending.outlet import VideoOutlet

log = structlog.get_logger(__name__)

REMB_OPENING = 3.0  # seconds for which REMB is a guess: browsers open with 93 kbit/s


class ViewerReports:
    """The viewer's last figures. `heard` takes what it sends once `begin` has said who acts on it, until `close`.

    `who` names it in the log (viewer, camera), `other` in a reason; `end` ends the session.
    """

    def __init__(self, who: dict[str, str], other: str, end: Callable[[str], None]) -> None:
        self.bandwidth_bps: int | None = None
        self.fraction_lost = 0.0
        self.lost = 0
        self.jitter_ms: float | None = None
        self.keyframe_requests = 0
        self._who = who
        self._other = other
        self._end = end
        self._retransmissions = RetransmissionBudget()
        self._stream: tuple[feedback.FeedbackReader, VideoOutlet] | None = None
        self._believed_from = float("inf")

    def begin(self, reader: feedback.FeedbackReader, outlet: VideoOutlet) -> None:
        """There is a stream to report about."""
        self._stream = reader, outlet

    def connected(self) -> None:
        """From now on the stream is sent."""
        self._believed_from = time.monotonic() + REMB_OPENING

    def close(self) -> None:
        """Sockets live a little longer than their session does; nothing is heard any more."""
        self._stream = None

    def heard(self, data: bytes) -> bool:
        """Take what concerns the stream as a whole; returns whether aiortc may act on the compound too. Never raises."""
        if self._stream is None:
            return False
        reader, outlet = self._stream
        try:
            return self._act_on(reader.read(data), outlet)
        except Exception as error:
            log.exception("feedback.failed", **self._who)
            self._end(f"what the viewer reports cannot be acted upon ({type(error).__name__})")
            return False

    def _act_on(self, items: Iterable[feedback.Feedback], outlet: VideoOutlet) -> bool:
        allowed = True
        rate, feed = outlet.rate, outlet.feed
        for item in items:
            match item:
                case feedback.KeyframeWanted():
                    self.keyframe_requests += 1
                    if feed is not None:
                        feed.request_keyframe()
                case feedback.Bandwidth(bps):
                    self.bandwidth_bps = bps
                    if rate is not None:
                        rate.wished(bps)
                    elif feed is not None and time.monotonic() >= self._believed_from:
                        feed.available(bps)
                case feedback.Reception(rtx=False) as report:
                    self.fraction_lost, self.jitter_ms = report.fraction_lost, report.jitter / 90
                    self.lost = max(self.lost, report.lost)  # duplicates make it shrink; counters do not
                    if rate is not None:
                        rate.reported(report)
                case feedback.Reception(rtx=True) as report if rate is not None:
                    rate.reported(report)
                case feedback.Nack(sequence_numbers) if rate is not None:
                    rate.nacked(sequence_numbers)
                case feedback.Nack(sequence_numbers):
                    allowed = self._retransmissions.spend(len(sequence_numbers), time.monotonic())
                case feedback.Bye():
                    self._end(f"the {self._other} said BYE")
        return allowed
