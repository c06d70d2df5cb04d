"""What the four organisations write down: datasets, the contract, the questions. All as a user would, in TOML."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

CONTRACT = "campaigns-2017"
K = 100
EPSILON = 3.0  # per question; a crowd of millions would do with a tenth of it
BUDGET = 12.0
CAPACITY = 2500  # rows that each provider declares and pads to


@dataclass(frozen=True)
class Organisation:
    """One of the four."""

    name: str
    organisation: str
    gives: str
    dataset: str
    seat: int | None


ORGANISATIONS = (
    Organisation("media-house", "A media company (demo)", "campaign exposures", "exposures", 0),
    Organisation(
        "coupon-platform", "A coupon platform (demo)", "coupon redemptions", "redemptions", None
    ),
    Organisation("retail-chain", "A retailer (demo)", "baskets paid in stores", "baskets", 1),
    Organisation("data-house", "A data company (demo)", "age band and children", "people", 2),
)
ASKING = ORGANISATIONS[0]
RECIPIENTS = ("media-house", "retail-chain")
AGES = ("19-24", "25-34", "35-44", "45-54", "55-64", "65+")
CAMPAIGNS = tuple(str(number) for number in range(1, 28))

_COMMON = """\
classification = "personal"
legal_basis = "consent"
evidence = "none: households simulated from real patterns"
"""

DATASETS = {
    "exposures": """\
name = "exposures"
source = { path = "data/exposures.parquet" }
ids = [{ column = "household_id", type = "household" }]
columns = [
  { name = "at", column = "start_date", kind = "time" },
  { name = "campaign", column = "campaign_id", kind = "category" },
]
description = "Which household was sent which campaign, and when it began"
""" + _COMMON,
    "redemptions": """\
name = "redemptions"
source = { path = "data/redemptions.parquet" }
ids = [{ column = "household_id", type = "household" }]
columns = [{ name = "at", column = "redemption_date", kind = "time" }]
description = "Coupons of the campaigns that were scanned"
""" + _COMMON,
    "baskets": """\
name = "baskets"
source = { path = "data/baskets.parquet" }
ids = [{ column = "household_id", type = "household" }]
columns = [
  { name = "at", column = "paid_at", kind = "time" },
  { name = "amount", column = "dollars", kind = "amount", scale = 100 },   # cents
]
description = "Baskets paid in the stores"
""" + _COMMON,
    "people": """\
name = "people"
source = { path = "data/people.parquet" }
ids = [{ column = "household_id", type = "household" }]
columns = [
  { name = "age", column = "age", kind = "category" },
  { name = "children", column = "children", kind = "boolean" },
]
description = "Age band, and whether children live in the household"
""" + _COMMON,
}  # fmt: skip


def contract(today: date) -> str:
    """The contract; parties' keys come from their cards when it is drafted."""
    parties = "\n".join(
        f'[[parties]]\nname = "{o.name}"\norganisation = "{o.organisation}"\n'
        for o in ORGANISATIONS
    )
    seats = ", ".join(f'"{o.name}"' for o in ORGANISATIONS if o.seat is not None)
    return f"""\
format = 1
id = "{CONTRACT}"
version = 1
title = "Campaigns of 2017, from exposure to repeat purchase"
purpose = "Show how many households that a campaign reached went on to scan a coupon, pay and come back."
starts = {today - timedelta(days=1)}
expires = {today + timedelta(days=365)}
maximum_jobs = 20
seats = [{seats}]
independence = "No seat holder controls another or is controlled by the same owner."
retention_days = 30

[join]
id_type = "household"
hash = "sha256"
epsilon = 0.1
delta = 1e-8
epsilon_budget = 3.0

[privacy]
k = {K}
epsilon_per_query = {EPSILON}
epsilon_budget = {BUDGET}
delta = 1e-8
period = "contract"

{parties}
{_clauses()}
[[computations]]
name = "funnel"
recipients = [{", ".join(f'"{r}"' for r in RECIPIENTS)}]
datasets = ["exposures", "redemptions", "baskets", "people"]
"""


