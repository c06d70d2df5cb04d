"""Attribution as bars: one SVG, no dependency, readable in light and dark.

A bar is the conversions credited to a channel, the thin line over its end the 95 % interval; what is suppressed is
an empty outline that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from hanse.measure.funnel.picture import bar

if TYPE_CHECKING:
    from hanse.measure.attribution.result import AttributionRow

_LEFT, _WIDTH, _ROW, _TOP = 190, 420, 34, 44
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.quiet{fill:#57606a}.bold{font-weight:600}"
    ".bar{fill:#3b7dd8}.rest .bar{fill:#8c959f}.interval{stroke:#14375e;stroke-width:2}"
    ".hidden{fill:none;stroke:#8c959f;stroke-dasharray:4 3}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9da7b1}.interval{stroke:#cfe3ff}}"
)


def bars(title: str, rows: Sequence[AttributionRow]) -> str:
    """The rows as SVG text, all to one scale; the last one is what no channel was credited with."""
    largest = max((row.conversions_high or 0.0 for row in rows), default=0.0) or 1.0
    parts = [f'<text class="bold" x="4" y="20">{escape(title)}</text>']
    for number, row in enumerate(rows):
        kind = ' class="rest"' if number == len(rows) - 1 else ""
        parts += [f"<g{kind}>", *_bar(row, _TOP + number * _ROW, largest), "</g>"]
    width, height = _LEFT + _WIDTH + 210, _TOP + _ROW * len(rows) + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img"><title>{escape(title)}</title><style>{_STYLE}</style>'
        + "".join(parts)
        + "</svg>\n"
    )


def _bar(row: AttributionRow, y: int, largest: float) -> list[str]:
    told = "" if row.conversions is None else f"{row.conversions:,.0f}"
    if row.share is not None:
        told += f" · {row.share:.0%} of all"
    figures = row.conversions, row.conversions_low, row.conversions_high
    return bar(row.channel, figures, told, y, largest)
