"""What the three owners of the daily demo write down: a dataset each, and the contract, in TOML."""

from __future__ import annotations

from datetime import date, timedelta

from hanse.cli.demo.documents import Organisation
from hanse.cli.demo.streets import HOLIDAYS, LATENESS, ZONE

CONTRACT, CROWD, LIST = "streets", "streets", "counters"
DAYS_AHEAD = 7
OWNERS = (
    Organisation("waterfront", "Shops on the waterfront (demo)", "street counters", "waterfront-counts", 0),
    Organisation("queen-street", "Shops of Queen Street (demo)", "street counters", "queen-street-counts", 1),
    Organisation("uptown", "Shops up the hill (demo)", "street counters", "uptown-counts", 2),
)  # fmt: skip
ASKING = OWNERS[1]


def dataset(owner: Organisation) -> str:
    """The hours of its own counters; nothing of it leaves the node."""
    return f"""\
name = "{owner.dataset}"
source = {{ path = "data/{owner.dataset}.parquet" }}
ids = [{{ column = "counter", type = "place" }}]
columns = [
  {{ name = "counter", column = "counter", kind = "place" }},
  {{ name = "hour", column = "hour", kind = "time" }},
  {{ name = "people", column = "people", kind = "number" }},
]
description = "People that passed a counter, by the hour"
classification = "trade-secret"
legal_basis = "not-personal"
"""


def contract(today: date, places: int, digest: str) -> str:
    """The contract; parties' keys come from their cards when it is drafted."""
    names = ", ".join(f'"{o.name}"' for o in OWNERS)
    parties = "\n".join(
        f'[[parties]]\nname = "{o.name}"\norganisation = "{o.organisation}"\n' for o in OWNERS
    )
    holidays = ",\n  ".join(f'{{ date = "{on}", name = "{name}" }}' for on, name in HOLIDAYS)
    return f"""\
format = 1
id = "{CONTRACT}"
version = 1
title = "People on the streets, every day"
purpose = "Tell every morning how many people pass each counter, yesterday and on the days ahead."
starts = {today - timedelta(days=1)}
expires = {today + timedelta(days=365)}
maximum_jobs = 400
seats = [{names}]
independence = "No seat holder controls another or is controlled by the same owner."
retention_days = 30

[join]
id_type = "nobody"
hash = "sha256"
epsilon = 0.1
delta = 1e-8
epsilon_budget = 0.1

[privacy]
k = 20
epsilon_per_query = 1.0
epsilon_budget = 1.0
delta = 1e-8
period = "contract"

{parties}
[[gazetteers]]
name = "{LIST}"
places = {places}
digest = "{digest}"
{"".join(_counted(o) for o in OWNERS)}
[[crowds]]
name = "{CROWD}"
gazetteer = "{LIST}"
recipients = [{names}]
days_ahead = {DAYS_AHEAD}
history_days = 800
maximum_trainings = 20
expiry_days = 60
holidays = [
  {holidays},
]
{"".join(_owner(o) for o in OWNERS)}"""


def _counted(owner: Organisation) -> str:
    return f"""
[[truths]]
name = "{owner.name}-people"
title = "People that pass"
measures = "arrivals"
provider = "{owner.name}"
gazetteer = "{LIST}"
error = 0.05
lateness = {LATENESS}
zone = "{ZONE}"

[[datasets]]
name = "{owner.dataset}"
provider = "{owner.name}"
capacity = 1000000
slots = 1
personal = false
columns = [
  {{ name = "counter", kind = "place", uses = ["place"], gazetteer = "{LIST}" }},
  {{ name = "hour", kind = "time", uses = ["order"] }},
  {{ name = "people", kind = "number", uses = ["target"] }},
]
"""


def _owner(owner: Organisation) -> str:
    return f"""
[[crowds.owners]]
truth = "{owner.name}-people"
dataset = "{owner.dataset}"
place = "counter"
date = "hour"
value = "people"
"""
