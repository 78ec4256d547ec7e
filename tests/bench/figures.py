"""A set of samples, what is said of it, and the table it stands in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` (0 to 1) of all do not exceed. Raises IndexError without samples."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least squares: how much y grows with each x."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. A single number has only `p50`. `first` is the cold one, which the others leave out."""

    what: str
    unit: str
    p50: float
    p95: float | None = None
    first: float | None = None
    samples: int | None = None

    @classmethod
    def of(cls, what: str, unit: str, samples: Sequence[float], first: float | None = None) -> Figure:
        """Median and 95th percentile of all samples."""
        return cls(what, unit, percentile(samples, 0.5), percentile(samples, 0.95), first, len(samples))


def markdown(conditions: dict[str, str], figures: Sequence[Figure]) -> str:
    """The table that people read and paste."""

    def cell(value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}"

    lines = ["| | unit | p50 | p95 | first | n |", "|---|---|--:|--:|--:|--:|"]
    for figure in figures:
        numbers = [cell(figure.p50), cell(figure.p95), cell(figure.first), str(figure.samples or "")]
        lines.append(f"| {figure.what} | {figure.unit} | {' | '.join(numbers)} |")
    lines += ["", *(f"{name}: {value}  " for name, value in conditions.items())]
    return "\n".join(lines) + "\n"
