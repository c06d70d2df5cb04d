"""Vertical gradient boosting over two or more parties whose rows are aligned openly: places, not people (or people
who authorised it, as the contract states).

    1. Parties compare settings, keys, the job and what they committed to; rows about people are refused.
    2. Each tree: the label holder encrypts gradients and curvatures (`hanse.engine.lattice`) and sends them to all.
    3. Each step (a level, or two leaves): feature holders add ciphertexts per group of bins of at least
       ``minimum_rows`` rows, re-randomise the sums and return them.
    4. The gate opens the sums to the label holder, which picks splits: an owner, a place in its list.
    5. The owner keeps column and threshold, and tells all which rows go left. Leaf values stay with the label
       holder.
    6. Scoring: every party says which way its own splits send each row; the label holder adds up the leaves.

A node runs one of five functions over a `Channel` on which roles are numbered 0 (label holder), 1, 2, ... in the
order of ``parties`` (`hanse.learn.jobs.renumbered.Renumbered` maps a job's roles to these):

    fit_label_holder(channel, parties, rows, y, settings, job, record, entropy)  -> (LabelBlock, History)
    fit_feature_holder(channel, parties, rows, settings, job, entropy)           -> Block
    fit_seat(channel, parties, settings, job, record, entropy)                   -> None (with masks only)
    score_label_holder(channel, parties, block, rows, job)                       -> expected labels
    score_feature_holder(channel, parties, block, rows, job)                     -> None

``job``: bytes that name this training (or scoring) and attempt, the same at all parties and never used twice
(public vectors derive from them). Blocks go into a store as plain values: ``block.body()``, ``Block.from_body``,
``LabelBlock.from_body``. `commitment` is signed with the job; a `Pledge` makes everybody check it.

Reveals: see docs/claims/lattice.md. Source: SecureBoost (Cheng et al. 2021) for the division of labour; the
encryption is docs/decisions/0012.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.engine.lattice import Public
from hanse.engine.stage import agree
from hanse.entropy import Entropy
from hanse.errors import Fault, Foul, Refusal
from hanse.gate.histograms import require_open
from hanse.gate.record import Record
from hanse.learn.boosting.blocks import Block, LabelBlock
from hanse.learn.boosting.choosing import run_seat
from hanse.learn.boosting.features import LABEL, FeatureHolder
from hanse.learn.boosting.label import History, LabelHolder, Partner
from hanse.learn.boosting.losses import Loss
from hanse.learn.boosting.masked import MaskedFeatureHolder, MaskedLabelHolder
from hanse.learn.boosting.rows import (
    Pledge,
    Rows,
    commitment,
    require_monotone,
    require_pledged,
)
from hanse.learn.boosting.settings import Settings
from hanse.wire import Channel

F64 = NDArray[np.float64]
_U1, _I8 = np.dtype("u1"), np.dtype("<i8")
_CHUNK = 1 << 16  # rows scored at a time


# --- each party's part: what a node runs ------------------------------------------------------------


def fit_label_holder(
    channel: Channel, parties: Sequence[str], rows: Rows, y: NDArray[Any], settings: Settings, job: bytes,
    record: Record, entropy: Entropy, *, weights: NDArray[Any] | None = None, pledge: Pledge | None = None,
) -> tuple[LabelBlock, History]:  # fmt: skip
    """Role 0. ``weights`` [rows] of the rows, at least 0; all alike if left out.

    The commitment that ``pledge`` is checked against is of rows, ``y`` and ``weights``.
    """
    labels = _labels(y, rows, settings)
    weighed = _weights(weights, rows)
    own = "" if pledge is None else commitment(rows, pledge.nonce, **_extra(y, weights))
    partners = _greet(channel, parties, rows, settings, settings.digest() + job, own, pledge)
    public = Public(job, labels.size) if partners else None
    kind = MaskedLabelHolder if settings.masked and partners else LabelHolder
    holder = kind(channel, partners, rows, labels, weighed, settings, public, entropy, record)
    return holder.train(), holder.history


def fit_feature_holder(
    channel: Channel, parties: Sequence[str], rows: Rows, settings: Settings, job: bytes, entropy: Entropy,
    *, workers: int = 2, pledge: Pledge | None = None,
) -> Block:  # fmt: skip
    """Roles 1, 2, ...: this party's splits. ``workers``: threads."""
    own = "" if pledge is None else commitment(rows, pledge.nonce)
    _greet(channel, parties, rows, settings, settings.digest() + job, own, pledge)
    public = Public(job, len(rows.keys))
    kind = MaskedFeatureHolder if settings.masked else FeatureHolder
    return kind(channel, len(parties), rows, settings, public, entropy, workers).train()


