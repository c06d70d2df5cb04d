"""Daily crowds for the console: what contracts tell, questions that train and tell, the owner's scoreboard."""

from __future__ import annotations

from typing import Any

from hanse.contracts.crowds import CROWD_DAY, CROWD_TRAIN
from hanse.node.faces import crowd_days
from hanse.node.office import NodeOffice

Document = dict[str, Any]
listed = crowd_days.listed


def question(
    office: NodeOffice, crowd: str, contract: str, ends: str, *, train: bool, without: tuple[str, ...] = ()
) -> Document:  # fmt: skip
    """The question that trains a crowd's model, or tells the day ``ends`` ("": yesterday) and the days ahead.

    `Refusal` ``crowd.unknown``, ``crowd.contract``, ``contract.unknown`` or ``question.malformed``.
    """
    found, _ = crowd_days.contract_with(office, crowd, contract)
    parameters: Document = {
        "crowd": crowd,
        "ends": (crowd_days.day_of(ends) or crowd_days.yesterday()).isoformat(),
    }
    if without:
        parameters["without"] = list(without)
    return {"contract": found.id, "computation": CROWD_TRAIN if train else CROWD_DAY, "epsilon": 0.0,
            "parameters": parameters}  # fmt: skip


def figures(office: NodeOffice, crowd: str, contract: str, on: str) -> list[Document]:
    """The newest figures of a day ("": yesterday), by place, as this recipient has them."""
    day = crowd_days.day_of(on) or crowd_days.yesterday()
    return crowd_days.figures(office, crowd, day, contract)


def scoreboard(office: NodeOffice, crowd: str, contract: str, ends: str) -> Document:
    """How good the last 90 days were, by this owner's own counts. `Refusal` ``crowd.owner`` at others."""
    found = crowd_days.board(office, crowd, crowd_days.day_of(ends), contract)
    return {**found.scores.body(), "places": len(found.told.places), "days": int(found.told.dates.size),
            "without_figures": 0, "crowd": found.crowd}  # fmt: skip
