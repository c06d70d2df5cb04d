"""The only way in and the only way out: admission, openings, release, the record of what was opened."""

from hanse.gate.admission import Gate, Planned
from hanse.gate.record import Opening, Record
from hanse.gate.release import ReleasePlan

__all__ = ["Gate", "Opening", "Planned", "Record", "ReleasePlan"]
