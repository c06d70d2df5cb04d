"""What a party makes of the common model: it never ends with one that is worse than its own on its own holdout.

The choice is made at home, from the party's own holdout rows: keep its own model, take the common one, or a
mixture of both predictors; ties keep its own. Others learn how many parties chose what, over at least three of
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hanse.errors import Refusal
from hanse.learn.horizontal.home import Home, Scaling
from hanse.learn.horizontal.kinds import F64
from hanse.learn.horizontal.sums import Summing

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the common model in the mixture
OWN, MIXED, COMMON = "own", "mixed", "common"


@dataclass(frozen=True)
class Fitted:
    """A trained model with the scale of its columns and label."""

    scaling: Scaling
    model: Any  # `LocalModel` or `trees.Trees`

    def predictor(self, x: F64) -> F64:
        """Predictors of raw columns [rows, columns], in the model's units."""
        return np.asarray(self.model.predictor(self.scaling.features(x)))

    def predict(self, x: F64) -> F64:
        """Expected labels of raw columns [rows, columns]; of several classes their probabilities."""
        return self.scaling.label(self.scaling.kind.mean(self.predictor(x)))


@dataclass(frozen=True)
class Chosen:
    """What a party ends with. ``share`` of the common model; losses are on its own holdout rows."""

    what: str
    share: float
    own: Fitted
    common: Fitted
    own_loss: float
    common_loss: float
    loss: float

    def predict(self, x: F64) -> F64:
        """Expected labels of raw columns."""
        return self.common.scaling.label(
            self.common.scaling.kind.mean(_mixed(self.own, self.common, x, self.share))
        )


def choose(home: Home, own: Fitted, common: Fitted) -> Chosen:
    """The best of own, common and mixtures on the party's holdout; without one, on the rows it learned from."""
    judged = home.held if home.held.any() else ~home.held
    x = home.x[judged]
    scaling = common.scaling
    y = (home.y[judged] - scaling.shift) / scaling.stretch
    losses = {}
    for share in SHARES:
        loss = float(scaling.kind.losses(_mixed(own, common, x, share), y).mean())
        losses[share] = loss if np.isfinite(loss) else float("inf")
    best = min(SHARES, key=lambda s: (losses[s], s))
    what = OWN if best == 0 else COMMON if best == 1 else MIXED
    return Chosen(what, best, own, common, losses[0.0], losses[1.0], losses[best])


def tallied(party: Summing, chosen: Chosen) -> dict[str, int]:
    """How many parties chose what; empty where too few are there or noise makes every sum cost."""
    if party.policy.noise:
        return {}
    part = np.array([chosen.what == what for what in (OWN, MIXED, COMMON)], np.float64)
    try:
        told = party.sum("choices", part, norm=1.0).values
    except Refusal:
        return {}
    return dict(zip((OWN, MIXED, COMMON), np.rint(told).astype(int).tolist(), strict=True))


def in_units_of(scaling: Scaling, own: Fitted, x: F64) -> F64:
    """Predictors of raw columns by ``own``, in the units of another model's ``scaling``."""
    mine = own.predictor(x)
    if scaling.kind.name == "linear":
        mine = (mine * own.scaling.stretch + own.scaling.shift - scaling.shift) / scaling.stretch
    elif scaling.kind.log_link:
        mine = mine + np.log(own.scaling.stretch / scaling.stretch)
    return np.asarray(mine)


def _mixed(own: Fitted, common: Fitted, x: F64, share: float) -> F64:
    """(1 - share) own + share common, both as predictors in the common model's units."""
    if share == 1:
        return common.predictor(x)
    mine = in_units_of(common.scaling, own, x)
    return mine if share == 0 else np.asarray((1 - share) * mine + share * common.predictor(x))
