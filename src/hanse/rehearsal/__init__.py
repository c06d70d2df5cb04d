"""A whole federation in one process, for notebooks and tests: real contracts, gates, ledgers and protocols.

It protects nothing, since all data is in one place; it shows what a real federation would answer, refuse and show.
"""

from hanse.catalog import IdColumn
from hanse.measure import Condition, Segment, Source, Stage
from hanse.rehearsal.agreement import Budget, Member
from hanse.rehearsal.answer import Answer, Disclosures
from hanse.rehearsal.description import Column
from hanse.rehearsal.federation import Federation
from hanse.rehearsal.questions import source, stage
from hanse.rehearsal.running import Message

__all__ = [
    "Answer",
    "Budget",
    "Column",
    "Condition",
    "Disclosures",
    "Federation",
    "IdColumn",
    "Member",
    "Message",
    "Segment",
    "Source",
    "Stage",
    "source",
    "stage",
]
