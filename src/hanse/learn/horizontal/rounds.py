"""Rounds of local training and secure averaging: FedAvg, FedProx, and server optimisers.

1. Start: the average of the parties' own models, or fresh parameters, whichever has the lower pooled holdout loss.
2. A round: train at home from the common parameters; clip the change to the norm bound; share it, times the party's
   weight, with the weight itself; the sums open, so that the average is over those who took part, by their rows.
3. The server optimiser's step is computed at every party alike. The parameters with the lowest pooled holdout loss
   are kept.
Reveals: per round the weighted sum of updates, the sum of weights, the sums of holdout losses and rows; all over at
least ``least_contributors`` parties, none of a single one. Source: McMahan et al. 2017; Li et al. 2020 (FedProx).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hanse.errors import HanseError, Refusal
from hanse.learn.horizontal.home import Rows, Scaling
from hanse.learn.horizontal.kinds import F64
from hanse.learn.horizontal.models import LocalModel, mean_loss
from hanse.learn.horizontal.numbers import clipped, norm_of
from hanse.learn.horizontal.servers import Server, ServerName
from hanse.learn.horizontal.sums import Summed, Summing

MOST_LOSS = 64.0  # a row's loss, as it is told in pooled holdout figures


@dataclass(frozen=True)
class Averaging:
    """How to average. ``clip`` bounds the norm of an update; ``weighted``: by rows, else each party alike."""

    rounds: int = 20
    server: ServerName = "fedavg"
    server_rate: float = 0.0
    proximal: float = 0.0
    clip: float = 10.0
    weighted: bool = True
    width: int = 64  # bits of a number on the wire
    patience: int = 5  # rounds without a lower pooled holdout loss
    failures: int = 2  # rounds with too few parties, one after another, before training ends

    def check(self) -> None:
        """`Refusal` where a setting is out of range."""
        for name, low, high in (
            ("rounds", 1, 10_000), ("proximal", 0, 1e6), ("clip", 1e-6, 1e9), ("patience", 1, 10_000),
            ("failures", 0, 1000), ("server_rate", 0, 100),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise Refusal(
                    "learn.settings", f"{name} must be {low} to {high}", remedy="correct it"
                )
        Server(self.server)


@dataclass
class Progress:
    """What a training was like. Losses are pooled holdout losses after each round; NaN without holdout rows."""

    losses: list[float] = field(default_factory=list)
    contributors: list[tuple[str, ...]] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    started_from: str = "fresh"
    clipped: int = 0  # of this party's own updates; told to nobody
    failed: int = 0
    kept: int = 0

    def note(self, summed: Summed) -> None:
        self.contributors.append(summed.contributors)
        self.left_out.append(summed.left_out)


def averaged(
    party: Summing, model: LocalModel, learn: Rows, held: Rows, scaling: Scaling, how: Averaging,
    own: F64 | None = None,
) -> Progress:  # fmt: skip
    """Train ``model`` together; it ends with the common parameters. ``own``: this party's model, to start from."""
    how.check()
    seen = Progress()
    server = Server(how.server, how.server_rate)
    common = model.parameters()
    if not party.policy.noise:
        common = _start(party, model, held, learn.count, scaling, own, seen)
    best, lowest, since, missed = common, float("inf"), 0, 0
    for number in range(how.rounds):
        model.load(common)
        try:
            update = _update(party, model, learn, scaling, how, number, seen)
        except Refusal as error:
            missed += 1
            seen.failed += 1
            over = missed > how.failures or number == how.rounds - 1
            if error.code != "gate.contributors" or (over and not seen.contributors):
                raise
            if over:
                break
            continue
        missed = 0
        common = server.step(common, update)
        model.load(common)
        loss = pooled_loss(party, model, held, scaling, f"loss.{number}")
        seen.losses.append(loss)
        if not loss >= lowest:  # also where there is no holdout
            best, lowest, since, seen.kept = (
                common,
                loss if np.isfinite(loss) else lowest,
                0,
                number + 1,
            )
        else:
            since += 1
            if since >= how.patience:
                break
    model.load(best)
    return seen


def pooled_loss(
    party: Summing, model: LocalModel, held: Rows, scaling: Scaling, name: str
) -> float:
    """Mean holdout loss over all who took part; NaN where none has holdout rows, or noise makes every sum cost."""
    if party.policy.noise or scaling.held == 0:
        return float("nan")
    loss = min(mean_loss(model, held), MOST_LOSS)
    part = np.array([max(-MOST_LOSS, loss) * held.count, held.count])
    try:
        told = party.sum(name, part, norm=2 * MOST_LOSS * scaling.held).values
    except Refusal:
        return float("nan")
    return float(told[0] / told[1]) if told[1] > 0.5 else float("nan")


def _start(
    party: Summing, model: LocalModel, held: Rows, count: int, scaling: Scaling, own: F64 | None,
    seen: Progress,
) -> F64:  # fmt: skip
    """The better of fresh parameters and the average of the parties' own, if enough have one."""
    fresh = model.parameters()
    norm = 1e3 * float(np.sqrt(fresh.size))
    name, length = "start", fresh.size + 1
    weight = count / scaling.total
    try:
        if own is None or own.shape != fresh.shape or norm_of(own) > norm / 2:
            told = party.skip(name, length, norm=norm)
        else:
            told = party.sum(name, np.concatenate([weight * own, [weight]]), norm=norm)
    except Refusal:
        return fresh
    average = told.values[:-1] / max(float(told.values[-1]), 1e-12)
    before = pooled_loss(party, model, held, scaling, "loss.fresh")
    model.load(average)
    after = pooled_loss(party, model, held, scaling, "loss.start")
    if after > before:
        model.load(fresh)
        return fresh
    seen.started_from = "the average of own models"
    return average


def _update(
    party: Summing, model: LocalModel, learn: Rows, scaling: Scaling, how: Averaging, number: int, seen: Progress
) -> F64:  # fmt: skip
    """The average of the parties' updates [n] of this round."""
    before = model.parameters()
    name, weighted = f"update.{number}", how.weighted and scaling.total > 0
    norm = how.clip * float(np.sqrt(2)) if weighted else how.clip
    try:
        model.train(learn, proximal=how.proximal)
        change = model.parameters() - before
        fine = bool(np.isfinite(change).all())
    except HanseError as error:
        if error.code != "learn.local":
            raise
        fine = False
    if not fine:  # diverged, or cannot learn from its rows: the others go on without it
        told = party.skip(name, before.size + weighted, norm=norm * (1 + 1e-9), width=how.width)
    else:
        part = clipped(change, how.clip)
        seen.clipped += part is not change
        if weighted:
            weight = learn.count / scaling.total
            part = np.concatenate([weight * part, [weight * how.clip]])
        told = party.sum(name, part, norm=norm * (1 + 1e-9), width=how.width)
    seen.note(told)
    if not weighted:  # how many took part is public, and needs no noise
        return told.values / len(told.contributors)
    return np.asarray(told.values[:-1] / max(float(told.values[-1]) / how.clip, 1e-9))
