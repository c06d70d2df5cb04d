"""The only way in and the only way out: admission, openings, release, the record of what was opened."""

from hanse.gate.admission import Gate, Planned
from hanse.gate.plan import Block, ReleasePlan, Sums
from hanse.gate.record import Opening, Record

__all__ = ["Block", "Gate", "Opening", "Planned", "Record", "ReleasePlan", "Sums"]