def _clauses() -> str:
    # Within 1 % of what every event of the question's period would give.
    slots = {"exposures": 8, "redemptions": 8, "baskets": 32, "people": 1}
    time = '[[datasets.columns]]\nname = "at"\nkind = "time"\nuses = ["order"]\n'
    campaigns = ", ".join(f'"{c}"' for c in CAMPAIGNS)
    ages = ", ".join(f'"{a}"' for a in AGES)
    columns = {
        "exposures": f"""{time}[[datasets.columns]]
name = "campaign"
kind = "category"
uses = ["filter"]
values = [{campaigns}]
""",
        "redemptions": time,
        "baskets": f"""{time}[[datasets.columns]]
name = "amount"
kind = "amount"
uses = ["filter"]
maximum = 100000
""",
        "people": f"""[[datasets.columns]]
name = "age"
kind = "category"
uses = ["segment"]
values = [{ages}]
[[datasets.columns]]
name = "children"
kind = "boolean"
uses = ["segment"]
""",
    }
    return "\n".join(
        f"""\
[[datasets]]
name = "{o.dataset}"
provider = "{o.name}"
capacity = {CAPACITY}
slots = {slots[o.dataset]}
personal = true
legal_basis = "consent"
evidence = "none: households simulated from real patterns"
{columns[o.dataset]}"""
        for o in ORGANISATIONS
    )


@dataclass(frozen=True)
class Asked:
    """A question of the demo: its file, what it asks in words, its TOML, what to mind in the answer."""

    file: str
    words: str
    toml: str
    remark: str = ""


_HEAD = f"""\
contract = "{CONTRACT}"
computation = "funnel"
epsilon = {EPSILON}
recipients = ["media-house", "retail-chain"]
"""

_JOURNEY = f"""{_HEAD}
[parameters]
starts = 2017-05-01
ends = 2018-01-01
time_unit = "day"

[[parameters.stages]]
name = "exposed"
any_of = [{{ dataset = "exposures" }}]

[[parameters.stages]]
name = "scanned a coupon"
any_of = [{{ dataset = "redemptions" }}]
within_days = 60

[[parameters.stages]]
name = "paid $50 or more"
any_of = [{{ dataset = "baskets", where = [{{ column = "amount", at_least = 5000 }}] }}]
within_days = 30

[[parameters.stages]]
name = "bought again"
any_of = [{{ dataset = "baskets", where = [{{ column = "amount", at_least = 5000 }}] }}]
within_days = 60
"""

QUESTIONS = (
    Asked(
        "by-age.toml",
        "Of the households that any campaign reached from May to December, how many scanned a coupon "
        "within 60 days, paid $50 or more in a store within 30 days of that, and did so again on another day "
        "within 60 days? By age band.",
        f"""{_JOURNEY}
[parameters.by]
dataset = "people"
column = "age"
merge = {{ "19 to 44" = ["19-24", "25-34", "35-44"], "45 and over" = ["45-54", "55-64", "65+"] }}
""",
    ),
    Asked(
        "by-children.toml",
        "The same journey, by households with and without children.",
        f"""{_JOURNEY}
[parameters.by]
dataset = "people"
column = "children"
merge = {{ "no children" = ["false"], "with children" = ["true"] }}
""",
    ),
    Asked(
        "exposed-or-not.toml",
        "While campaign 18 ran, how many of the households that it reached paid $50 or more in a store, and "
        "did so again on another day, against all other customers of the retailer?",
        f"""{_HEAD}
[parameters]
starts = 2017-10-30
ends = 2017-12-25
time_unit = "day"
compare_with = "baskets"

[[parameters.stages]]
name = "exposed"
any_of = [{{ dataset = "exposures", where = [{{ column = "campaign", equals = "18" }}] }}]

[[parameters.stages]]
name = "paid $50 or more"
any_of = [{{ dataset = "baskets", where = [{{ column = "amount", at_least = 5000 }}] }}]

[[parameters.stages]]
name = "bought again"
any_of = [{{ dataset = "baskets", where = [{{ column = "amount", at_least = 5000 }}] }}]
""",
        "A difference between two crowds, not the campaign's effect: campaigns go to good customers first.",
    ),
)
