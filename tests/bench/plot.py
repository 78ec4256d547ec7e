"""A plot as SVG, written by hand: lines over the number of viewers, both axes logarithmic; good on light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 64, 214, 44, 48
# Okabe and Ito's colours, told apart by people who see fewer, on white and on black alike.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#888888")
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #333 }
  .title { font-size: 15px; font-weight: 600 }
  .grid { stroke: #8884; stroke-width: 1 }
  .back { fill: #fff }
  @media (prefers-color-scheme: dark) { text { fill: #ddd } .back { fill: #0d1117 } }
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A label and its points (x, y), all above zero."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Logarithmic: `low` and `high` come to stand at `begin` and `end`."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.begin + share * (self.end - self.begin)


def svg(title: str, x_label: str, y_label: str, lines: Sequence[Line], ticks: Sequence[int]) -> str:
    """The whole file. `ticks` are the values marked on the x axis."""
    values = [y for line in lines for _, y in line.points]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))
    across = _Scale(ticks[0], ticks[-1], LEFT, WIDTH - RIGHT)
    up = _Scale(low, high, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        f'<text class="title" x="{LEFT}" y="26">{escape(title)}</text>',
        *_axes(across, up, ticks, low, high),
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text transform="translate(16 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>',
        *_drawn(lines, across, up),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _axes(across: _Scale, up: _Scale, ticks: Sequence[int], low: float, high: float) -> list[str]:
    parts = []
    for tick in ticks:
        x = across(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick}</text>')
    value = low
    while value <= high * 1.001:
        y = up(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        value *= 10
    return parts


def _drawn(lines: Sequence[Line], across: _Scale, up: _Scale) -> list[str]:
    parts: list[str] = []
    ends = _apart([up(line.points[-1][1]) for line in lines])
    for line, colour, end in zip(lines, _colours(len(lines)), ends, strict=True):
        points = [(across(x), up(y)) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
        parts.append(f'<circle cx="{WIDTH - RIGHT + 18}" cy="{end:.1f}" r="4.5" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 28}" y="{end + 4:.1f}">{escape(line.label)}</text>')
    return parts


def _colours(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def _apart(heights: Sequence[float], least: float = 18.0) -> list[float]:
    """The same heights, moved down where labels would overlap."""
    placed = list(heights)
    previous = -math.inf
    for index in sorted(range(len(placed)), key=placed.__getitem__):
        placed[index] = previous = max(placed[index], previous + least)
    return placed
