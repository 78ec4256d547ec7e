"""What one viewer's link carries, from what the viewer reports anyway. Pure: no I/O, every time is passed in.

Why not transport-wide feedback: measured on Chromium 156, each of its REMB messages (five a second, once it has an
estimate) comes in a compound with a report block, whose highest sequence number acknowledges what was sent before.
That tells arriving rate and queueing delay as often as a controller needs them. Across a link that fell from 4 Mbit/s to
600 kbit/s, it showed the queue after 0.3 s; REMB's own figure began to fall after 0.5 s and was right after 1.2 s.
Transport-wide feedback tells no more about a queue, and its 20 messages a second of some 50 µs each would cost as
much as sending does.

REMB is believed only where it stays: an estimate that has not risen for REMB_PATIENCE and is below what is sent is a
wish of the viewer. Chromium's is far below for half a minute after a congestion. A single one, huge or zero, changes nothing.
"""

from __future__ import annotations

from collections import deque

from edgecam.rtc.delivery import Delivery
from edgecam.rtc.probing import SHARE, Probing

FLOOR_BPS = 50_000  # nothing useful is below
LATE = 0.06  # seconds of queueing that may be chance, at least
LATE_AT_MOST = 0.15  # what chance (jitter) may teach us to take for normal
LATE_LONG = 0.18  # seconds that need no second report
LATE_VOUCHED = 0.35  # seconds, against what the viewer says about its link
LEAST_FALL = 0.25  # one decision takes at most three quarters away: its figure may be wrong
UNEXPLAINED = 0.10  # share of packets whose loss is nobody's fault
ENOUGH_SECONDS = 0.3  # of reports that a rate is told from
MAX_HOLD = 0.8  # seconds of silence in which a queue may drain
HELD_BACK = 0.15  # seconds of queue that are left to arrive meanwhile
SHRINKING = 0.03  # seconds of queue that are gone meanwhile
RELAPSE = 5.0  # seconds within which a congestion is the same as the one before
LOOK_AGAIN = 2.0  # seconds after a decision, to see what it has done
STEADY = 1.5  # seconds of constant lateness: the way has become longer. A queue that drains is nowhere for so long
UNPADDED_STEP = 1.25
WARY = 60.0  # seconds after a congestion for which the link is taken for a narrow one
REMB_PATIENCE = 5.0  # seconds; Chromium raises its estimate, however slowly, while nothing is late
REMB_FRESH = 5.0
REMB_SPACING = 0.05  # seconds; of messages closer together than that the last one counts


class _Wishes:
    """The viewer's own estimates (REMB) of the last REMB_PATIENCE."""

    __slots__ = ("_heard",)

    def __init__(self) -> None:
        self._heard: deque[tuple[float, int]] = deque()

    def note(self, bps: int, now: float) -> None:
        heard = self._heard
        if len(heard) > 1 and now - heard[-2][0] < REMB_SPACING:  # a flood stays as long as its time, not as its messages
            heard[-1] = (now, bps)
            return
        heard.append((now, bps))
        while len(heard) > 2 and heard[1][0] <= now - REMB_PATIENCE:
            heard.popleft()

    def lasting(self, now: float) -> int | None:
        """What the viewer has asked for all the time, without ever raising it."""
        heard = self._heard
        if (
            not heard
            or now - heard[0][0] < REMB_PATIENCE
            or now - heard[-1][0] > REMB_FRESH
            or heard[-1][1] > heard[0][1]
        ):
            return None
        return max(bps for _, bps in heard)

    def vouches(self, bps: float, now: float) -> bool:
        """Whether the viewer sees no queue, either: its estimate has not fallen, and is not below what arrives."""
        heard = self._heard
        if len(heard) < 2 or now - heard[-1][0] > 1.0:
            return False
        return heard[-1][1] >= max(bps, 0.97 * heard[-2][1])


