"""Vertical gradient boosting over two or more parties whose rows are aligned openly and are not people (places).

    1. Parties compare settings, keys and the job; rows about people are refused.
    2. Each tree: the label holder encrypts gradients and curvatures (`hanse.engine.lattice`) and sends them to all.
    3. Each level: feature holders add ciphertexts per group of bins of at least ``minimum_rows`` rows,
       re-randomise the sums and return them.
    4. The gate opens the sums to the label holder, which picks each node's split: an owner, a place in its list.
    5. The owner keeps column and threshold, and tells all which rows go left. Leaf values stay with the label
       holder.
    6. Scoring: every party says which way its own splits send each row; the label holder adds up the leaves.

Reveals: see docs/claims/lattice.md. Source: SecureBoost (Cheng et al. 2021) for the division of labour; the
encryption is docs/decisions/0012.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hanse.engine.lattice import Public
from hanse.entropy import Entropy, SystemEntropy
from hanse.errors import Fault, Foul, HanseError
from hanse.gate.histograms import require_not_personal
from hanse.gate.record import Record
from hanse.learn.boosting.features import LABEL, FeatureHolder
from hanse.learn.boosting.label import History, LabelHolder, Partner
from hanse.learn.boosting.losses import Loss
from hanse.learn.boosting.model import Block, LabelBlock, Rows, Settings
from hanse.wire import Channel, Frame, Hall, Tap

__all__ = ["Block", "LabelBlock", "Model", "Rows", "Settings", "fit"]

F64 = NDArray[np.float64]
T = TypeVar("T")
_U1, _I8 = np.dtype("u1"), np.dtype("<i8")
_CHUNK = 1 << 16  # rows scored at a time
_PATIENCE = 600.0  # seconds a rehearsal waits for a message; nodes wait on progress instead


# --- each party's part: what a node runs ------------------------------------------------------------


def fit_label_holder(
    channel: Channel, parties: Sequence[str], rows: Rows, y: NDArray[Any], settings: Settings, job: bytes,
    record: Record, entropy: Entropy,
) -> tuple[LabelBlock, History]:  # fmt: skip
    """Role 0. ``parties`` by role; ``job`` names this training and attempt, the same bytes at every party."""
    labels = _labels(y, rows, settings)
    partners = _greet(channel, parties, rows, settings.digest() + job)
    public = Public(job, labels.size) if partners else None
    holder = LabelHolder(channel, partners, rows, labels, settings, public, entropy, record)
    return holder.train(), holder.history


def fit_feature_holder(
    channel: Channel, parties: Sequence[str], rows: Rows, settings: Settings, job: bytes, entropy: Entropy,
    workers: int = 2,
) -> Block:  # fmt: skip
    """Roles 1, 2, ...: this party's splits."""
    _greet(channel, parties, rows, settings.digest() + job)
    public = Public(job, len(rows.keys))
    return FeatureHolder(channel, len(parties), rows, settings, public, entropy, workers).train()


def score_feature_holder(
    channel: Channel, parties: Sequence[str], block: Block, rows: Rows
) -> None:
    """Tell the label holder which way each of this party's splits sends each row."""
    _greet(channel, parties, rows, b"score")
    if not block.splits:
        return
    directions = block.directions(rows)
    for first in range(0, directions.shape[1], _CHUNK):
        part = np.packbits(directions[:, first : first + _CHUNK], axis=1)
        channel.send(LABEL, f"score.{first}", part)


