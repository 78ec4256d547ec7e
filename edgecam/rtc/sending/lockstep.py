"""Viewers whose packets are byte for byte the same: served in one loop, and what is the same for all of them is kept once.

That is nearly everybody: only keys and addresses differ. A viewer joins a convoy when it was just sent what the convoy was, and
nothing limits it; the convoy then keeps its numbers, and tells them when somebody asks (`Place.settle`). It leaves before
anything else is done with it, and whatever is unusual, a unit or a refusal of its socket, is left to its own sender. What is too
large to leave at once leaves in the same steps for all (see `pacer`); who leaves between two steps takes the rest along.
"""

from __future__ import annotations

import time
from copy import copy
from itertools import repeat
from typing import TYPE_CHECKING, Any

from edgecam.media.feed import Feed
from edgecam.media.types import AccessUnit
from edgecam.rtc import aiortc_private
from edgecam.rtc.sending.pacer import AT_ONCE, Allowance
from edgecam.rtc.sending.path import Straight
from edgecam.rtc.sending.reports import REPORT_NS
from edgecam.rtc.sending.template import FRESH_NS, Run, Template, ViewerClass
from edgecam.rtc.sending.waiting import Waiting

if TYPE_CHECKING:
    from edgecam.rtc.sending.fanout import FanOut, PacketizedUnit
    from edgecam.rtc.sending.sender import ViewerSender

MOST = 32  # viewers in a convoy: they are served within FRESH_NS, so that one send time is true for all
LOG = 128  # units, or steps of them; those who have not asked for so long are told


class Place:
    """One viewer in a convoy. `settle` brings its numbers up to date, `leave` gives them back to it."""

    __slots__ = ("_bursts", "_convoy", "_octets", "_payload", "_units", "feed", "sender")

    def __init__(self, convoy: Convoy, sender: ViewerSender, feed: Feed) -> None:
        self.sender = sender
        self.feed = feed
        self._convoy = convoy
        # How far the convoy was when this viewer's numbers were right.
        self._units, self._bursts, self._payload, self._octets = convoy.numbers

    def settle(self) -> None:
        convoy, sender = self._convoy, self.sender
        units, bursts = convoy.units[self._units :], convoy.bursts[self._bursts :]
        if not bursts:
            return
        own = sender.path.octets - self._octets  # reports, retransmissions, and what went before
        sender.sent_meanwhile(
            units,
            [(upcoming, when, octets + own) for upcoming, when, octets in bursts],
            upcoming=convoy.upcoming,
            timestamp=convoy.timestamp,
            payload=convoy.payload - self._payload,
            octets=convoy.octets - self._octets,
        )
        self.feed.passed(len(units), convoy.timestamp)
        self._units, self._bursts, self._payload, self._octets = convoy.numbers

    def rewound(self) -> None:
        """The convoy has forgotten what it has told everybody."""
        self._units = self._bursts = 0

    @property
    def waiting_packets(self) -> int:
        return self._convoy.waiting_packets

    def leave(self) -> None:
        self.settle()
        rest = self._convoy.remove(self)
        self.sender.parted(self._convoy.report_due_ns)
        if rest is not None:
            self.sender.take_over(rest)


