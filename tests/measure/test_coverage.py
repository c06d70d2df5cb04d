"""`bench/coverage.py`: the intervals of every measure hold the truth as often as they say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from hanse.gate.laws import noise_law

BENCH = Path(__file__).parent.parent.parent / "bench"
MEASURES = {
    "reach", "frequency", "overlap", "funnel", "journey", "attribution", "lift", "portrait", "concentration",
}  # fmt: skip


@pytest.fixture
def coverage(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    import coverage_judging as module

    assert Path(module.__file__ or "").parent == BENCH
    return module


def test_the_simulated_noise_has_the_law_that_is_declared(coverage: ModuleType) -> None:
    drawn = coverage.discrete_laplace(0.5, 100_000, np.random.default_rng(5))
    offset, law = noise_law(0.5, 1)
    middle = law[offset - 12 : offset + 13]
    seen = np.array([(drawn == x).sum() for x in range(-12, 13)])
    expected = np.append(middle, 1 - middle.sum()) * drawn.size
    assert stats.chisquare(np.append(seen, drawn.size - seen.sum()), expected).pvalue > 1e-4


def test_intervals_that_are_too_narrow_are_noticed(coverage: ModuleType) -> None:
    """The same study with twice the noise that the intervals know of."""
    study = coverage.STUDIES["overlap"]()
    honest = coverage.summary(coverage.judge(study, 100, np.random.default_rng(1)), 100)
    tight = coverage.discrete_laplace
    coverage.discrete_laplace = lambda epsilon, cells, random: tight(epsilon / 2, cells, random)
    try:
        wrong = coverage.summary(coverage.judge(study, 100, np.random.default_rng(1)), 100)
    finally:
        coverage.discrete_laplace = tight
    assert 0.92 < honest["coverage"] < 0.98
    assert wrong["coverage"] < 0.85


def test_every_measure_covers_between_93_and_97_percent() -> None:
    run = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, str(BENCH / "coverage.py"), "--draws", "150", "--json"],
        capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    found = json.loads(run.stdout)["coverage_95"]
    assert set(found) >= MEASURES
    assert all(0.93 <= share <= 0.97 for share in found.values()), found
