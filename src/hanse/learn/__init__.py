"""Models over several parties' columns, trained on shares: fit together, each keeps its own coefficients."""

from hanse.learn.families import FAMILIES
from hanse.learn.plan import Plan, Provider
from hanse.learn.rehearsal import Outcome, rehearse
from hanse.learn.tables import Table, read, table_of

__all__ = ["FAMILIES", "Outcome", "Plan", "Provider", "Table", "read", "rehearse", "table_of"]
