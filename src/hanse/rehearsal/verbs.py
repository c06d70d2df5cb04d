"""The verbs of a federation: one for each computation of the menu.

Each takes the fields of its question as keywords (its class names them, with their meaning) and becomes the very
job that a node would be asked. Values may be plain, or objects such as `Crowd`, `Source`, `Segment` and dates.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from pydantic import BaseModel

from hanse.rehearsal.answer import Answer


class Verbs:
    """What a federation can be asked; ``epsilon``, ``noise``, ``recipients`` and the like as in `ask`."""

    def journey(self, **question: Any) -> Answer[Any]:
        """The cross-scenario report of a campaign: `hanse.measure.journey.JourneyQuestion`."""
        return self._asked("journey", question)

    def reach(self, **question: Any) -> Answer[Any]:
        """People reached and how often: `hanse.measure.reach.ReachQuestion`."""
        return self._asked("reach", question)

    def overlap(self, **question: Any) -> Answer[Any]:
        """Which of up to six crowds people are in: `hanse.measure.overlap.OverlapQuestion`."""
        return self._asked("overlap", question)

    def attribution(self, **question: Any) -> Answer[Any]:
        """Which touches conversions are credited to: `hanse.measure.attribution.AttributionQuestion`."""
        return self._asked("attribution", question)

    def lift(self, **question: Any) -> Answer[Any]:
        """Treated against control: `hanse.measure.lift.LiftQuestion`."""
        return self._asked("lift", question)

    def portrait(self, **question: Any) -> Answer[Any]:
        """Who a crowd is: `hanse.measure.portrait.PortraitQuestion`."""
        return self._asked("portrait", question)

    def concentration(self, **question: Any) -> Answer[Any]:
        """A target group place by place: `hanse.places.concentration.ConcentrationQuestion`."""
        return self._asked("concentration", question)

    def _asked(self, computation: str, words: Mapping[str, Any]) -> Answer[Any]:
        raise NotImplementedError


def split(
    words: Mapping[str, Any], options: Collection[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(question in plain values, options of the asking) in a verb's keywords."""
    asked = {name: plain(value) for name, value in words.items() if name not in options}
    return asked, {name: words[name] for name in options if name in words}


def plain(value: Any) -> Any:
    """A question's value as a job carries it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value
