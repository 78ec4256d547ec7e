"""The contestants side by side: the table, the targets of this class of machine, and the plot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.bench import plot
from tests.bench.figures import Figure
from tests.bench.floor import Floor
from tests.bench.viewers import Result

LABELS = {
    "edgecam": "edgecam",
    "aiortc-shared": "aiortc, shared packets",
    "aiortc-encode": "aiortc, encoder each",
    "gstreamer": "GStreamer webrtcbin",
    "janus": "Janus",
    "floor": "floor",
    "floor-one-socket": "floor, one socket",
}


def table(results: Sequence[Result], levels: Sequence[int]) -> str:
    """Percent of a core of the whole process at each level, what one viewer more costs, and its ratio to edgecam's."""
    head = [f"{level} viewer{'s' * (level > 1)}" for level in levels]
    lines = [
        f"| % of a core | {' | '.join(head)} | each viewer more | µs a packet | MB a viewer |",
        f"|---|{'--:|' * (len(levels) + 3)}",
    ]
    for result in results:
        if result.missing:
            lines.append(f"| {result.title} | **not measured: {result.missing}** |{' |' * (len(levels) + 2)}")
            continue
        by_level = {level.viewers: level for level in result.levels}
        cells = [f"{by_level[level].cpu_pct:.1f}" if level in by_level else "-" for level in levels]
        slope = result.per_viewer()
        # One that no longer gets the cores it wants does not cost less: it sends less.
        told = "no core left" if slope is not None and slope <= 0 else _cell(slope, 3)
        more = [told, _cell(result.per_packet_us(), 1), _cell(result.memory_mb(), 2)]
        lines.append(f"| {result.title} | {' | '.join(cells + more)} |")
    return "\n".join(lines) + "\n"


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def parts(floor: Floor) -> str:
    """Microseconds per packet by part."""
    lines = ["| µs of CPU a packet | packetise, once | copy and patch | protect | GSO send | plain send |", "|---|--:|--:|--:|--:|--:|"]
    for each in floor.profiles:
        gso = _cell(each.gso, 2)
        cells = [f"{value:.2f}" for value in (each.packetize, each.copy, each.protect)]
        lines.append(f"| {each.profile} | {' | '.join(cells)} | {gso} | {each.plain:.2f} |")
    return "\n".join(lines) + f"\n\nOne RTCP compound in (decrypt, read): {floor.rtcp_us:.1f} µs.\n"


def ratios(results: Sequence[Result], floor: Floor) -> dict[str, Figure]:
    """edgecam against the others, from this run alone."""
    by_name = {result.name: result for result in results}
    own = by_name["edgecam"].per_viewer()
    assert own is not None
    profile = by_name["edgecam"].profile
    packets = by_name["edgecam"].levels[-1].packets
    tight = floor.us(profile) * packets / 1e4
    found = {
        "cpu_per_viewer_pct": Figure("each viewer more, between 4 and 16", "% of a core", own),
        "floor_tight_pct": Figure(f"floor in a tight loop, {profile}", "% of a core", tight),
        "ratio_floor_tight": Figure("edgecam to the floor in a tight loop", "ratio", own / tight),
    }
    others = {"aiortc-shared": "shared", "janus": "janus", "gstreamer": "gstreamer"}
    for name, key in others.items():
        other = by_name[name].per_viewer() if name in by_name else None
        if other:
            found[f"ratio_{key}"] = Figure(f"edgecam to {LABELS[name]}, each viewer more", "ratio", own / other)
    return found


# (figure, "p50" or "p95", at most, as the table says it)
TARGETS = (
    ("cpu_per_viewer_pct", "p50", 0.12, "CPU of each viewer more, % of a core"),
    ("ratio_shared", "p50", 0.3, "the same, to aiortc with shared packets"),
    ("ratio_floor", "p50", 1.3, "the same, to the floor in real time"),
    ("ratio_floor_tight", "p50", 1.3, "the same, to the floor in a tight loop"),
    ("send_delay_ms", "p95", 5.0, "added send delay with 100 viewers on one core, p95, ms"),
    ("rss_crowd_mb", "p50", 0.35, "memory of a viewer, MB"),
    ("glass_to_glass_ms", "p50", 25.0, "glass to glass, p50, ms"),
    ("glass_to_glass_ms", "p95", 43.0, "glass to glass, p95, ms"),
    ("start_to_ready_ms", "p50", 1500, "systemctl start → READY, ms"),
    ("idle_on_demand_pct", "p50", 1.0, "idle on demand, % of a core"),
    ("idle_daemon_pss_mb", "p50", 100, "idle on demand, memory of the daemon (PSS), MB"),
)


def targets(figures: dict[str, Figure]) -> str:
    """What was aimed at on two cores of this class, and what was reached."""
    lines = ["| | at most | measured | |", "|---|--:|--:|---|", *_judged(figures)]
    return "\n".join(lines) + "\n"


def _judged(figures: dict[str, Figure]) -> Iterator[str]:
    for key, which, most, what in TARGETS:
        if key in figures:
            value = float(getattr(figures[key], which))
            yield f"| {what} | {most:g} | {value:.3g} | {'reached' if value <= most else '**missed**'} |"


def drawing(results: Sequence[Result], levels: Sequence[int]) -> str:
    """The plot: the whole process over the number of viewers."""
    lines = [
        plot.Line(LABELS[result.name], [(level.viewers, level.cpu_pct) for level in result.levels])
        for result in results
        if result.levels
    ]
    return plot.svg(
        "Sender CPU, 720p30 at 2 Mbit/s", "viewers", "% of one core, whole process", lines, levels
    )
