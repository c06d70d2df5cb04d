"""All figures of a model on shares, as sums that one party reads: the page of evaluation.

1. rank    scores are counted in thousands of secret bins; AUC and KS come from them (`ranking`)
2. bands   the bins fall into ten bands of equal rows: rows, labels, predictions of each (gain, lift, calibration)
3. errors  squared and absolute errors, labels and their squares (RMSE, MAE, R2), rows within 30 % (P30)
4. losses  log-loss, right guesses, Brier score of classes; the family's deviance of others
5. out     `gate.model.send_numbers` opens the sums to the label party and to nobody else; `read` makes figures

Reveals: nothing until the gate opens the sums. They are exact, so a model of people needs these people's
authorisation (docs/claims/evaluation.md); `banded` has counts for people, with noise.
Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hanse.engine.boolean import and_
from hanse.engine.compare import ring_bits, sign_bit
from hanse.engine.count import count_rows
from hanse.engine.fixed import decode
from hanse.engine.functions import product
from hanse.engine.multiply import multiply
from hanse.engine.session import Session
from hanse.engine.shares import U64, Bits, Ring, join_elements
from hanse.learn.evaluation.histogram import ETA, histogram
from hanse.learn.evaluation.logarithms import softplus
from hanse.learn.evaluation.ranking import RANKING_SUMS, absolute, gains, ranking_of, read_ranking
from hanse.learn.evaluation.report import Curve

BANDS = 10
AT_ONCE = 1 << 17  # rows whose losses are taken at a time: more take gigabytes
LOSS_BITS = 20  # fraction bits of a sum of log-losses
Metrics = dict[str, float | None]


@dataclass(frozen=True, repr=False)
class Judged:
    """Rows on shares with what a model expects of them. Rows of no one are zero in ``here`` and ``label``.

    ``eta`` [rows] has `ETA` fraction bits; ``mean`` and ``label`` [rows] have ``fraction``; ``here_bit`` and
    ``label_bit`` (of two classes) are planes [words]. ``half_deviance`` [1]: the family's, summed over the rows,
    with ``fraction`` bits.
    """

    eta: Ring
    mean: Ring
    label: Ring
    here: Ring
    here_bit: Bits
    label_bit: Bits | None
    fraction: int
    half_deviance: Ring | None = None


def judge(s: Session, rows: Judged) -> Ring:
    """The sums to open [`sums_of`]: two classes where ``label_bit`` is given, else numbers."""
    mean = multiply(s, rows.here, rows.mean, "mean")
    off = mean - rows.label
    squares = product(s, off, off, rows.fraction, "squares").sum().reshape(1)
    if rows.label_bit is not None:
        counts = histogram(s, rows.eta, rows.here_bit, rows.label_bit, (mean,))
        sums = [ranking_of(s, counts), *_losses(s, rows, rows.label_bit), squares]
    else:
        counts = histogram(s, rows.eta, rows.here_bit, None, (rows.label, mean))
        sums = [*_errors(s, rows, off), squares]
        if rows.half_deviance is not None:
            sums.append(rows.half_deviance)
    bands = gains(s, counts, BANDS)
    return join_elements([*sums, bands.reshape(bands.size)])


def sums_of(*, classes: bool, deviance: bool) -> int:
    """How many sums `judge` makes."""
    return 3 * BANDS + (RANKING_SUMS + 3 if classes else 6 + deviance)


def _losses(s: Session, rows: Judged, label: Bits) -> list[Ring]:
    """[log-losses], [right guesses]: log(1 + exp(eta)) - y eta, and whether eta >= 0 where y is 1."""
    size = rows.eta.size
    full = join_elements(
        [
            softplus(s, rows.eta[first : first + AT_ONCE], ETA, LOSS_BITS, f"softplus{first}")
            for first in range(0, max(1, size), AT_ONCE)
        ]
    )
    flag = ring_bits(s, label.reshape(1, -1), "label.flag")[0]
    both = multiply(s, join_elements([rows.here, flag]), join_elements([full, rows.eta]), "losses")
    loss = both[:size].sum() - both[size:].sum()
    below = sign_bit(s, rows.eta, "guess")
    wrong = s.invert(below) ^ label  # guessed 1 where it is 0, or the reverse
    right = s.invert(wrong)

    found = and_(s, right.reshape(1, -1), rows.here_bit.reshape(1, -1), "right")
    return [loss.reshape(1), count_rows(s, found, "right.count").reshape(1)]


def _errors(s: Session, rows: Judged, off: Ring) -> list[Ring]:
    """[rows], [absolute errors], [labels], [squared labels], [rows within 30 %]."""
    f = rows.fraction
    size = absolute(s, join_elements([off, rows.label]), "absolute")
    far, truth = size[: off.size], size[off.size :]
    # 10 |off| <= 3 |y|; a row of no one has 0 <= 0 and is taken off again.
    over = sign_bit(s, truth.times(3) - far.times(10), "within")
    near = ring_bits(s, s.invert(over).reshape(1, -1), "within.flag")[0]
    within = near.sum() - s.public_ring(rows.here.size).reshape(1).sum() + rows.here.sum()
    spread = product(s, rows.label, rows.label, f, "label.squares").sum()
    return [
        rows.here.sum().reshape(1), far.sum().reshape(1), rows.label.sum().reshape(1),
        spread.reshape(1), within.reshape(1),
    ]  # fmt: skip


# --- reading ----------------------------------------------------------------------------------------


def read(
    sums: U64, *, classes: bool, deviance: bool, fraction: int, scale: float = 1.0, shift: float = 0.0,
    deviance_scale: float | None = None,
) -> tuple[Metrics, Curve]:  # fmt: skip
    """(metrics, curve) of opened sums; labels were (raw - shift) / scale at home.

    P30 is None where labels were shifted: 30 % of what was shared is not 30 % of the truth.
    """
    body, bands = sums[: -3 * BANDS], sums[-3 * BANDS :].reshape(3, BANDS)
    whole = [float(v) for v in bands[0].view(np.int64)]
    if classes:
        found = read_ranking(body[:RANKING_SUMS])
        count = found["rows"] or 0.0
        loss, right, square = body[RANKING_SUMS:].view(np.int64)
        if count:
            found["log_loss"] = float(loss) / 2**LOSS_BITS / count
            found["accuracy"] = float(right) / count
            found["brier"] = float(square) / 2**fraction / count
        labels = [float(v) for v in bands[1].view(np.int64)]
        predicted = decode(bands[2], fraction).tolist()
    else:
        found = _numbers(body, deviance, fraction, scale, shift, deviance_scale)
        labels, predicted = (
            [
                v * scale + shift * n
                for v, n in zip(decode(b, fraction).tolist(), whole, strict=True)
            ]
            for b in bands[1:]
        )
    curve = Curve(tuple(whole), tuple(labels), tuple(predicted))
    if classes:
        found["ece"] = calibration_error(curve)
    return found, curve


def _numbers(
    body: U64,
    deviance: bool,
    fraction: int,
    scale: float,
    shift: float,
    deviance_scale: float | None,
) -> Metrics:
    count, within = float(body[0].view(np.int64)), float(body[4].view(np.int64))
    if count <= 0:
        return {"rows": count, "rmse": None, "mae": None, "r2": None}
    absolute_sum, labels, spread, square = (
        float(v) for v in decode(np.array([body[1], body[2], body[3], body[5]]), fraction)
    )
    centred = spread - labels**2 / count
    found: Metrics = {
        "rows": count, "rmse": math.sqrt(max(0.0, square) / count) * scale, "mae": absolute_sum / count * scale,
        "r2": 1 - square / centred if centred > 0 else None, "p30": within / count if shift == 0 else None,
    }  # fmt: skip
    if deviance:
        half = float(decode(body[6:7], fraction)[0])
        found["deviance"] = 2 * half / count * (scale if deviance_scale is None else deviance_scale)
    return found


def calibration_error(curve: Curve) -> float | None:
    """Expected calibration error over the bands shown: mean of |predicted - came true|, by rows."""
    known = [
        (r, y, p)
        for r, y, p in zip(curve.rows, curve.labels, curve.predicted, strict=True)
        if r is not None and y is not None and p is not None
    ]
    rows = sum(r for r, _, _ in known)
    return sum(abs(p - y) for _, y, p in known) / rows if rows > 0 else None


__all__ = ["BANDS", "Judged", "calibration_error", "judge", "read", "sums_of"]
