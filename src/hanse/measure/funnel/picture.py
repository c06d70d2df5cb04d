"""A funnel as a picture: one SVG, no dependency, readable in light and dark, with the intervals drawn in.

A bar is as long as its figure, a thin line over its end is the 95 % interval, and what is suppressed is an empty
outline that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanse.measure.funnel.result import FunnelRow

_LEFT, _WIDTH, _ROW, _TOP, _TITLE = 190, 420, 34, 14, 26
_BAR = 22
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.quiet{fill:#57606a}.bar{fill:#3b7dd8}"
    ".interval{stroke:#14375e;stroke-width:2}.hidden{fill:none;stroke:#8c959f;stroke-dasharray:4 3}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9da7b1}.interval{stroke:#cfe3ff}}"
)


def picture(rows: Sequence[FunnelRow]) -> str:
    """The rows as SVG text, one block of bars per arm and segment, all to one scale."""
    largest = max((row.high or 0.0 for row in rows), default=0.0) or 1.0
    parts: list[str] = []
    y = _TOP
    group: tuple[str, str] | None = None
    for row in rows:
        if (row.arm, row.segment) != group:
            group = row.arm, row.segment
            named = " · ".join(part for part in group if part != "all") or "everybody"
            parts.append(f'<text x="4" y="{y + 16}" font-weight="600">{escape(named)}</text>')
            y += _TITLE
        parts += _bar(row, y, largest)
        y += _ROW
    width, height = _LEFT + _WIDTH + 210, y + _TOP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img"><title>Funnel</title><style>{_STYLE}</style>'
        + "".join(parts)
        + "</svg>\n"
    )


def _bar(row: FunnelRow, y: int, largest: float) -> list[str]:
    told = "" if row.people is None else f"{row.people:,}"
    if row.rate is not None:
        told += f" · {row.rate:.0%} of the stage before"
    return bar(row.stage, (row.people, row.low, row.high), told, y, largest)


def bar(
    label: str, figures: tuple[float | None, float | None, float | None], told: str, y: int,
    largest: float,
) -> list[str]:  # fmt: skip
    """One bar with its label, interval and words; ``figures`` are (value, low, high), None where suppressed."""
    middle = y + _BAR // 2
    name = f'<text x="{_LEFT - 8}" y="{middle + 5}" text-anchor="end">{escape(label)}</text>'
    if None in figures:
        return [
            name,
            f'<rect class="hidden" x="{_LEFT}" y="{y}" width="60" height="{_BAR}"/>',
            f'<text class="quiet" x="{_LEFT + 70}" y="{middle + 5}">suppressed</text>',
        ]
    length, low, high = ((n or 0.0) / largest * _WIDTH for n in figures)
    return [
        name,
        f'<rect class="bar" x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="2"/>',
        f'<line class="interval" x1="{_LEFT + low:.1f}" x2="{_LEFT + high:.1f}" y1="{middle}" '
        f'y2="{middle}"/>',
        f'<text class="quiet" x="{_LEFT + high + 8:.1f}" y="{middle + 5}">{told}</text>',
    ]
