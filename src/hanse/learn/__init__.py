"""Models over several parties' columns: fit together, each keeps its own block."""

from hanse.learn.evaluation.rehearsal import rehearse_files
from hanse.learn.linear.families import FAMILIES
from hanse.learn.linear.plan import Plan, Provider
from hanse.learn.linear.rehearsal import Outcome, rehearse
from hanse.learn.linear.tables import Table, read, table_of

__all__ = ["FAMILIES", "Outcome", "Plan", "Provider", "Table", "read", "rehearse",
           "rehearse_files", "table_of"]  # fmt: skip
