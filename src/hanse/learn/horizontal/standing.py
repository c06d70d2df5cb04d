"""What the common model is worth beside what parties have without it: losses over held-out rows, by secure sums.

 1. The average of the parties' own models, where these are linear: a sum of coefficients, over at least three
    parties. It is the ensemble of own models, whose mean predictor it has. Trees and networks of one party are not
    shown to others, so there is none of them.
 2. Each party judges on its own held-out rows the common model, its own and the average; sums of losses open.
A party without a model of its own (its rows are of one class, say) has no rows in these sums.
Reveals: to all parties the average of own models and pooled losses, over ``least_contributors`` parties or more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hanse.errors import Refusal
from hanse.learn.horizontal.home import Home, Scaling
from hanse.learn.horizontal.kinds import F64, Kind
from hanse.learn.horizontal.models import LinearModel
from hanse.learn.horizontal.own import Fitted, in_units_of
from hanse.learn.horizontal.rounds import MOST_LOSS
from hanse.learn.horizontal.sums import Summing

_MOST_OF_ONE = (
    1e3  # of a coefficient of standardised columns: a party with larger ones is not in the average
)
METRICS = {"linear": "rmse", "logistic": "log_loss", "multinomial": "log_loss"}  # else the loss


@dataclass(frozen=True)
class Standing:
    """``metric`` over ``rows`` held-out rows of all parties, the lower the better; each party's own model is judged
    on that party's rows."""

    metric: str
    common: float
    own: float
    ensemble: float | None
    rows: float

    @property
    def beats(self) -> bool:
        """Whether the common model is better than own models, and than their average."""
        rivals = [self.own, *([] if self.ensemble is None else [self.ensemble])]
        return all(self.common < rival for rival in rivals)

    def body(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "metric": self.metric, "rows": round(self.rows), "common": self.common, "own_models": self.own,
            "ensemble": self.ensemble, "beats_own_and_ensemble": self.beats,
        }  # fmt: skip


def stood(party: Summing, home: Home, own: Fitted | None, common: Fitted) -> Standing | None:
    """The standing, the same at all parties; None without held-out rows, or where noise makes every sum cost."""
    scaling = common.scaling
    if party.policy.noise or scaling.held == 0:
        return None
    models = [common, own or common]
    if isinstance(common.model, LinearModel):
        average = _average(party, own, scaling, len(home.columns))
        models += [] if average is None else [average]
    rows = scaling.rows(home, held=True)
    part = np.zeros(len(models) + 1)
    if own is not None and rows.count:
        raw = home.x[home.held]
        losses = [_loss(scaling.kind, in_units_of(scaling, m, raw), rows.y) for m in models]
        part = np.array([*losses, 1.0]) * rows.count
    try:
        told = party.sum("standing", part, norm=2 * MOST_LOSS * scaling.held).values
    except Refusal:
        return None
    count = float(told[-1])
    if count < 0.5:
        return None
    figures = [_figure(scaling, float(value) / count) for value in told[:-1]]
    metric = METRICS.get(scaling.kind.name, "loss")
    return Standing(metric, figures[0], figures[1], figures[2] if len(figures) > 2 else None, count)


def _loss(kind: Kind, eta: F64, y: F64) -> float:
    value = float(kind.losses(eta, y).mean())
    return min(max(value, -MOST_LOSS), MOST_LOSS) if np.isfinite(value) else MOST_LOSS


def _figure(scaling: Scaling, loss: float) -> float:
    """A mean loss as people know it: of a linear model the error in the label's units."""
    if scaling.kind.name == "linear":
        return float(np.sqrt(max(0.0, 2 * loss))) * scaling.stretch
    return loss


def _average(party: Summing, own: Fitted | None, scaling: Scaling, columns: int) -> Fitted | None:
    """The mean of the parties' own coefficients, in common units; None where too few have a model."""
    size = columns + 1
    norm = _MOST_OF_ONE * float(np.sqrt(size))
    beta = None if own is None else _in_common(own, scaling)
    try:
        if beta is None or not np.isfinite(beta).all() or np.abs(beta).max() > _MOST_OF_ONE / 2:
            told = party.skip("own models", size + 1, norm=norm).values
        else:
            told = party.sum("own models", np.concatenate([beta, [1.0]]), norm=norm).values
    except Refusal:
        return None
    model = LinearModel(scaling.kind, columns)
    model.load(told[:-1] / max(1.0, float(told[-1])))
    return Fitted(scaling, model)


def _in_common(own: Fitted, scaling: Scaling) -> F64:
    """Coefficients of an own linear model in the common model's units, intercept first."""
    raw = own.scaling.to_raw(own.model.parameters())
    beta = np.concatenate([[raw[0] + raw[1:] @ scaling.mean], raw[1:] * scaling.spread])
    if scaling.kind.name == "linear":
        beta = beta * (own.scaling.stretch / scaling.stretch)
        beta[0] += (own.scaling.shift - scaling.shift) / scaling.stretch
    elif scaling.kind.log_link:
        beta[0] += np.log(own.scaling.stretch / scaling.stretch)
    return np.asarray(beta)
