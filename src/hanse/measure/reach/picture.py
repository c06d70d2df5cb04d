"""Reach as a picture: the reach curve and the frequency histogram; one SVG, readable in light and dark.

To the left a point for each "at least so many contacts", to the right a bar for each number; thin lines are the
95 % intervals, an empty outline is a suppressed figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanse.measure.reach.result import ReachRow

_LEFT, _TOP, _HEIGHT, _GAP = 60, 44, 220, 70
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.small{font-size:11px}.quiet{fill:#57606a}"
    ".bold{font-weight:600}.bar{fill:#3b7dd8}.curve{fill:none;stroke:#3b7dd8;stroke-width:2}"
    ".band{fill:#3b7dd8;fill-opacity:.18}.dot{fill:#14375e}.interval{stroke:#14375e;stroke-width:2}"
    ".hidden{fill:none;stroke:#8c959f;stroke-dasharray:4 3}.axis{stroke:#d0d7de}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9da7b1}.interval{stroke:#cfe3ff}"
    ".dot{fill:#cfe3ff}.axis{stroke:#30363d}}"
)


def reach_picture(reach: Sequence[ReachRow], frequency: Sequence[ReachRow]) -> str:
    """Both panels as SVG text: rows of one segment, by rising number of contacts."""
    step = 44 if len(reach) <= 12 else 26
    panel = max(step * len(reach), 180)
    right = _LEFT + panel + _GAP
    width, height = right + panel + 20, _TOP + _HEIGHT + 52
    parts = [
        *_frame(reach, _LEFT, panel, step, "Reached at least so often"),
        *_curve(reach, _LEFT, step),
        *_frame(frequency, right, panel, step, "Number of contacts"),
        *_bars(frequency, right, step),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img"><title>Reach and frequency</title><style>{_STYLE}</style>'
        + "".join(parts)
        + "</svg>\n"
    )


def _scale(rows: Sequence[ReachRow]) -> Callable[[float], float]:
    largest = max((row.high or 0.0 for row in rows), default=0.0) or 1.0
    bottom = _TOP + _HEIGHT
    return lambda people: bottom - max(0.0, people) / largest * (_HEIGHT - 18)


def _frame(rows: Sequence[ReachRow], left: int, panel: int, step: int, title: str) -> Iterator[str]:
    bottom = _TOP + _HEIGHT
    exact = bool(rows) and rows[0].kind == "frequency"
    yield f'<text class="bold" x="{left}" y="20">{title}</text>'
    yield f'<line class="axis" x1="{left}" x2="{left + panel}" y1="{bottom}" y2="{bottom}"/>'
    for place, row in enumerate(rows):
        times = f"{row.times}" if exact and row is not rows[-1] else f"{row.times}+"
        yield (
            f'<text class="quiet" x="{left + place * step + step / 2}" y="{bottom + 18}" '
            f'text-anchor="middle">{times}</text>'
        )
    yield (
        f'<text class="quiet" x="{left + step * len(rows) / 2}" y="{bottom + 38}" text-anchor="middle">'
        "contacts</text>"
    )


def _curve(rows: Sequence[ReachRow], left: int, step: int) -> Iterator[str]:
    y = _scale(rows)
    upper, lower, line = [], [], []
    for place, row in enumerate(rows):
        x = left + place * step + step / 2
        if row.people is None or row.low is None or row.high is None:
            yield _hidden(x - step * 0.3, step * 0.6)
            continue
        upper.append(f"{x:.1f},{y(row.high):.1f}")
        lower.append(f"{x:.1f},{y(row.low):.1f}")
        line.append(f"{x:.1f},{y(row.people):.1f}")
    if len(line) > 1:
        yield f'<polygon class="band" points="{" ".join([*upper, *reversed(lower)])}"/>'
        yield f'<polyline class="curve" points="{" ".join(line)}"/>'
    for place, row in enumerate(rows):
        if row.people is not None and row.low is not None and row.high is not None:
            x = left + place * step + step / 2
            yield _interval(x, y(row.low), y(row.high))
            yield f'<circle class="dot" cx="{x:.1f}" cy="{y(row.people):.1f}" r="3.5"/>'
            yield _figure(x + 5, y(row.high), row.people, step, "start")


def _bars(rows: Sequence[ReachRow], left: int, step: int) -> Iterator[str]:
    y = _scale(rows)
    bottom = _TOP + _HEIGHT
    for place, row in enumerate(rows):
        x = left + place * step + step / 2
        if row.people is None or row.low is None or row.high is None:
            yield _hidden(x - step * 0.3, step * 0.6)
            continue
        top = y(row.people)
        yield (
            f'<rect class="bar" x="{x - step * 0.36:.1f}" y="{top:.1f}" width="{step * 0.72:.1f}" '
            f'height="{bottom - top:.1f}" rx="2"/>'
        )
        yield _interval(x, y(row.low), y(row.high))
        yield _figure(x, y(row.high), row.people, step)


def _hidden(x: float, width: float) -> str:
    return (
        f'<rect class="hidden" x="{x:.1f}" y="{_TOP + _HEIGHT - 24}" width="{width:.1f}" height="24">'
        "<title>suppressed</title></rect>"
    )


def _interval(x: float, low: float, high: float) -> str:
    return f'<line class="interval" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'


def _figure(x: float, top: float, people: int, step: int, anchor: str = "middle") -> str:
    """The figure over its mark; narrow columns leave it out."""
    if step < 40:
        return ""
    shown = f"{people:,}" if people < 100_000 else f"{people / 1000:,.0f}k"
    return (
        f'<text class="small" x="{x:.1f}" y="{top - 5:.1f}" text-anchor="{anchor}">{shown}</text>'
    )
