"""The back-test on anyone's tables: the command, and signals of holders whose levels are not alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hanse.cli.main import _status
from hanse.places.backtest.runs import Run, figures
from hanse.places.backtest.tables import Several
from hanse.places.city import Wish, city, write
from hanse.places.crowd.ground import calendar
from hanse.places.crowd.outlook import Kernels
from hanse.places.crowd.regulars import Signal
from hanse.places.crowd.replay import COLUMNS


def test_a_holder_that_misses_a_day_does_not_look_like_a_change() -> None:
    days = calendar("2025-01-01", "2025-02-19")
    large, small = np.full((2, days.size), np.log(9000.0)), np.full((2, days.size), np.log(3.0))
    large[:, -1] = np.nan
    large[1] = np.nan
    both = Several(large, (Signal(large), Signal(small)))
    assert np.allclose(both.change(Kernels(days), days.size - 1, 2), 0.0)
    small[1] = np.nan
    assert np.isnan(
        Several(large, (Signal(large), Signal(small))).change(Kernels(days), days.size - 1, 2)[1]
    )


@pytest.mark.parametrize("rows", [0, 3])
def test_figures_of_nothing_told_are_json(rows: int) -> None:
    told = np.full((rows, len(COLUMNS)), np.nan)
    told[:, COLUMNS.index("truth")], told[:, COLUMNS.index("published")] = 5.0, 0.0
    run = Run("town", 1, rows, 1, {("known_lag1", "federated"): told})
    found = json.loads(json.dumps(figures(run, "known_lag1"), allow_nan=False))
    assert found["mdape"] is None
    assert found["published_share"] == 0.0


@pytest.mark.slow
def test_the_command_on_the_sample_city(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(city(Wish(places=60, people=0, days=300, seed=3)), tmp_path / "town")
    config, rows = tmp_path / "town" / "places.toml", tmp_path / "rows.parquet"
    words = ["crowd-days", "backtest", str(config), "--quick", "--workers", "1"]
    assert _status([*words, "--regimes", "known_lag7", "--rows", str(rows), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["known_lag7"]["p30"] > found["known_lag7"]["naive"] > 80
    assert rows.is_file()
    assert _status([*words, "--regimes", "known_lag9"]) != 0
    assert "[backtest.regime]" in capsys.readouterr().err
