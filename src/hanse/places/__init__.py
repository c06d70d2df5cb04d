"""Questions about places: where target groups live, work and are seen, without anybody's place being opened."""

from hanse.places.concentration.questions import (
    ConcentrationQuestion,
    Population,
    Sites,
    Whereabouts,
)
from hanse.places.concentration.sample import SYNTHETIC, sample_people, sample_places

__all__ = [
    "SYNTHETIC",
    "ConcentrationQuestion",
    "Population",
    "Sites",
    "Whereabouts",
    "sample_people",
    "sample_places",
]
