"""All parties of a training, and its seats, in one process: for notebooks, rehearsals and tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.engine.shares import SEATS
from hanse.engine.stage import all_at_once
from hanse.entropy import Entropy, SystemEntropy
from hanse.errors import Fault
from hanse.gate.record import Record
from hanse.learn.boosting.blocks import Block, LabelBlock
from hanse.learn.boosting.label import History
from hanse.learn.boosting.rows import Pledge, Rows
from hanse.learn.boosting.settings import Settings
from hanse.learn.boosting.training import (
    fit_feature_holder,
    fit_label_holder,
    fit_seat,
    require_parties,
    score_feature_holder,
    score_label_holder,
)
from hanse.learn.jobs.renumbered import Renumbered
from hanse.wire import Channel, Frame, Hall, Tap

F64 = NDArray[np.float64]
_PATIENCE = 600.0  # seconds a rehearsal waits for a message; nodes wait on progress instead


@dataclass
class Model:
    """A model as a rehearsal has it: every party's block side by side. Between nodes each block stays at home."""

    label_block: LabelBlock
    feature_blocks: list[Block]
    history: History
    record: Record
    bytes: dict[str, int] = field(
        default_factory=dict
    )  # on the wire while training, by the kind of message

    def predict(self, label: Rows, features: Sequence[Rows] = (), *, tap: Tap | None = None) -> F64:
        """Expected labels of new rows, aligned at all parties; `Fault` if a party of the model is missing."""
        parties = _names(label, features)
        require_parties(parties, self.label_block)

        def first(channel: Channel) -> F64:
            return score_label_holder(channel, parties, self.label_block, label)

        def other(rows: Rows, block: Block) -> Callable[[Channel], None]:
            return lambda channel: score_feature_holder(channel, parties, block, rows)

        rest = [other(r, b) for r, b in zip(features, self.feature_blocks, strict=True)]
        scores: F64 = _together([first, *rest], parties, tap)[0]
        return scores


def fit(
    label: Rows,
    y: NDArray[Any],
    features: Sequence[Rows] = (),
    settings: Settings | None = None,
    *,
    weights: NDArray[Any] | None = None,
    job: bytes = b"",
    pledges: Sequence[Pledge] | None = None,
    tap: Tap | None = None,
    entropy: Callable[[int], Entropy] | None = None,
    workers: int = 2,
) -> Model:
    """Boost ``y`` [rows] over the columns of ``label``'s party and of ``features``' parties, one thread a party.

    ``job`` separates trainings (random if empty); ``entropy(role)`` is the operating system's unless a test
    gives another; ``pledges`` by role. Raises `Refusal` for rows about people, `Fault` for bad columns, labels,
    alignment or settings.
    """
    chosen = settings or Settings()
    parties = _names(label, features)
    record = Record()
    name = job or os.urandom(32)
    source = entropy or (lambda _: SystemEntropy())
    counted: dict[str, int] = {}

    def counting(frame: Frame) -> Frame | None:
        if isinstance(frame.body, np.ndarray):
            ends = frame.source >= len(parties), frame.target >= len(parties)
            kind = {
                (True, True): "between seats",
                (True, False): "from seats",
                (False, True): "to seats",
            }.get(ends, frame.step.split(".", 2)[-1])
            counted[kind] = counted.get(kind, 0) + frame.body.nbytes
        return frame if tap is None else tap(frame)

    def first(channel: Channel) -> tuple[LabelBlock, History]:
        pledge = pledges[0] if pledges else None
        return fit_label_holder(channel, parties, label, y, chosen, name, record, source(0),
                                weights=weights, pledge=pledge)  # fmt: skip

    def other(role: int, rows: Rows) -> Callable[[Channel], Block]:
        pledge = pledges[role] if pledges else None
        return lambda channel: fit_feature_holder(
            channel, parties, rows, chosen, name, source(role), workers=workers, pledge=pledge
        )

    rest = [other(role, rows) for role, rows in enumerate(features, 1)]
    seats: list[Callable[[Channel], Any]] = []
    if chosen.masked and features:
        shown = [record if seat == 0 else Record() for seat in range(SEATS)]  # equal at all seats
        seats = [
            _seat(parties, chosen, name, shown[seat], source(-1 - seat)) for seat in range(SEATS)
        ]
    names = [*parties, *(f"seat {seat}" for seat in range(len(seats)))]
    (block, history), *others = _together([first, *rest, *seats], names, counting)
    return Model(block, others[: len(features)], history, record, counted)


def _seat(
    parties: Sequence[str], settings: Settings, job: bytes, record: Record, entropy: Entropy
) -> Callable[[Channel], None]:
    def play(channel: Channel) -> None:
        own = [len(parties) + seat for seat in range(SEATS)]
        numbered = Renumbered(channel, [*own, *range(len(parties))])
        fit_seat(numbered, parties, settings, job, record, entropy)

    return play


def _names(label: Rows, features: Sequence[Rows]) -> list[str]:
    names = [label.party, *(rows.party for rows in features)]
    if len(set(names)) < len(names):
        raise Fault(
            "learn.parties", "two parties have one name", remedy="give each party a name of its own"
        )
    return names


def _together(
    work: Sequence[Callable[[Channel], Any]], names: Sequence[str], tap: Tap | None
) -> list[Any]:
    """Each party in a thread of its own; results by role (`all_at_once`)."""
    hall = Hall(len(work), names=tuple(names), tap=tap, patience=_PATIENCE)
    return all_at_once(hall, work, "learn.internal")
