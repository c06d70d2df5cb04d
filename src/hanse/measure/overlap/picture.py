"""Overlaps as an UpSet plot: one SVG, no dependency, readable in light and dark.

Above: people by region, largest first, with 95 % intervals. Below: which crowds each region is in. To the left: the
crowds themselves. Suppressed regions are not drawn; the title line says how many there are.
Source: Lex et al. 2014, "UpSet: Visualization of Intersecting Sets".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanse.measure.overlap.result import OverlapRow

_NAMES, _SETS, _ROW, _TOP, _BARS = 150, 110, 26, 54, 190
_GAP = 78  # between the crowds' bars and the matrix: their figures
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.small{font-size:11px}.quiet{fill:#57606a}"
    ".bold{font-weight:600}.bar{fill:#3b7dd8}.interval{stroke:#14375e;stroke-width:2}"
    ".hidden{fill:none;stroke:#8c959f;stroke-dasharray:4 3}.band{fill:#f0f3f6}.off{fill:#d0d7de}"
    ".on{fill:#14375e}.join{stroke:#14375e;stroke-width:3}.axis{stroke:#d0d7de}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9da7b1}.interval,.join{stroke:#cfe3ff}"
    ".on{fill:#cfe3ff}.band{fill:#161b22}.off{fill:#30363d}.axis{stroke:#30363d}}"
)
Region = tuple[tuple[int, ...], "OverlapRow"]


def upset(names: Sequence[str], crowds: Sequence[OverlapRow], regions: Sequence[Region]) -> str:
    """The plot as SVG text. ``regions``: (crowds as places in ``names``, figure)."""
    shown = [r for r in regions if r[1].people is not None]
    shown.sort(key=lambda r: -(r[1].people or 0))
    step = 34 if len(shown) <= 20 else 24
    left = _NAMES + _SETS + _GAP
    width = left + max(step * len(shown), 240) + 20
    height = _TOP + _BARS + 22 + _ROW * len(names) + 14
    parts = [
        *_heading(len(regions), len(shown), left),
        *_bars([row for _, row in shown], left, step),
        *_matrix(names, [inside for inside, _ in shown], left, step, width),
        *_sets(crowds),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img"><title>Overlap of {len(names)} crowds</title>'
        f"<style>{_STYLE}</style>" + "".join(parts) + "</svg>\n"
    )


def _heading(regions: int, shown: int, left: int) -> Iterator[str]:
    yield f'<text class="bold" x="{left}" y="18">People in exactly these crowds</text>'
    if shown < regions:
        yield f'<text class="quiet" x="{left}" y="36">{regions - shown} of {regions} suppressed</text>'


def _bars(rows: Sequence[OverlapRow], left: int, step: int) -> Iterator[str]:
    bottom = _TOP + _BARS
    largest = max((row.high or 0.0 for row in rows), default=0.0) or 1.0
    yield f'<line class="axis" x1="{left}" x2="{left + step * len(rows)}" y1="{bottom}" y2="{bottom}"/>'
    for number, row in enumerate(rows):
        x, middle = left + number * step + 4, left + number * step + step / 2
        size, low, high = (
            max(0.0, n or 0.0) / largest * (_BARS - 18) for n in (row.people, row.low, row.high)
        )
        yield (
            f'<rect class="bar" x="{x}" y="{bottom - size:.1f}" width="{step - 8}" height="{size:.1f}" rx="2">'
            f"<title>{escape(row.crowd)}: {row.people:,}</title></rect>"
            f'<line class="interval" x1="{middle}" x2="{middle}" y1="{bottom - low:.1f}" y2="{bottom - high:.1f}"/>'
            f'<text class="small" x="{middle}" y="{bottom - high - 4:.1f}" text-anchor="middle">'
            f"{_short(row.people)}</text>"
        )


def _matrix(
    names: Sequence[str], regions: Sequence[tuple[int, ...]], left: int, step: int, width: int
) -> Iterator[str]:
    top = _TOP + _BARS + 22
    for place in range(0, len(names), 2):
        yield f'<rect class="band" x="0" y="{top + place * _ROW}" width="{width}" height="{_ROW}"/>'
    for number, inside in enumerate(regions):
        x = left + number * step + step / 2
        heights = [top + place * _ROW + _ROW / 2 for place in range(len(names))]
        for place, y in enumerate(heights):
            if place not in inside:
                yield f'<circle class="off" cx="{x}" cy="{y}" r="5"/>'
        if len(inside) > 1:
            ends = heights[inside[0]], heights[inside[-1]]
            yield f'<line class="join" x1="{x}" x2="{x}" y1="{ends[0]}" y2="{ends[1]}"/>'
        for place in inside:
            yield f'<circle class="on" cx="{x}" cy="{heights[place]}" r="5"/>'


def _sets(crowds: Sequence[OverlapRow]) -> Iterator[str]:
    top = _TOP + _BARS + 22
    largest = max((row.high or 0.0 for row in crowds), default=0.0) or 1.0
    for place, row in enumerate(crowds):
        y = top + place * _ROW
        yield (
            f'<text x="{_NAMES - 8}" y="{y + 17}" text-anchor="end">{escape(_cut(row.crowd))}'
            f"<title>{escape(row.crowd)}</title></text>"
        )
        if row.people is None or row.low is None or row.high is None:
            yield (
                f'<rect class="hidden" x="{_NAMES}" y="{y + 6}" width="30" height="{_ROW - 12}"/>'
                f'<text class="quiet small" x="{_NAMES + 36}" y="{y + 17}">suppressed</text>'
            )
            continue
        size, low, high = (n / largest * _SETS for n in (row.people, row.low, row.high))
        yield (
            f'<rect class="bar" x="{_NAMES}" y="{y + 6}" width="{size:.1f}" height="{_ROW - 12}" rx="2"/>'
            f'<line class="interval" x1="{_NAMES + low:.1f}" x2="{_NAMES + high:.1f}" y1="{y + _ROW / 2}" '
            f'y2="{y + _ROW / 2}"/>'
            f'<text class="quiet small" x="{_NAMES + high + 6:.1f}" y="{y + 17}">{_short(row.people)}</text>'
        )


def _cut(name: str, most: int = 20) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _short(count: int | None) -> str:
    """1,234 as "1,234", 1,234,567 as "1.23M": bars are narrow."""
    if count is None:
        return ""
    if count >= 1_000_000:
        return f"{count / 1_000_000:.2f}M"
    if count >= 10_000:
        return f"{count / 1000:,.0f}k" if count >= 100_000 else f"{count / 1000:.1f}k"
    return f"{count:,}"
