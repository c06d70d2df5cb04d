"""The scoreboard as a picture: P30 day by day and by group, and what each party contributes.

One SVG each, no dependency, readable in light and dark. Filled is what was published, hollow what all numbers would
have been; a thin line says how sure a share of so many days is.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import sqrt

from hanse.places.scoreboard.scoreboard import Contribution, Score, Scoreboard

STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.quiet{fill:#57606a}.bold{font-weight:600}"
    ".large{font-size:26px;font-weight:600}.bar{fill:#3b7dd8}.loss{fill:#c2410c}.gain{fill:#3b7dd8}"
    ".all{fill:none;stroke:#8c959f;stroke-width:1.5}.interval{stroke:#14375e;stroke-width:2}"
    ".axis{stroke:#d0d7de}.aim{stroke:#57606a;stroke-dasharray:4 3}.line{fill:none;stroke:#3b7dd8;stroke-width:2}"
    ".quietline{fill:none;stroke:#8c959f;stroke-width:1.5;stroke-dasharray:2 3}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9da7b1}.interval{stroke:#cfe3ff}"
    ".axis{stroke:#30363d}.all{stroke:#9da7b1}}"
)
_LEFT, _WIDTH, _RIGHT, _ROW, _BAR = 190, 420, 230, 26, 16
_DAYS_HIGH = 120
_MOST_GROUPS = 14
_LEAST_POINTS = 5.0


def document(
    width: float, height: float, title: str, parts: Sequence[str], style: str = STYLE
) -> str:
    """An SVG document around ``parts``."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img"><title>{escape(title)}</title><style>{style}</style>'
        + "".join(parts)
        + "</svg>\n"
    )


def scoreboard_svg(
    board: Scoreboard, dimensions: Sequence[str] = (), aim: float = 0.9, label: str = ""
) -> str:
    """The whole board: its main figures, P30 by day, and bars by dimension (all but days, or those named).

    ``aim`` is the P30 that is promised, drawn as a broken line; ``label`` says what it is of.
    """
    title = f"{label + ': ' if label else ''}P30 from {board.first} to {board.last}"
    parts = [f'<text class="bold" x="4" y="20">{escape(title)}</text>', *_figures(board.whole)]
    y = 104.0
    days = board.of("day")
    if len(days) > 1:
        parts += _by_day(days, y, aim)
        y += _DAYS_HIGH + 46
    for dimension in dimensions or [d for d in board.dimensions() if d != "day"]:
        found = board.of(dimension)
        parts.append(f'<text class="bold" x="4" y="{y:g}">by {escape(dimension)}</text>')
        y += 12
        start = y
        shown = _chosen(found)
        for score in shown:
            parts += _bar(score, y)
            y += _ROW
        x = _LEFT + aim * _WIDTH
        parts.insert(
            len(parts),
            f'<line class="aim" x1="{x:.1f}" x2="{x:.1f}" y1="{start - 4:g}" y2="{y - 6:g}"/>',
        )
        if len(shown) < len(found):
            parts.append(
                f'<text class="quiet" x="{_LEFT}" y="{y + 8:g}">and {len(found) - len(shown)} more</text>'
            )
            y += 18
        y += 26
    return document(_LEFT + _WIDTH + _RIGHT, y, title, parts)


def contributions_svg(parties: Sequence[Contribution]) -> str:
    """What P30 loses without each party, in points; a party without which it gains is drawn the other way."""
    title = "What each party contributes"
    everybody = parties[0].p30 if parties else 0.0
    parts = [f'<text class="bold" x="4" y="20">{title}</text>',
             f'<text class="quiet" x="4" y="40">P30 with everybody: {everybody:.1%}. A bar is what is lost without '
             "the party.</text>"]  # fmt: skip
    ends = [0.0, *(c.points for c in parties)]
    low, high = (
        min(ends),
        max([*ends, _LEAST_POINTS]),
    )  # or a tenth of a point would fill the picture
    scale = _WIDTH / (high - low)
    zero = _LEFT - low * scale
    y = 58.0
    for c in parties:
        length = abs(c.points) * scale
        x = zero if c.points >= 0 else zero - length
        kind = "gain" if c.points >= 0 else "loss"
        middle = y + _BAR / 2
        end = max(zero, x + length)
        parts += [
            f'<text x="{_LEFT - 8}" y="{middle + 5:g}" text-anchor="end">{escape(c.party)}</text>',
            f'<rect class="{kind}" x="{x:.1f}" y="{y:g}" width="{max(length, 0.5):.1f}" height="{_BAR}" rx="2"/>',
            f'<text class="quiet" x="{end + 8:.1f}" y="{middle + 5:g}">{c.points:+.1f} points · '
            f"{c.without:.1%} without</text>",
        ]
        y += _ROW
    parts.append(f'<line class="axis" x1="{zero:.1f}" x2="{zero:.1f}" y1="52" y2="{y:g}"/>')
    return document(_LEFT + _WIDTH + _RIGHT, y + 12, title, parts)


