"""Lift as a forest plot: one SVG, no dependency, readable in light and dark.

A dot is a difference to the control, the line through it its 95 % interval, the upright line no difference; what is
suppressed says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanse.measure.lift.result import LiftRow

_LEFT, _WIDTH, _ROW, _TOP = 230, 380, 28, 44
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.quiet{fill:#57606a}.bold{font-weight:600}"
    ".effect{stroke:#3b7dd8;stroke-width:3}.dot{fill:#14375e}.unclear .effect{stroke:#8c959f}"
    ".unclear .dot{fill:#57606a}.zero{stroke:#57606a;stroke-dasharray:4 3}.axis{stroke:#d0d7de}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9da7b1}.dot{fill:#cfe3ff}"
    ".axis{stroke:#30363d}}"
)


def forest(title: str, rows: Sequence[LiftRow]) -> str:
    """The rows' differences as SVG text, all to one scale; shares in points."""
    share = bool(rows) and rows[0].kind == "share"
    factor = 100.0 if share else 1.0
    ends = [0.0]
    for r in rows:
        if r.difference_low is not None and r.difference_high is not None:
            ends += [r.difference_low * factor, r.difference_high * factor]
    low, high, step = _scale(min(ends), max(ends))
    bottom = _TOP + _ROW * len(rows)
    width, height = _LEFT + _WIDTH + 240, bottom + 44

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * _WIDTH

    parts = [f'<text class="bold" x="4" y="20">{escape(title)}</text>']
    for number in range(round((high - low) / step) + 1):
        tick = low + number * step
        kind, told = ("zero", "0") if abs(tick) < step / 2 else ("axis", f"{tick:+.4g}")
        parts.append(
            f'<line class="{kind}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{_TOP - 8}" y2="{bottom}"/>'
            f'<text class="quiet" x="{x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{told}</text>'
        )
    unit = "points" if share else "per person"
    parts.append(
        f'<text class="quiet" x="{_LEFT + _WIDTH / 2}" y="{bottom + 36}" text-anchor="middle">{unit}</text>'
    )
    several = len({r.arm for r in rows}) > 1
    for number, r in enumerate(rows):
        named = [r.arm] if several else []
        named += (
            ["everybody" if r.segment == "all" else r.segment]
            if len(rows) > 1 or not several
            else []
        )
        parts.append(
            f'<text x="{_LEFT - 12}" y="{_TOP + number * _ROW + 17}" text-anchor="end">'
            f"{escape(' · '.join(named))}</text>"
        )
        parts.append(_effect(r, _TOP + number * _ROW + 12, factor, x))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img"><title>{escape(title)}</title><style>{_STYLE}</style>'
        + "".join(parts)
        + "</svg>\n"
    )


def _effect(r: LiftRow, y: int, factor: float, x: Callable[[float], float]) -> str:
    """One row: its interval, its dot, its figures in words."""
    if r.difference is None or r.difference_low is None or r.difference_high is None:
        return f'<text class="quiet" x="{_LEFT + 8}" y="{y + 5}">suppressed</text>'
    low, value, high = (n * factor for n in (r.difference_low, r.difference, r.difference_high))
    told = f"{value:+.3g} ({low:+.3g} to {high:+.3g})"
    if r.relative is not None:
        told += f" · {r.relative:+.0%}"
    clear = "clear" if low > 0 or high < 0 else "unclear"
    return (
        f'<g class="{clear}"><line class="effect" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y}" y2="{y}"/>'
        f'<circle class="dot" cx="{x(value):.1f}" cy="{y}" r="5"/></g>'
        f'<text class="quiet" x="{_LEFT + _WIDTH + 14}" y="{y + 5}">{told}</text>'
    )


def _scale(least: float, most: float) -> tuple[float, float, float]:
    """(low, high, step): round steps around everything, zero among them."""
    if most <= least:  # nothing to draw to scale: all is suppressed
        least, most = least - 1.0, most + 1.0
    span = most - least
    power = 10.0 ** math.floor(math.log10(span))
    step = next(power * s for s in (0.1, 0.2, 0.5, 1.0, 2.0) if span / (power * s) <= 6)
    return math.floor(least / step) * step, math.ceil(most / step) * step, step
