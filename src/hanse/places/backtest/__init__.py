"""The embargoed back-test on anyone's tables, described in a TOML file."""

from hanse.places.backtest.runs import VARIANTS, Run, figures, run, write_rows

REGIMES = ("known_lag1", "known_lag7", "known_lag30", "k1", "k7", "k28", "never_seen")

__all__ = ["REGIMES", "VARIANTS", "Run", "figures", "run", "write_rows"]
