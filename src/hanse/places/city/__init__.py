"""The sample city: synthetic people, places, crowds and panels, for demonstrations, documentation and
benchmarks."""

from hanse.places.city.generator import LABEL, City, Wish, city, described, rows, tables, write
from hanse.places.city.panels import Panels, Views

__all__ = [
    "LABEL",
    "City",
    "Panels",
    "Views",
    "Wish",
    "city",
    "described",
    "rows",
    "tables",
    "write",
]
