"""Figures as text, for the tables of reports."""

from __future__ import annotations

import math


def figure(value: float | None, digits: int = 5) -> str:
    """A number in a few digits; "none" where there is none."""
    if value is None or math.isnan(value):
        return "none"
    return f"{value:,.{digits}g}" if abs(value) < 1e5 else f"{value:,.0f}"