class Convoy:
    """Viewers of one class and rendition. `units` and `bursts` are what was sent lately, as `SentPackets` and `Delivery` want it;
    `payload` and `octets` count what each was sent, of payload and in all; `timestamp` is the last unit's."""

    def __init__(self, fanout: FanOut, viewers: ViewerClass, newest: PacketizedUnit, timestamp: int, upcoming: int) -> None:
        self.viewers = viewers
        self.newest = newest
        self.timestamp = timestamp
        self.upcoming = upcoming  # sequence number, not wrapped
        self.payload = self.octets = 0
        self.units: list[tuple[int, PacketizedUnit, int]] = []
        self.bursts: list[tuple[int, float, int]] = []
        self.report_due_ns = time.monotonic_ns() + REPORT_NS
        self._fanout = fanout
        self._members: dict[Place, tuple[Place, Straight, Any]] = {}
        self._pace = Allowance()
        self._leaving: Waiting | None = None  # the newest unit, while some of it is left to send

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """How many `units` and `bursts` there are, `payload` and `octets`."""
        return len(self.units), len(self.bursts), self.payload, self.octets

    @property
    def empty(self) -> bool:
        return not self._members

    @property
    def full(self) -> bool:
        return len(self._members) >= MOST

    def add(self, sender: ViewerSender, feed: Feed, straight: Straight) -> Place:
        place = Place(self, sender, feed)
        self._members[place] = (place, straight, repeat(sender.srtp.context))
        return place

    @property
    def waiting_packets(self) -> int:
        """How many of the newest unit are left to send, to each."""
        return self._leaving.packets if self._leaving is not None else 0

    def remove(self, place: Place) -> Waiting | None:
        """Returns what it was not sent yet of the newest unit."""
        del self._members[place]
        rest = copy(self._leaving)
        if not self._members:
            self._leaving = None
            self._fanout.pacer.discard(self)
        return rest

    def push(self, unit: AccessUnit) -> None:
        """What the feeds' own `push` would do for each. Never raises."""
        template = self._template(unit) if self._leaving is None else None
        if template is None:
            self._alone(list(self._members), unit)
            return
        begun_ns = time.monotonic_ns()
        if begun_ns - template.stamped_ns > FRESH_NS:
            template.stamp(begun_ns, self._fanout.clock)
        part = template.runs[0].part(0, AT_ONCE)
        strays = self._send(template, part)
        sent_ns = time.monotonic_ns()
        for place in strays:  # before the others' numbers go on
            place.feed.part()
        self._note(unit, template)
        self._sent(part.count, part.end - part.begin, begun_ns)
        if part.count == template.count:
            self._complete(template, unit.received_ns, begun_ns, sent_ns)
        elif self._members:
            rtp_time = template.own[1]
            left = self._leaving = Waiting(template, self.newest, rtp_time, begun_ns, unit.received_ns, keyframe=unit.keyframe)
            left.following = part.count
            self._advance(AT_ONCE - part.count, begun_ns)
            if self._leaving is not None:
                self._pace.waiting(left.packets)
                self._fanout.pacer.add(self)
        self._alone(strays, unit)
        if sent_ns >= self.report_due_ns:
            self._report(sent_ns)

    def resume(self) -> bool:
        """The next step of a large unit; returns whether anything is left. Called by the pacer."""
        now_ns = time.monotonic_ns()
        self._advance(self._pace.step(now_ns), now_ns)
        return self._leaving is not None

    def _advance(self, allowed: int, now_ns: int) -> None:
        """At most so many packets of the unit of which some are left."""
        while (left := self._leaving) is not None and allowed > 0:
            template = left.template
            template.stamp(now_ns, self._fanout.clock)
            part = left.part(allowed)
            for place in self._send(template, part):
                place.feed.part()  # with what is left, so that it is tried again
            left.following += part.count
            allowed -= part.count
            self._sent(part.count, part.end - part.begin, now_ns)
            if not left.packets:
                self._leaving = None
                self._complete(template, left.received_ns, now_ns, time.monotonic_ns())

    def _template(self, unit: AccessUnit) -> Template | None:
        """The unit in packets, when it goes on where the one before ended."""
        fanout = self._fanout
        try:
            packetized = fanout.packetized(unit)
            if not packetized.payloads or unit.timestamp <= self.timestamp:
                return None
            template = fanout.template(packetized, self.viewers)
        except Exception:  # noqa: BLE001 - each viewer's own sender meets it too, and says so
            return None
        follows = template.own == (self.upcoming & 0xFFFF, unit.timestamp + fanout.origin & 0xFFFFFFFF, fanout.ssrc)
        return template if follows else None

    def _send(self, template: Template, part: Run) -> list[Place]:
        """To everybody; returns those that did not get it."""
        scratch = self._fanout.scratch
        whole, plain = slice(part.end - part.begin), template.view[part.begin : part.end]
        pointers, places, fresh = part.pointers, scratch.length_pointers, part.lengths
        view, lengths = scratch.view, scratch.lengths[: len(fresh)]
        packets, control = (view[whole],), part.control if part.count > 1 else ()
        everything, protect = slice(None), aiortc_private.srtp_protect
        strays = []
        for place, (nominated, pair, sendmsg, address), contexts in self._members.values():
            try:
                if nominated(1) is pair:
                    view[whole] = plain
                    lengths[everything] = fresh
                    if not any(map(protect, contexts, pointers, places)):
                        sendmsg(packets, control, 0, address)
                        continue
            except Exception:  # noqa: BLE001 - per-viewer boundary: its own sender meets it again, and says so
                pass
            strays.append(place)
        return strays

    def _note(self, unit: AccessUnit, template: Template) -> None:
        """Everybody who is still here is sent that from now on."""
        if len(self.bursts) >= LOG:
            for place in self._members:
                place.settle()
                place.rewound()
            self.units.clear()
            self.bursts.clear()
        self.newest = self._fanout.newest_packetized
        self.units.append((self.upcoming, self.newest, template.own[1]))
        self.timestamp = unit.timestamp

    def _sent(self, packets: int, octets: int, now_ns: int) -> None:
        """Everybody who is still here was sent so much of the newest unit."""
        self.upcoming += packets
        self.octets += octets
        burst = (self.upcoming, now_ns / 1e9, self.octets)
        if self.bursts and self.bursts[-1][1] == burst[1]:  # a step of several calls, during which nobody settles who stays
            self.bursts[-1] = burst
        else:
            self.bursts.append(burst)

    def _complete(self, template: Template, received_ns: int, begun_ns: int, sent_ns: int) -> None:
        """Everybody who is still here was sent all of it, by a round from `begun_ns` to `sent_ns`."""
        self.payload += template.octets
        self._fanout.delays.observe_evenly(begun_ns - received_ns, sent_ns - received_ns, len(self._members))

    def _alone(self, places: list[Place], unit: AccessUnit) -> None:
        """Have them served by their own senders."""
        for place in places:
            place.feed.part()
            place.feed.push(unit)

    def _report(self, now_ns: int) -> None:
        self.report_due_ns = now_ns + REPORT_NS
        for place in list(self._members):
            place.sender.report(now_ns)


class Lockstep:
    """The convoys of a camera."""

    def __init__(self, fanout: FanOut) -> None:
        self._fanout = fanout
        self._convoys: list[Convoy] = []

    def join(self, sender: ViewerSender, feed: Feed, packetized: PacketizedUnit, timestamp: int, upcoming: int) -> Place | None:
        """A place for a viewer that was just sent that unit with the template's own numbers; `timestamp` and `upcoming`, the next
        sequence number, are not wrapped. None where each send takes more than a call."""
        straight = sender.path.straight
        if straight is None:
            return None
        self._convoys = [convoy for convoy in self._convoys if not convoy.empty]
        for convoy in self._convoys:
            same = convoy.newest is packetized and convoy.viewers is sender.viewers and convoy.timestamp == timestamp
            if same and convoy.upcoming == upcoming and not convoy.full:
                break
        else:
            convoy = Convoy(self._fanout, sender.viewers, packetized, timestamp, upcoming)
            self._convoys.append(convoy)
        place = convoy.add(sender, feed, straight)
        feed.join(convoy, place)
        return place
