"""A day's numbers on a map: places as dots over H3 cells or outlines that are given, withheld ones hollow.

A dot's size goes by the crowd, its colour by how sure it is to be within 30 %. Cells are those of the gazetteer,
coarser where the town is large. No map service is asked: what is drawn is what is in the list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import h3
import numpy as np
from numpy.typing import NDArray

from hanse.catalog.gazetteers import Gazetteer
from hanse.places.feeds.feed import Floats
from hanse.places.scoreboard.pictures import STYLE, document

Ring = NDArray[np.float64]  # [corners, 2] latitude and longitude
Axis = Callable[[Floats], Floats]
_SIZE, _EDGE, _TOP, _KEY = 560.0, 18.0, 40.0, 190.0
_MOST_DOTS, _MOST_CELLS = 4000, 1500
_STYLE = STYLE + (
    ".cell{fill:#e2e9f1;stroke:#fff;stroke-width:1}.outline{fill:none;stroke:#8c959f;stroke-width:1}"
    ".sure{fill:#1a7f4b}.likely{fill:#3b7dd8}.unsure{fill:#c2410c}.sure,.likely,.unsure{fill-opacity:.75}"
    ".withheld{fill:none;stroke:#8c959f}"
    "@media(prefers-color-scheme:dark){.cell{fill:#1c232b;stroke:#0d1117}}"
)
_CLASSES = (
    ("sure", 0.9, "90 % and more"),
    ("likely", 0.6, "60 % to 90 %"),
    ("unsure", 0.0, "below 60 %"),
)


def map_svg(
    title: str,
    places: Gazetteer,
    point: Floats,
    confidence: Floats,
    published: NDArray[np.bool_],
    outlines: Sequence[Ring] = (),
) -> str:
    """``point``, ``confidence`` and ``published`` are [places] of one day; ``outlines`` instead of cells."""
    cells = outlines or _cells(places)
    to_x, to_y, height = _plane(places, cells)
    parts = [f'<text class="bold" x="4" y="20">{escape(title)}</text>']
    kind = "outline" if outlines else "cell"
    for ring in cells:
        drawn = " ".join(
            f"{x:.1f},{y:.1f}" for x, y in zip(to_x(ring[:, 1]), to_y(ring[:, 0]), strict=True)
        )
        parts.append(f'<polygon class="{kind}" points="{drawn}"/>')
    parts += _dots(places, point, confidence, published, to_x(places.lon), to_y(places.lat))
    parts += _legend(published & np.isfinite(point), confidence, point)
    return document(_SIZE + _KEY, max(height + _TOP, _TOP + 200), title, parts, _STYLE)


def _cells(places: Gazetteer) -> list[Ring]:
    """The cells that places lie in, at a resolution at which there are not too many."""
    held = sorted(set(places.h3))
    resolution = h3.get_resolution(held[0])
    while len(held) > _MOST_CELLS and resolution > 3:
        resolution -= 1
        held = sorted({h3.cell_to_parent(cell, resolution) for cell in held})
    return [np.array(h3.cell_to_boundary(cell)) for cell in held]


def _plane(places: Gazetteer, cells: Sequence[Ring]) -> tuple[Axis, Axis, float]:
    """(longitudes to x, latitudes to y, height): north up, a degree of longitude as long as it is there."""
    lat = np.concatenate([places.lat, *(ring[:, 0] for ring in cells)])
    lon = np.concatenate([places.lon, *(ring[:, 1] for ring in cells)])
    narrow = float(np.cos(np.radians(lat.mean())))
    wide, tall = max(float(np.ptp(lon)) * narrow, 1e-6), max(float(np.ptp(lat)), 1e-6)
    scale = (_SIZE - 2 * _EDGE) / max(wide, tall)
    left, top = float(lon.min()), float(lat.max())

    def to_x(values: Floats) -> Floats:
        return np.asarray(_EDGE + (values - left) * narrow * scale)

    def to_y(values: Floats) -> Floats:
        return np.asarray(_TOP + (top - values) * scale)

    return to_x, to_y, tall * scale + _EDGE


def _dots(
    places: Gazetteer,
    point: Floats,
    confidence: Floats,
    published: NDArray[np.bool_],
    x: Floats,
    y: Floats,
) -> list[str]:
    crowd = np.nan_to_num(point)
    order = np.argsort(-crowd, kind="stable")[:_MOST_DOTS]
    most = max(1.0, float(np.quantile(crowd[order], 0.98))) if order.size else 1.0
    crowded = np.sqrt(1000 / max(order.size, 1000))  # dots of a large town are smaller
    parts = []
    for p in order.tolist():
        size = (2.0 + 9.0 * min(1.2, float(np.sqrt(crowd[p] / most)))) * crowded
        told = published[p] and np.isfinite(point[p])
        kind = next(name for name, least, _ in _CLASSES if np.nan_to_num(confidence[p]) >= least)
        words = f"{places.names[p]}: {point[p]:,.0f}" if told else f"{places.names[p]}: withheld"
        parts.append(
            f'<circle class="{kind if told else "withheld"}" cx="{x[p]:.1f}" cy="{y[p]:.1f}" r="{size:.1f}">'
            f"<title>{escape(words)}</title></circle>"
        )
    return parts


def _legend(shown: NDArray[np.bool_], confidence: Floats, point: Floats) -> list[str]:
    x, y = _SIZE + 4, _TOP + 14
    parts = [f'<text class="bold" x="{x}" y="{y}">sure to be within 30 %</text>']
    upper = np.inf
    for name, least, words in _CLASSES:
        y += 24
        count = int((shown & (confidence >= least) & (confidence < upper)).sum())
        upper = least
        parts.append(f'<circle class="{name}" cx="{x + 7}" cy="{y - 5}" r="6"/>')
        parts.append(f'<text x="{x + 20}" y="{y}">{words} · {count:,}</text>')
    y += 24
    parts.append(f'<circle class="withheld" cx="{x + 7}" cy="{y - 5}" r="6"/>')
    parts.append(f'<text x="{x + 20}" y="{y}">withheld · {int((~shown).sum()):,}</text>')
    total = float(np.nansum(np.where(shown, point, 0.0)))
    parts.append(f'<text class="quiet" x="{x}" y="{y + 34}">a dot is as large as its crowd</text>')
    parts.append(f'<text class="quiet" x="{x}" y="{y + 54}">published in all: {total:,.0f}</text>')
    return parts