def fit_seat(
    channel: Channel, parties: Sequence[str], settings: Settings, job: bytes, record: Record, entropy: Entropy
) -> None:  # fmt: skip
    """A seat's part of a training with masks. Here the seats are roles 0, 1, 2, and ``parties`` follow from 3 on;
    at the parties' channels the seats follow the parties."""
    session = agree(channel, channel.role, entropy, settings.digest() + job)
    run_seat(session, record, list(parties), settings)


def score_feature_holder(
    channel: Channel, parties: Sequence[str], block: Block, rows: Rows, job: bytes = b""
) -> None:
    """Tell the label holder which way each of this party's splits sends each row."""
    _greet(channel, parties, rows, None, b"score|" + job, "", None)
    if not block.splits:
        return
    for first in range(0, len(rows.keys), _CHUNK):
        channel.send(LABEL, f"score.{first}", block.directions(rows, slice(first, first + _CHUNK)))


def score_label_holder(
    channel: Channel, parties: Sequence[str], block: LabelBlock, rows: Rows, job: bytes = b""
) -> F64:
    """Expected labels of the rows [rows], of several classes probabilities [rows, classes]; every party of the
    model must take part."""
    require_parties(parties, block)
    _greet(channel, parties, rows, None, b"score|" + job, "", None)
    total, counts = len(rows.keys), block.split_counts()
    parts = []
    for first in range(0, total, _CHUNK):
        size = min(_CHUNK, total - first)
        directions = [block.own.directions(rows, slice(first, first + size))]
        for role in range(1, len(parties)):
            shape = (counts[role], (size + 7) // 8)
            bits = np.zeros(shape, np.uint8)
            if counts[role]:
                bits = channel.receive(role, f"score.{first}", _U1, shape)
            directions.append(bits)
        parts.append(block.predict(directions, size))
    if not parts:
        return np.zeros((0, block.classes) if block.classes else 0)
    return np.concatenate(parts)


def require_parties(parties: Sequence[str], block: LabelBlock) -> None:
    """`Fault` unless these are the model's parties, in its order."""
    if list(parties) != list(block.parties):
        raise Fault("learn.parties", "the model was trained by other parties, or in another order",
                    remedy=f"score with {', '.join(block.parties)}, in this order")  # fmt: skip


def _extra(y: NDArray[Any], weights: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
    """What a label holder commits to beside its columns."""
    return {"label": np.asarray(y)} | ({} if weights is None else {"weights": np.asarray(weights)})


def _labels(y: NDArray[Any], rows: Rows, settings: Settings) -> F64:
    where = f"{rows.party} labels"
    labels = _numbers(y, len(rows.keys), where, "learn.labels", "label")
    least = 2 * settings.minimum_rows
    if labels.size < least:
        raise Fault("learn.rows", f"{labels.size} rows are too few: a split needs {least}", where=where,
                    remedy="join more rows; the least number of rows of a leaf cannot go below 20")  # fmt: skip
    Loss(settings.loss, settings.classes).check(labels, where)
    return labels


def _weights(weights: NDArray[Any] | None, rows: Rows) -> F64:
    if weights is None:
        return np.ones(len(rows.keys))
    where = f"{rows.party} weights"
    found = _numbers(weights, len(rows.keys), where, "learn.weights", "weight")
    if not np.isfinite(found).all() or found.min(initial=0) < 0 or not found.any():
        raise Fault("learn.weights", "weights must be finite, at least 0, and not all 0", where=where,
                    remedy="correct the column of weights or leave it out")  # fmt: skip
    return found


def _numbers(raw: NDArray[Any], rows: int, where: str, code: str, what: str) -> F64:
    try:
        found = np.asarray(raw, np.float64)
    except (TypeError, ValueError) as error:
        raise Fault(code, f"{what}s are not numbers", where=where,
                    remedy=f"encode the {what} column as numbers") from error  # fmt: skip
    if found.shape != (rows,):
        raise Fault(code, f"there are {found.size} {what}s for {rows} rows", where=where,
                    remedy=f"give one {what} for each key")  # fmt: skip
    return found


def _greet(
    channel: Channel, parties: Sequence[str], rows: Rows, settings: Settings | None, agreed: bytes,
    own: str, pledge: Pledge | None,
) -> list[Partner]:  # fmt: skip
    """Compare what must be equal, exchange what each side must know; the other parties, by role.

    ``settings`` None: a scoring, which opens no sums. ``own`` is the commitment of this party's columns. Raises
    `Refusal` if anybody's rows are about people, `Fault` where rows or settings differ, `Foul` for swapped columns.
    """
    _require_allowed(settings, rows.personal, bool(rows.authorised), rows.party)
    if settings is not None:
        require_monotone(rows, classes=settings.classes, masked=settings.masked)
    if own:
        require_pledged(rows.party, own, pledge)
    mine = hashlib.sha256(agreed).digest() + rows.keys_digest() + bytes.fromhex(own or "00" * 32)
    head = np.array(
        [len(rows.keys), len(rows.columns), rows.personal, bool(rows.authorised)], np.int64
    )
    others = [role for role in range(len(parties)) if role != channel.role]
    for role in others:
        channel.send(role, "hello", np.frombuffer(mine, np.uint8))
        channel.send(role, "hello.head", head)
    partners = []
    for role in others:
        theirs = channel.receive(role, "hello", _U1, (96,)).tobytes()
        count, columns, personal, authorised = (
            int(v) for v in channel.receive(role, "hello.head", _I8, (4,))
        )
        _require_allowed(settings, bool(personal), bool(authorised), parties[role])
        _compare(channel.role, mine, theirs, (count, columns), parties[role], rows)
        require_pledged(parties[role], theirs[64:].hex(), pledge)
        partners.append(Partner(parties[role], columns, bool(personal), bool(authorised)))
    return partners


def _compare(
    me: int, mine: bytes, theirs: bytes, size: tuple[int, int], party: str, rows: Rows
) -> None:
    count, columns = size
    if theirs[:32] != mine[:32]:
        raise Fault("learn.disagree", f"{party} and {rows.party} were asked for different trainings",
                    remedy="give all parties the same settings and job")  # fmt: skip
    if theirs[32:64] != mine[32:64]:
        raise Fault(
            "learn.alignment",
            f"the rows of {party} and {rows.party} are not aligned: "
            f"{count} and {len(rows.keys)} keys, or another order",
            where=f"party {party}",
            remedy="sort all parties' rows by the same keys, and keep only keys that all have",
        )
    if not 0 <= columns <= 1 << 20 or (me == LABEL and columns == 0):
        raise Foul("learn.columns", f"{party} offers no columns", where=f"party {party}",
                   remedy="give every feature holder at least one column, or leave it out")  # fmt: skip


def _require_allowed(
    settings: Settings | None, personal: bool, authorised: bool, party: str
) -> None:
    if settings is None:
        require_open(personal, authorised, True, 1 << 30, party)
        return
    require_open(personal, authorised, settings.masked, settings.minimum_rows, party)
    if personal and settings.own_trees < 1:
        raise Refusal(
            "learn.personal.trees",
            f"the rows of {party} are about people; the first tree would tell feature holders most about labels",
            where=f"party {party}",
            remedy="set own_trees to 1 or more, so that the first tree is made of the label holder's columns",
        )
