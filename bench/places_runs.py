"""The runs behind `bench/places.py`: `hanse.places.backtest.runs`."""

from hanse.places.backtest.runs import (
    COUNTS,
    LAGS,
    VARIANTS,
    Done,
    Run,
    Task,
    figures,
    hits,
    judged,
    percent,
    run,
    work,
    write_rows,
)

__all__ = [
    "COUNTS", "LAGS", "VARIANTS", "Done", "Run", "Task", "figures", "hits", "judged", "percent", "run", "work",
    "write_rows",
]  # fmt: skip
