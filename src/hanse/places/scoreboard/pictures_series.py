"""One place over time: what was published with its interval, what turned out, and where there was no number."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

import numpy as np
from numpy.typing import NDArray

from hanse.places.feeds.feed import Days, Floats, day
from hanse.places.scoreboard.pictures import STYLE, document

_LEFT, _TOP, _HIGH, _WIDTH = 64.0, 44.0, 240.0, 780.0
_STYLE = STYLE + (
    ".band{fill:#3b7dd8;fill-opacity:.2}.truth{fill:#14375e}.off{fill:#c2410c}.gap{fill:#8c959f;fill-opacity:.12}"
    ".now{stroke:#57606a;stroke-dasharray:4 3}"
    "@media(prefers-color-scheme:dark){.truth{fill:#cfe3ff}}"
)


def series_svg(
    title: str,
    dates: Days,
    point: Floats,
    low: Floats,
    high: Floats,
    published: NDArray[np.bool_],
    truth: Floats,
    today: np.datetime64 | None = None,
) -> str:
    """All [days]. Dots are the truth, red where it is not within 30 % of the number; grey: withheld."""
    shown = published & np.isfinite(point)
    values = np.concatenate([high[shown], truth[np.isfinite(truth)], [1.0]])
    most, step = _scale(float(values.max()))
    width = _WIDTH / max(1, dates.size - 1)

    def x(n: float) -> float:
        return _LEFT + n * width

    def y(value: float) -> float:
        return _TOP + (1 - min(max(value, 0.0), most) / most) * _HIGH

    parts = [f'<text class="bold" x="4" y="20">{escape(title)}</text>']
    for number in range(round(most / step) + 1):
        height = y(number * step)
        parts.append(
            f'<line class="axis" x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{height:.1f}" y2="{height:.1f}"/>'
        )
        parts.append(
            f'<text class="quiet" x="{_LEFT - 8}" y="{height + 5:.1f}" text-anchor="end">{number * step:,g}</text>'
        )
    for first, last in _runs(~shown):
        begin, end = max(x(first - 0.5), _LEFT), min(x(last + 0.5), _LEFT + _WIDTH)
        parts.append(
            f'<rect class="gap" x="{begin:.1f}" y="{_TOP}" width="{end - begin:.1f}" height="{_HIGH}"/>'
        )
    for first, last in _runs(shown):
        days = range(first, last + 1)
        upper = [f"{x(n):.1f},{y(high[n]):.1f}" for n in days]
        lower = [f"{x(n):.1f},{y(low[n]):.1f}" for n in reversed(days)]
        parts.append(f'<polygon class="band" points="{" ".join(upper + lower)}"/>')
        line = "L".join(f"{x(n):.1f} {y(point[n]):.1f}" for n in days)
        parts.append(f'<path class="line" d="M{line}"/>')
    for n in np.flatnonzero(np.isfinite(truth)).tolist():
        off = bool(shown[n]) and truth[n] > 0 and abs(point[n] / truth[n] - 1) > 0.3
        parts.append(
            f'<circle class="{"off" if off else "truth"}" cx="{x(n):.1f}" cy="{y(truth[n]):.1f}" r="2.6"/>'
        )
    if today is not None and dates[0] <= day(today) <= dates[-1]:
        at = x(float((day(today) - dates[0]).astype(np.int64)) + 0.5)
        parts.append(
            f'<line class="now" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 6}" y2="{_TOP + _HIGH}"/>'
        )
        parts.append(
            f'<text class="quiet" x="{at:.1f}" y="{_TOP - 10}" text-anchor="middle">{day(today)}</text>'
        )
    parts += _ground(dates, x)
    return document(_LEFT + _WIDTH + 20, _TOP + _HIGH + 62, title, parts, _STYLE)


def _ground(dates: Days, x: Callable[[float], float]) -> list[str]:
    """The days along the foot, and what is what."""
    foot = _TOP + _HIGH + 18
    parts = [
        f'<text class="quiet" x="{x(n):.1f}" y="{foot}" '
        f'text-anchor="{"end" if n == dates.size - 1 else "middle"}">{dates[n]}</text>'
        for n in sorted({round(k * (dates.size - 1) / 5) for k in range(6)})
    ]
    y = foot + 28
    key = (("truth", "what turned out"), ("off", "not within 30 %"))
    for number, (kind, words) in enumerate(key):
        parts.append(f'<circle class="{kind}" cx="{_LEFT + 8 + number * 150}" cy="{y - 4}" r="4"/>')
        parts.append(f'<text class="quiet" x="{_LEFT + 18 + number * 150}" y="{y}">{words}</text>')
    parts.append(f'<rect class="band" x="{_LEFT + 310}" y="{y - 11}" width="16" height="12"/>')
    parts.append(
        f'<text class="quiet" x="{_LEFT + 332}" y="{y}">published, with its interval</text>'
    )
    parts.append(f'<rect class="gap" x="{_LEFT + 530}" y="{y - 11}" width="16" height="12"/>')
    parts.append(f'<text class="quiet" x="{_LEFT + 552}" y="{y}">withheld</text>')
    return parts


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Stretches (first, last) of days that are set."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _scale(most: float) -> tuple[float, float]:
    """(top, step) of a scale from 0 with round steps."""
    power = 10.0 ** math.floor(math.log10(max(most, 1.0)))
    step = next(power * s for s in (0.1, 0.2, 0.5, 1.0, 2.0) if most / (power * s) <= 6)
    return math.ceil(most / step) * step, step
