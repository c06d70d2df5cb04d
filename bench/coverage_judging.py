"""How `coverage.py` judges: cells opened as the gate would, and how often intervals hold the truth."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coverage_ground import Figure, Study
from coverage_studies import STUDIES
from hanse.gate.plan import ReleasePlan

SEED = 2026
WANTED = 0.93, 0.97
LEAST_SEEN = 0.5  # of the draws: figures that are suppressed more often are judged on too few


def opened(
    release: ReleasePlan, cells: NDArray[np.int64], random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(values, published) of exact cells, as the gate would open them."""
    noise = [discrete_laplace(release.cell_epsilon(b), b.cells, random) for b in release.blocks]
    values = release.sums.apply(cells + np.concatenate(noise))
    published = values[release.guarded] >= release.thresholds()
    return np.where(published, values, 0), published


def discrete_laplace(epsilon: float, cells: int, random: np.random.Generator) -> NDArray[np.int64]:
    """P(x) proportional to exp(-epsilon |x|): the difference of two geometric variables. For simulation only."""
    first, second = random.geometric(-np.expm1(-epsilon), (2, cells))
    return np.asarray(first - second, np.int64)


@dataclass
class Tally:
    """How often a figure was shown, and how often its interval held the truth."""

    shown: int = 0
    held: int = 0

    def add(self, figure: Figure) -> None:
        self.shown += 1
        self.held += figure.low <= figure.truth <= figure.high


def judge(study: Study, draws: int, random: np.random.Generator) -> dict[str, Tally]:
    """All figures of a study over so many populations."""
    tallies: dict[str, Tally] = {}
    for _ in range(draws):
        cells, truth = study.draw(random)
        values, published = opened(study.plan.release, cells, random)
        for figure in study.figures(study.read(study.plan, values, published), truth):
            tallies.setdefault(figure.name, Tally()).add(figure)
    return tallies


def summary(tallies: dict[str, Tally], draws: int) -> dict[str, Any]:
    """Coverage over all figures, and of the figure that is furthest from 95 %."""
    seen = {name: t for name, t in tallies.items() if t.shown >= LEAST_SEEN * draws}
    each = {name: t.held / t.shown for name, t in seen.items()}
    furthest = max(each, key=lambda name: abs(each[name] - 0.95))
    return {
        "coverage": sum(t.held for t in seen.values()) / sum(t.shown for t in seen.values()),
        "figures": len(seen),
        "left_out": len(tallies) - len(seen),
        "furthest": {"figure": furthest, "coverage": each[furthest]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage of the 95 % intervals, per measure.")
    parser.add_argument("--draws", type=int, default=1000, help="populations per measure")
    parser.add_argument("--only", action="append", help="a measure; may be repeated")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    began = time.perf_counter()
    found: dict[str, dict[str, Any]] = {}
    for place, (name, make) in enumerate(STUDIES.items()):
        if asked.only and name not in asked.only:
            continue
        random = np.random.default_rng([SEED, place])
        found[name] = summary(judge(make(), asked.draws, random), asked.draws)
        if not asked.json:
            one = found[name]
            print(
                f"{name:14} {one['coverage']:.1%} of {one['figures']} figures; furthest: "
                f"{one['furthest']['figure']} {one['furthest']['coverage']:.1%}"
            )
    result = {
        "coverage_95": {name: round(one["coverage"], 4) for name, one in found.items()},
        "details": found,
        "draws": asked.draws,
        "seed": SEED,
        "wall_s": round(time.perf_counter() - began, 1),
    }
    if asked.json:
        print(json.dumps(result))
    else:
        low, high = WANTED
        outside = [n for n, c in result["coverage_95"].items() if not low <= c <= high]
        verdict = f"outside {low:.0%} to {high:.0%}: {outside}" if outside else "all as wanted"
        print(f"{asked.draws} draws, {result['wall_s']} s; {verdict}")