def _figures(whole: Score) -> list[str]:
    """The few figures that come first."""
    told = [
        (_percent(whole.p30_published), "P30, published"),
        (f"{whole.published_share:.0%}", f"of {whole.days:,} days"),
        (_percent(whole.p30), "P30, all numbers"),
        (_percent(whole.coverage), "inside the interval"),
        ("-" if whole.bias is None else f"{whole.bias:+.1%}", "bias"),
    ]
    parts = []
    for number, (figure, words) in enumerate(told):
        x = 4 + number * 170
        parts.append(f'<text class="large" x="{x}" y="56">{figure}</text>')
        parts.append(f'<text class="quiet" x="{x}" y="76">{escape(words)}</text>')
    return parts


def _by_day(days: Sequence[Score], y: float, aim: float) -> list[str]:
    """Two lines: published, and all numbers."""
    left, width = 44.0, _LEFT + _WIDTH + _RIGHT - 64.0
    values = [v for s in days for v in (s.p30, s.p30_published) if v is not None]
    low = max(0.0, min([*values, aim]) - 0.05)
    low = int(low * 10) / 10

    def at(number: int, value: float) -> str:
        x = left + number / max(1, len(days) - 1) * width
        return f"{x:.1f} {y + (1 - value) / (1 - low) * _DAYS_HIGH:.1f}"

    parts = []
    steps = [low + n * (1 - low) / 4 for n in range(5)]
    for step in steps:
        height = y + (1 - step) / (1 - low) * _DAYS_HIGH
        parts.append(
            f'<line class="axis" x1="{left}" x2="{left + width}" y1="{height:.1f}" y2="{height:.1f}"/>'
        )
        parts.append(
            f'<text class="quiet" x="{left - 6}" y="{height + 5:.1f}" text-anchor="end">{step:.0%}</text>'
        )
    height = y + (1 - aim) / (1 - low) * _DAYS_HIGH
    parts.append(
        f'<line class="aim" x1="{left}" x2="{left + width}" y1="{height:.1f}" y2="{height:.1f}"/>'
    )
    for kind, name in (("quietline", "p30"), ("line", "p30_published")):
        drawn, pen = [], "M"
        for number, score in enumerate(days):
            value = getattr(score, name)
            if value is None:
                pen = "M"  # a day without any number cuts the line
                continue
            drawn.append(f"{pen}{at(number, value)}")
            pen = "L"
        parts.append(f'<path class="{kind}" d="{"".join(drawn)}"/>')
    for number in sorted({0, len(days) // 2, len(days) - 1}):
        x = left + number / max(1, len(days) - 1) * width
        anchor = "end" if number == len(days) - 1 else "start" if number == 0 else "middle"
        parts.append(
            f'<text class="quiet" x="{x:.1f}" y="{y + _DAYS_HIGH + 18:g}" text-anchor="{anchor}">'
            f"{escape(days[number].group)}</text>"
        )
    return parts


def _chosen(found: Sequence[Score]) -> list[Score]:
    """All groups, or those with most days, in their own order."""
    if len(found) <= _MOST_GROUPS:
        return list(found)
    most = sorted(found, key=lambda s: -s.days)[:_MOST_GROUPS]
    return [s for s in found if s in most]


def _bar(score: Score, y: float) -> list[str]:
    middle = y + _BAR / 2
    label = score.group if len(score.group) <= 26 else score.group[:25] + "…"
    parts = [f'<text x="{_LEFT - 8}" y="{middle + 5:g}" text-anchor="end">{escape(label)}</text>']
    if score.p30 is not None:
        parts.append(
            f'<rect class="all" x="{_LEFT}" y="{y:g}" width="{score.p30 * _WIDTH:.1f}" height="{_BAR}" rx="2"/>'
        )
    if score.p30_published is None:
        told = f"nothing published · {score.days:,} days"
        return [
            *parts,
            f'<text class="quiet" x="{_LEFT + _WIDTH + 10}" y="{middle + 5:g}">{told}</text>',
        ]
    shown = score.published_share * score.days
    half = 1.96 * sqrt(max(score.p30_published * (1 - score.p30_published), 1e-4) / max(shown, 1.0))
    x, low, high = (
        _LEFT + min(1.0, max(0.0, v)) * _WIDTH
        for v in (score.p30_published, score.p30_published - half, score.p30_published + half)
    )
    told = f"{score.p30_published:.1%} on {score.published_share:.0%} of {score.days:,}"
    return [
        *parts,
        f'<rect class="bar" x="{_LEFT}" y="{y + 3:g}" width="{x - _LEFT:.1f}" height="{_BAR - 6}" rx="1"/>',
        f'<line class="interval" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:g}" y2="{middle:g}"/>',
        f'<text class="quiet" x="{_LEFT + _WIDTH + 10}" y="{middle + 5:g}">{told}</text>',
    ]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
