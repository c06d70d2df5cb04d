"""A portrait as a picture: one SVG, no dependency, readable in light and dark.

A bar runs from 100 (as in the base) to the index, a thin line over its end is the 95 % interval; grey where the
interval holds 100. Indices are drawn on a log scale, so that twice and half are equally far from 100.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from hanse.measure.portrait.index import PAR

if TYPE_CHECKING:
    from hanse.measure.portrait.result import PortraitRow

_LEFT, _WIDTH, _ROW, _TOP, _TITLE, _BAR = 200, 400, 26, 40, 30, 16
_TICKS = (1, 2, 5, 10, 20, 25, 50, 75, 100, 150, 200, 300, 400, 500, 1000, 2000, 5000, 10000)
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.quiet{fill:#57606a}.bold{font-weight:600}"
    ".more{fill:#3b7dd8}.less{fill:#d9822b}.unclear{fill:#afb8c1}.interval{stroke:#24292f;stroke-width:2}"
    ".par{stroke:#57606a}.axis{stroke:#d0d7de}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9da7b1}.interval{stroke:#e6edf3}"
    ".unclear{fill:#6e7681}.axis{stroke:#30363d}}"
)


def picture(rows: Sequence[PortraitRow]) -> str:
    """The rows' indices as SVG text, label by label, all to one scale."""
    low, high = _range(rows)

    def x(value: float) -> float:
        within = min(max(value, low), high)
        return _LEFT + math.log(within / low) / math.log(high / low) * _WIDTH

    parts: list[str] = []
    y = _TOP
    label = None
    for row in rows:
        if row.label != label:
            label = row.label
            parts.append(f'<text class="bold" x="4" y="{y + 18}">{escape(label)}</text>')
            y += _TITLE
        parts.append(_bar(row, y, x))
        y += _ROW
    width, height = _LEFT + _WIDTH + 260, y + 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img"><title>Portrait: index against the base (100 = as in the base)</title>'
        f"<style>{_STYLE}</style>" + _axis(low, high, y, x) + "".join(parts) + "</svg>\n"
    )


def _range(rows: Sequence[PortraitRow]) -> tuple[float, float]:
    """Ticks around everything, 50 and 200 at least; what is beyond four times less or more is cut off."""
    ends = [50.0, 200.0]
    for row in rows:
        if row.tgi is not None and row.tgi_low is not None and row.tgi_high is not None:
            ends += [max(row.tgi_low, row.tgi / 4), min(row.tgi_high, row.tgi * 4)]
    low = max((t for t in _TICKS if t <= min(ends)), default=_TICKS[0])
    return float(low), float(min((t for t in _TICKS if t >= max(ends)), default=_TICKS[-1]))


def _axis(low: float, high: float, bottom: int, x: Callable[[float], float]) -> str:
    parts = []
    shown = [t for t in _TICKS if low <= t <= high]
    if len(shown) > 8:
        shown = [t for t in shown if str(t)[0] == "1" or t in (low, high)]
    for tick in shown:
        kind = "par" if tick == PAR else "axis"
        parts.append(
            f'<text class="quiet" x="{x(tick):.1f}" y="18" text-anchor="middle">{tick}</text>'
            f'<line class="{kind}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="26" y2="{bottom}"/>'
        )
    return "".join(parts)


def _bar(row: PortraitRow, y: int, x: Callable[[float], float]) -> str:
    middle = y + _BAR // 2
    named = f'<text x="{_LEFT - 10}" y="{middle + 5}" text-anchor="end">{escape(row.value)}</text>'
    if row.tgi is None or row.tgi_low is None or row.tgi_high is None:
        return (
            named + f'<text class="quiet" x="{x(PAR) + 8:.1f}" y="{middle + 5}">suppressed</text>'
        )
    start, end = sorted((x(PAR), x(row.tgi)))
    kind = "more" if row.tgi_low > PAR else "less" if row.tgi_high < PAR else "unclear"
    figures = f"{row.tgi:.0f} ({row.tgi_low:.0f}–{row.tgi_high:.0f})"
    if row.crowd_share is not None:
        figures += f" · {row.crowd_share:.0%} of the crowd"
    return (
        f'{named}<rect class="{kind}" x="{start:.1f}" y="{y}" width="{end - start:.1f}" height="{_BAR}" rx="2"/>'
        f'<line class="interval" x1="{x(row.tgi_low):.1f}" x2="{x(row.tgi_high):.1f}" y1="{middle}" y2="{middle}"/>'
        f'<text class="quiet" x="{_LEFT + _WIDTH + 12}" y="{middle + 5}">{figures}</text>'
    )