class LinkEstimate:
    """`available_bps` is what may be sent in all; it begins at `wanted_bps`, as most links carry what is wanted.
    Beyond `enough_bps` nothing is found out by padding.

    `congested` is true from when a queue has built up until it is gone, `overflowed` if packets get lost in it.
    `hold_until`: send nothing before, and begin again with a keyframe; what is queued meanwhile goes on arriving.
    `probing.goal_bps`: see `padding`.
    """

    __slots__ = (
        "_before",
        "_calm_since",
        "_can_pad",
        "_congested_at",
        "_deviation",
        "_ground",
        "_late_since",
        "_lost_then",
        "_mean",
        "_overdue_before",
        "_overdue_then",
        "_steady",
        "_steady_since",
        "_wishes",
        "available_bps",
        "congested",
        "delivery",
        "enough_bps",
        "hold_until",
        "overflowed",
        "probing",
        "round_trip",
        "wanted_bps",
    )

    def __init__(self, wanted_bps: int, now: float, *, can_pad: bool = True) -> None:
        self.wanted_bps = wanted_bps
        self.enough_bps = wanted_bps
        self._can_pad = can_pad  # otherwise more is tried out with the video itself
        self.available_bps = wanted_bps
        self.congested = False
        self.overflowed = False
        self.hold_until = 0.0
        self.round_trip: float | None = None  # seconds, the last one measured
        self.delivery = Delivery()
        self.probing = Probing(now)
        self._mean = 0.0  # of overdue while all is well and nothing is tried, and how it varies
        self._deviation = 0.0
        self._late_since = 0.0  # the last report that was in time, 0 while there is none since
        self._congested_at = 0.0
        self._calm_since = float("-inf")
        self._before = wanted_bps  # available before the congestion
        self._ground = wanted_bps  # available when it was last decided upon
        self._overdue_before = 0.0  # at the report before
        self._overdue_then = 0.0
        self._steady = 0.0  # overdue, and since when it has been about that
        self._steady_since = now
        self._lost_then = 0
        self._wishes = _Wishes()

    @property
    def queueing_ms(self) -> float:
        return self.delivery.overdue * 1000

    def wary(self, now: float) -> bool:
        """Whether the link has been full lately: a burst at once may be more than its queue holds."""
        return self.congested or now - self._calm_since < WARY

    # what the sender says

    def sent(self, upcoming: int, octets: int, now: float) -> None:
        """See `Delivery.sent`."""
        self.delivery.sent(upcoming, octets, now)

    def padding(self, now: float) -> int:
        """Octets of padding to send now. To be asked after `sent`, while `probing.goal_bps` is not 0."""
        return self.probing.padding(self.delivery.octets, now)

    # what the viewer says

    def measured(self, round_trip: float, held: float, now: float) -> None:
        """A round trip from LSR and DLSR, in seconds, and DLSR itself."""
        self.round_trip = round_trip
        self.delivery.measured(round_trip, held, now)

    def bandwidth(self, bps: int, now: float) -> None:
        """REMB."""
        self._wishes.note(bps, now)

    def repaired(self, highest: int, lost: int) -> None:
        """See `Delivery.repaired`."""
        self.delivery.repaired(highest, lost)

    def reported(self, highest: int, lost: int, now: float) -> None:
        """A report block about the stream: highest sequence number, packets lost in all."""
        delivery = self.delivery
        if not delivery.acknowledge(highest, lost, now):
            return
        overdue = delivery.overdue
        if abs(overdue - self._steady) > SHRINKING:
            self._steady, self._steady_since = overdue, now
        limit = min(LATE_AT_MOST, max(LATE, LATE / 2 + 4 * self._deviation))
        late = overdue > limit
        if self.congested:
            self._while_congested(limit, now)
        elif self._lossy() or (late and self._believable(now)):
            self._congest(now)
        elif late:  # once may be chance, and the next report tells; but a probe has not gone well
            if self.probing.undecided:
                self.probing.fail(now)
        else:
            if not self.probing.undecided:
                self._mean += (overdue - self._mean) / 16
                self._deviation += (abs(overdue - self._mean) - self._deviation) / 16
            self._climb(now)
        self._overdue_before = overdue
        if not late:
            self._late_since = now

    # inside

    def _believable(self, now: float) -> bool:
        """Whether lateness is a queue, and not a viewer that is too busy to report."""
        overdue = self.delivery.overdue
        if self._wishes.vouches(self.delivery.rate(), now):
            return overdue > LATE_VOUCHED
        return overdue > LATE_LONG or self._late_before(now)

    def _late_before(self, now: float) -> bool:
        """Whether this late report is not the first in a row and nothing gets better, or it is the third, or speaks for long
        enough by itself. What a stall has held up arrives at once afterwards; a queue of ours grows."""
        arrivals = self.delivery.arrivals
        if len(arrivals) < 2:
            return False
        interval, lasting = now - arrivals[-2].at, now - self._late_since
        better = self.delivery.overdue < self._overdue_before
        return interval > 0.7 or lasting > (2.5 if better else 1.5) * interval

    def _lossy(self) -> bool:
        """More loss than chance explains: three standard deviations above what is nobody's fault."""
        share, packets = self.delivery.loss()
        return packets >= 12 and share * packets > UNEXPLAINED * packets + 3 * (UNEXPLAINED * packets) ** 0.5

    def _capacity(self) -> float:
        """What arrives while the link is busy, bit/s; 0 when that cannot be told."""
        arrivals = self.delivery.arrivals
        if len(arrivals) < 2 or arrivals[-1].at - arrivals[0].at < ENOUGH_SECONDS:
            return 0.0
        return self.delivery.rate(
            arrivals[-2].at if arrivals[-1].at - arrivals[-2].at >= ENOUGH_SECONDS else self._busy_since()
        )

    def _busy_since(self) -> float:
        """Of the last reports, those that saw a queue, but two intervals at least."""
        arrivals = self.delivery.arrivals
        return min(self._late_since, arrivals[-3].at) if len(arrivals) > 2 else 0.0

    def _congest(self, now: float) -> None:
        self.probing.fail(now)
        capacity = self._capacity()
        if now - self._calm_since > RELAPSE:
            self._before = self.available_bps
        self._ground = self.available_bps
        self._fall(SHARE * capacity)
        self.congested = True
        self.overflowed = self._lossy()
        ground = self._ground
        self._look(now)
        self._ground = ground
        backlog = 8 * self.delivery.outstanding / capacity - (self.delivery.round_trip or 0.0) if capacity else 0.0
        backlog = min(backlog, 2 * self.delivery.overdue)  # the report is as old as what it acknowledges
        self.hold_until = now + min(MAX_HOLD, max(0.0, backlog - HELD_BACK))

    def _while_congested(self, limit: float, now: float) -> None:
        overdue, delivery = self.delivery.overdue, self.delivery
        self.probing.fail(now)
        self.overflowed |= self._lossy()
        if overdue <= limit / 2 and not self._lossy():
            self.congested = self.overflowed = False
            self.hold_until = min(self.hold_until, now)
            self._calm_since = now
            return
        busy = now - self._congested_at
        if busy < LOOK_AGAIN:
            if overdue > limit and busy < 2 * ENOUGH_SECONDS:
                self._fall(SHARE * self._capacity())
            return
        if overdue <= self._overdue_then - SHRINKING:
            pass  # what was thought is right, it only takes a while
        elif overdue > self._overdue_then + SHRINKING or delivery.arrivals[-1].lost > self._lost_then:
            self._fall(SHARE * self._capacity())  # still too much
        elif now - self._steady_since >= STEADY:  # and nothing lost: no queue is like that
            delivery.rebase()
            self.congested = self.overflowed = False
            self.available_bps = max(self.available_bps, self._before)
            return
        else:
            return  # on its way down from a longer queue, perhaps: the next report tells
        self._look(now)

    def _look(self, now: float) -> None:
        """Remember how things are, to see how they go on."""
        self._ground = self.available_bps
        self._congested_at, self._overdue_then, self._lost_then = (
            now,
            self.delivery.overdue,
            self.delivery.arrivals[-1].lost,
        )

    def _fall(self, bps: float) -> None:
        least = max(FLOOR_BPS, LEAST_FALL * self._ground)
        self.available_bps = int(min(self.available_bps, max(least, bps)))

    def _climb(self, now: float) -> None:
        delivery, probing = self.delivery, self.probing
        wish = self._wish(now)
        proven = (
            probing.acknowledged(delivery.arrivals[-1].octets, now, now - delivery.arrivals[-2].at)
            if len(delivery.arrivals) > 1
            else 0
        )
        reached = max(SHARE * proven, SHARE * delivery.rate())
        self.available_bps = int(min(max(self.available_bps, reached), max(self.wanted_bps, FLOOR_BPS), wish))
        if self.available_bps >= min(self.enough_bps, self.wanted_bps, wish) or not probing.due(now):
            return
        if not self._can_pad:
            self.available_bps = int(min(self.available_bps * UNPADDED_STEP, self.wanted_bps, wish))
            probing.wait(now)
        else:
            # A camera whose lowest bitrate is above what is available sends more than that anyway.
            goal = min(self.enough_bps, self.wanted_bps)
            probing.begin(max(self.available_bps, int(delivery.rate())), goal, delivery.octets, now)

    def _wish(self, now: float) -> float:
        """A limit that the viewer has asked for by REMB, bit/s."""
        wish = self._wishes.lasting(now)
        if wish is None or wish >= 0.9 * self.delivery.rate():
            return float("inf")
        return max(float(wish), FLOOR_BPS)
