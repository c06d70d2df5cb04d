"""A concentration as a picture: the top areas as bars with intervals, and all told areas on a map of dots.

One SVG, no dependency, readable in light and dark. A bar is as long as its TGI, a thin line over its end is the
95 % interval; the broken line is TGI 100, as common as everywhere. A dot's size goes by target people, its colour
by TGI.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hanse.places.concentration.result import Level, TargetFigures

_LEFT, _WIDTH, _ROW, _TOP, _BAR = 190, 330, 26, 44, 18
_MAP, _GAP, _MOST_DOTS, _BARS = 380, 150, 3000, 15
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.quiet{fill:#57606a}.bar{fill:#3b7dd8}"
    ".interval{stroke:#14375e;stroke-width:2}.even{stroke:#8c959f;stroke-dasharray:4 3}"
    ".high{fill:#c2410c}.middle{fill:#3b7dd8}.low{fill:#94a3b8}.high,.middle,.low{fill-opacity:.75}"
    ".frame{fill:none;stroke:#d0d7de}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9da7b1}.interval{stroke:#cfe3ff}}"
)


def svg(level: Level, target: TargetFigures) -> str:
    """The picture of one target at one level."""
    ranked = np.flatnonzero(target.rank > 0)
    best = ranked[np.argsort(target.rank[ranked])][:_BARS]
    height = max(_TOP + _ROW * max(1, best.size) + 20, _TOP + _MAP + 30)
    width = _LEFT + _WIDTH + _GAP + _MAP + 20
    title = f"TGI of {target.name} by {level.level}, {level.at}"
    parts = [
        f'<text x="4" y="18" font-weight="600">{escape(title)}</text>',
        *_bars(level, target, best),
    ]
    parts += _dots(level, target, ranked)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img"><title>{escape(title)}</title><style>{_STYLE}</style>'
        + "".join(parts)
        + "</svg>\n"
    )


def _bars(level: Level, target: TargetFigures, best: np.ndarray) -> list[str]:
    if not best.size:
        return [f'<text class="quiet" x="4" y="{_TOP + 14}">every area is suppressed</text>']
    highs = np.where(np.isfinite(target.tgi.high), target.tgi.high, target.tgi.value)
    scale = _WIDTH / max(110.0, float(highs[best].max()))
    even = _LEFT + 100 * scale
    bottom = _TOP + _ROW * best.size
    parts = [
        f'<line class="even" x1="{even:.1f}" x2="{even:.1f}" y1="{_TOP - 6}" y2="{bottom}"/>',
        f'<text class="quiet" x="{even:.1f}" y="{_TOP - 10}" text-anchor="middle">100</text>',
    ]
    for row, i in enumerate(best.tolist()):
        y = _TOP + row * _ROW
        middle = y + _BAR // 2
        value, low, high = (float(x[i]) * scale for x in (target.tgi.value, target.tgi.low, highs))
        label = level.labels[i]
        label = label if len(label) <= 26 else label[:25] + "…"
        told = f"{target.tgi.value[i]:,.0f} · {target.people.value[i]:,.0f} people"
        parts += [
            f'<text x="{_LEFT - 8}" y="{middle + 5}" text-anchor="end">{escape(label)}</text>',
            f'<rect class="bar" x="{_LEFT}" y="{y}" width="{value:.1f}" height="{_BAR}" rx="2"/>',
            f'<line class="interval" x1="{_LEFT + low:.1f}" x2="{_LEFT + high:.1f}" y1="{middle}" y2="{middle}"/>',
            f'<text class="quiet" x="{_LEFT + high + 6:.1f}" y="{middle + 5}">{told}</text>',
        ]
    return parts


def _dots(level: Level, target: TargetFigures, ranked: np.ndarray) -> list[str]:
    """Areas at their longitude and latitude, north up; one degree of longitude is as long as it is there."""
    left = _LEFT + _WIDTH + _GAP
    frame = f'<rect class="frame" x="{left}" y="{_TOP}" width="{_MAP}" height="{_MAP}"/>'
    if not ranked.size:
        return [frame]
    people = target.people.value[ranked]
    shown = ranked[np.argsort(-np.nan_to_num(people), kind="stable")][:_MOST_DOTS]
    lat, lon = level.lat[shown], level.lon[shown]
    x = (lon - lon.mean()) * np.cos(np.radians(lat.mean()))
    y = lat - lat.mean()
    reach = max(float(np.abs(x).max()), float(np.abs(y).max()), 1e-6)
    most = max(1.0, float(np.nan_to_num(target.people.value[shown]).max()))
    parts = [frame]
    for i, across, up in zip(shown.tolist(), x / reach, y / reach, strict=True):
        size = 2 + 9 * np.sqrt(max(0.0, np.nan_to_num(target.people.value[i])) / most)
        kind = (
            "high" if target.tgi.low[i] > 100 else "low" if target.tgi.high[i] < 100 else "middle"
        )
        cx, cy = left + _MAP / 2 + across * (_MAP / 2 - 14), _TOP + _MAP / 2 - up * (_MAP / 2 - 14)
        parts.append(
            f'<circle class="{kind}" cx="{cx:.1f}" cy="{cy:.1f}" r="{size:.1f}">'
            f"<title>{escape(level.labels[i])}: TGI {target.tgi.value[i]:,.0f}</title></circle>"
        )
    y_key = _TOP + _MAP + 18
    for n, (kind, told) in enumerate(
        (("high", "surely above 100"), ("middle", "about 100"), ("low", "surely below"))
    ):
        parts.append(f'<circle class="{kind}" cx="{left + 8 + n * 130}" cy="{y_key - 5}" r="5"/>')
        parts.append(f'<text class="quiet" x="{left + 18 + n * 130}" y="{y_key}">{told}</text>')
    return parts
