"""Questions about crowds of several organisations: counts, rates, group portraits, never an individual."""

from hanse.measure.funnel.protocol import FunnelPlan
from hanse.measure.funnel.result import FunnelResult, FunnelRow
from hanse.measure.questions import Condition, FunnelQuestion, Segment, Source, Stage

__all__ = [
    "Condition",
    "FunnelPlan",
    "FunnelQuestion",
    "FunnelResult",
    "FunnelRow",
    "Segment",
    "Source",
    "Stage",
]