def score_label_holder(
    channel: Channel, parties: Sequence[str], block: LabelBlock, rows: Rows
) -> F64:
    """Expected labels of the rows; every party of the model must take part."""
    _greet(channel, parties, rows, b"score")
    total, counts = len(rows.keys), block.split_counts()
    own = block.own.directions(rows)
    out = np.zeros(total)
    for first in range(0, total, _CHUNK):
        size = min(_CHUNK, total - first)
        directions = [own[:, first : first + size]]
        for role in range(1, len(parties)):
            shape = (counts[role], (size + 7) // 8)
            bits = np.zeros(shape, np.uint8)
            if counts[role]:
                bits = channel.receive(role, f"score.{first}", _U1, shape)
            directions.append(np.unpackbits(bits, axis=1, count=size).astype(np.bool_))
        out[first : first + size] = block.predict(directions)
    return out


def _labels(y: NDArray[Any], rows: Rows, settings: Settings) -> F64:
    where = f"{rows.party} labels"
    try:
        labels = np.asarray(y, np.float64)
    except (TypeError, ValueError) as error:
        raise Fault("learn.labels", "labels are not numbers", where=where,
                    remedy="encode the label column as numbers") from error  # fmt: skip
    if labels.shape != (len(rows.keys),):
        raise Fault("learn.labels", f"there are {labels.size} labels for {len(rows.keys)} rows", where=where,
                    remedy="give one label for each key")  # fmt: skip
    least = 2 * settings.minimum_rows
    if labels.size < least:
        raise Fault("learn.rows", f"{labels.size} rows are too few: a split needs {least}", where=where,
                    remedy="join more rows; the least number of rows of a leaf cannot go below 20")  # fmt: skip
    Loss(settings.loss).check(labels, where)
    return labels


def _greet(channel: Channel, parties: Sequence[str], rows: Rows, agreed: bytes) -> list[Partner]:
    """Compare what must be equal, exchange what each side must know; the other parties, by role.

    Raises `Refusal` if anybody's rows are about people, `Fault` where rows or settings differ.
    """
    require_not_personal(rows.personal, rows.party)
    mine = hashlib.sha256(agreed).digest() + rows.keys_digest()
    head = np.array([len(rows.keys), len(rows.columns), rows.personal], np.int64)
    others = [role for role in range(len(parties)) if role != channel.role]
    for role in others:
        channel.send(role, "hello", np.frombuffer(mine, np.uint8))
        channel.send(role, "hello.head", head)
    partners = []
    for role in others:
        theirs = channel.receive(role, "hello", _U1, (64,)).tobytes()
        count, columns, personal = (int(v) for v in channel.receive(role, "hello.head", _I8, (3,)))
        require_not_personal(bool(personal), parties[role])
        if theirs[:32] != mine[:32]:
            raise Fault("learn.disagree", f"{parties[role]} and {rows.party} were asked for different trainings",
                        remedy="give all parties the same settings and job")  # fmt: skip
        if theirs[32:] != mine[32:]:
            raise Fault(
                "learn.alignment",
                f"the rows of {parties[role]} and {rows.party} are not aligned: "
                f"{count} and {len(rows.keys)} keys, or another order",
                where=f"party {parties[role]}",
                remedy="sort all parties' rows by the same keys, and keep only keys that all have",
            )
        if not 0 <= columns <= 1 << 20 or (channel.role == LABEL and columns == 0):
            raise Foul(
                "learn.columns",
                f"{parties[role]} offers no columns",
                where=f"party {parties[role]}",
                remedy="give every feature holder at least one column, or leave it out",
            )
        partners.append(Partner(parties[role], columns, bool(personal)))
    return partners


# --- all parties in one process ----------------------------------------------------------------------


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
        if parties != list(self.label_block.parties):
            raise Fault("learn.parties", "the model was trained by other parties, or in another order",
                        remedy=f"score with {', '.join(self.label_block.parties)}, in this order")  # fmt: skip

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
    job: bytes = b"",
    tap: Tap | None = None,
    entropy: Callable[[int], Entropy] | None = None,
    workers: int = 2,
) -> Model:
    """Boost ``y`` [rows] over the columns of ``label``'s party and of ``features``' parties, one thread a party.

    ``job`` separates trainings (random if empty); ``entropy(role)`` is the operating system's unless a test
    gives another. Raises `Refusal` for rows about people, `Fault` for bad columns, labels, alignment or settings.
    """
    chosen = settings or Settings()
    parties = _names(label, features)
    record = Record()
    name = job or os.urandom(32)
    source = entropy or (lambda _: SystemEntropy())
    counted: dict[str, int] = {}

    def counting(frame: Frame) -> Frame | None:
        if isinstance(frame.body, np.ndarray):
            kind = frame.step.split(".", 2)[-1]
            counted[kind] = counted.get(kind, 0) + frame.body.nbytes
        return frame if tap is None else tap(frame)

    def first(channel: Channel) -> tuple[LabelBlock, History]:
        return fit_label_holder(channel, parties, label, y, chosen, name, record, source(0))

    def other(role: int, rows: Rows) -> Callable[[Channel], Block]:
        return lambda channel: fit_feature_holder(
            channel, parties, rows, chosen, name, source(role), workers
        )

    rest = [other(role, rows) for role, rows in enumerate(features, 1)]
    (block, history), *blocks = _together([first, *rest], parties, counting)
    return Model(block, blocks, history, record, counted)


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
    """Each party in a thread of its own; results by role. The first error ends the others' waits and is raised."""
    hall = Hall(len(work), names=tuple(names), tap=tap, patience=_PATIENCE)
    results: list[Any] = [None] * len(work)
    errors: list[BaseException] = []

    def live(role: int) -> None:
        try:
            results[role] = work[role](hall.channel(role))
        except BaseException as error:  # handed to the caller below
            errors.append(error)
            hall.fail(
                error if isinstance(error, HanseError) else Fault("learn.internal", repr(error))
            )

    threads = [
        threading.Thread(target=live, args=(role,), daemon=True) for role in range(len(work))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
