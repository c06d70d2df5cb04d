"""A model in pictures: gain and calibration curves, or how it stands beside its rivals. SVG, light and dark.

Gain: of the rows with the best scores, which share of all labels they have; the straight line is chance.
Calibration: what was predicted in a band of the score against what came true; the diagonal is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanse.learn.evaluation.report import Curve, Report

_SIDE, _LEFT, _TOP, _GAP = 280, 56, 58, 90
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.quiet{fill:#57606a}.bold{font-weight:600}"
    ".axis{stroke:#d0d7de;fill:none}.chance{stroke:#57606a;stroke-dasharray:4 3}"
    ".line{fill:none;stroke:#3b7dd8;stroke-width:2.5}.dot{fill:#14375e}.bar{fill:#3b7dd8}.other{fill:#8c959f}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9da7b1}.axis{stroke:#30363d}"
    ".dot{fill:#cfe3ff}}"
)
Points = Sequence[tuple[float, float]]


def gain_points(curve: Curve) -> list[tuple[float, float]]:
    """(share of rows, share of labels) from the best score on; bands that are suppressed are passed over."""
    bands = [
        (r, y)
        for r, y in zip(curve.rows, curve.labels, strict=True)
        if r is not None and y is not None
    ]
    rows, labels = sum(r for r, _ in bands), sum(y for _, y in bands)
    points, seen, found = [(0.0, 0.0)], 0.0, 0.0
    if rows <= 0 or labels <= 0:
        return points
    for r, y in bands:
        seen, found = seen + r, found + y
        points.append((seen / rows, found / labels))
    return points


def calibration_points(curve: Curve) -> list[tuple[float, float]]:
    """(mean prediction, mean label) of each band that is shown."""
    if not curve.predicted:
        return []
    return [
        (p / r, y / r)
        for r, y, p in zip(curve.rows, curve.labels, curve.predicted, strict=True)
        if r is not None and y is not None and p is not None and r > 0
    ]


def curves(report: Report) -> str:
    """Gain and calibration side by side."""
    if report.curve is None:
        return standing(report)
    gain, calibration = gain_points(report.curve), calibration_points(report.curve)
    most = max([v for point in calibration for v in point] or [1.0]) or 1.0
    parts = [
        _title(report),
        *_panel("Gain", _LEFT, gain, 1.0, "share of rows, best scores first", "share of labels"),
    ]
    width = _LEFT + _SIDE + 30
    if calibration:
        left = _LEFT + _SIDE + _GAP
        parts += _panel("Calibration", left, calibration, most, "predicted", "came true", dots=True)
        width = left + _SIDE + 30
    return _svg(report, width, _TOP + _SIDE + 60, parts)


def standing(report: Report) -> str:
    """The deciding metric of the joint model and its rivals as bars."""
    name = report.decisive
    models = [("joint", report.joint), ("all in one place", report.centralised)]
    models += [(f"{party} alone", own) for party, own in report.alone.items()]
    models.append(("ensemble of own models", report.ensemble))
    values = [(who, m.get(name)) for who, m in models]
    most = max([abs(v) for _, v in values if v is not None and _known(v)] or [1.0]) or 1.0
    parts = [_title(report)]
    for number, (who, value) in enumerate(values):
        y = _TOP + number * 30
        known = _known(value)
        size = abs(value) / most * 300 if known and value is not None else 0.0
        kind = "bar" if number == 0 else "other"
        told = f"{value:.4g}" if known and value is not None else "not known"
        parts.append(
            f'<text x="196" y="{y + 15}" text-anchor="end">{escape(who)}</text>'
            f'<rect class="{kind}" x="204" y="{y}" width="{size:.1f}" height="20" rx="2"/>'
            f'<text class="quiet" x="{212 + size:.1f}" y="{y + 15}">{told}</text>'
        )
    return _svg(report, 600, _TOP + 30 * len(values) + 12, parts)


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _title(report: Report) -> str:
    told = f"{report.model} model of {', '.join(report.parties)}"
    return (
        f'<text class="bold" x="4" y="20">{escape(told)}</text>'
        f'<text class="quiet" x="4" y="40">{escape(report.decisive)}</text>'
    )


def _panel(
    title: str,
    left: int,
    points: Points,
    most: float,
    below: str,
    beside: str,
    *,
    dots: bool = False,
) -> list[str]:
    bottom = _TOP + _SIDE

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return left + point[0] / most * _SIDE, bottom - point[1] / most * _SIDE

    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(at, points))
    made = [
        f'<rect class="axis" x="{left}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}"/>',
        f'<text class="bold" x="{left + _SIDE / 2}" y="{_TOP - 8}" text-anchor="middle">{title}</text>',
        f'<line class="chance" x1="{left}" y1="{bottom}" x2="{left + _SIDE}" y2="{_TOP}"/>',
        f'<polyline class="line" points="{path}"/>',
        f'<text class="quiet" x="{left + _SIDE / 2}" y="{bottom + 34}" text-anchor="middle">{below}</text>',
        f'<text class="quiet" x="{left - 36}" y="{_TOP + _SIDE / 2}" text-anchor="middle" '
        f'transform="rotate(-90 {left - 36} {_TOP + _SIDE / 2})">{beside}</text>',
        f'<text class="quiet" x="{left}" y="{bottom + 16}" text-anchor="middle">0</text>',
        f'<text class="quiet" x="{left + _SIDE}" y="{bottom + 16}" text-anchor="middle">{most:.3g}</text>',
    ]
    if dots:
        made += [
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in map(at, points)
        ]
    return made


def _svg(report: Report, width: int, height: int, parts: list[str]) -> str:
    told = escape(f"{report.model} model of {', '.join(report.parties)}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img"><title>{told}</title><style>{_STYLE}</style>'
        + "".join(parts)
        + "</svg>\n"
    )
