"""What a provider prepares at home before anything is shared: stays, visits, homes, weights, protected counts."""

from hanse.places.home.anchors import Anchors, Rules, anchors, tables
from hanse.places.home.cells import CellWeights, fitted, nearness
from hanse.places.home.place_days import Bounds, PlaceDays, counted, protect
from hanse.places.home.population import Margin, Penetration, Weights, penetration, weights
from hanse.places.home.protect import Protection
from hanse.places.home.stays import Pings, Stays, read_pings, stays
from hanse.places.home.visits import Visits, qualified, visits

__all__ = [
    "Anchors", "Bounds", "CellWeights", "Margin", "Penetration", "Pings", "PlaceDays", "Protection",
    "Rules", "Stays", "Visits", "Weights", "anchors", "counted", "fitted", "nearness", "penetration",
    "protect", "qualified", "read_pings", "stays", "tables", "visits", "weights",
]  # fmt: skip
