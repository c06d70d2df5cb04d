"""A horizontal job as each role lives it: three seats, and parties with rows; the same at nodes and in rehearsals.

Roles 0, 1, 2 are the seats, 3, 4, ... the parties in the plan's order; there are no recipients apart from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from hanse.clock import Clock, SystemClock
from hanse.engine.session import Meter
from hanse.engine.stage import agree
from hanse.entropy import Entropy
from hanse.errors import HanseError, Refusal
from hanse.gate.record import Opening, Record
from hanse.gate.sums import SumPolicy
from hanse.learn.horizontal.home import Home, Rows, Scaling, as_given, scaled
from hanse.learn.horizontal.kinds import F64, Kind, kind_of
from hanse.learn.horizontal.models import LinearModel, LocalModel
from hanse.learn.horizontal.networks import Network
from hanse.learn.horizontal.newton import newton
from hanse.learn.horizontal.own import COMMON, Chosen, Fitted, choose, tallied
from hanse.learn.horizontal.rounds import Averaging, Progress, averaged
from hanse.learn.horizontal.seats import Patience, SummingSeat
from hanse.learn.horizontal.standing import Standing, stood
from hanse.learn.horizontal.sums import Alone, Summing, SummingParty
from hanse.learn.horizontal.trees import Boosting, boosted
from hanse.wire import PatientChannel, digest

Method = Literal["newton", "average", "boosting"]
Maker = Callable[[Kind, int], LocalModel]


@dataclass(frozen=True)
class Plan:
    """What is trained and how; the same at all roles.

    ``method``: exact Newton steps of a generalised linear model, averaging of local models, or boosting.
    ``learner`` of averaging: "glm", "network", or the name of a model that each party brings as ``make``.
    """

    parties: tuple[str, ...]
    model: str = "logistic"
    method: Method = "newton"
    learner: str = "glm"
    power: float = 1.5  # of a Tweedie model
    classes: int = 3  # of a multinomial one
    l2: float = 1e-6
    hidden: tuple[int, ...] = (32, 16)
    averaging: Averaging = field(default_factory=Averaging)
    boosting: Boosting = field(default_factory=Boosting)
    from_own: bool = True  # start averaging from the parties' own models
    least_contributors: int = 3
    noise: float = 0.0  # deviation of the noise in units of the norm bound; averaging only
    delta: float = 1e-8
    seed: int = 0  # of first parameters; public

    @property
    def kind(self) -> Kind:
        return kind_of(self.model, power=self.power, classes=self.classes)

    @property
    def policy(self) -> SumPolicy:
        return SumPolicy(self.parties, self.least_contributors, self.noise, self.delta)

    def check(self) -> None:
        """`Refusal` where the plan cannot be carried out."""
        self.policy.check()
        kind = self.kind
        if self.method not in ("newton", "average", "boosting"):
            raise Refusal("learn.method", f"there is no method {self.method!r}",
                          remedy="use newton, average or boosting")  # fmt: skip
        if kind.outputs > 1 and (self.method != "average" or self.learner == "glm"):
            raise Refusal("learn.method", "several classes are learned by averaging a network",
                          remedy='set method "average" and learner "network"')  # fmt: skip
        if self.noise and (self.method != "average" or self.averaging.weighted):
            raise Refusal("learn.noise", "noise is offered for averaging with every party counting alike",
                          remedy='set method "average" and weighted to false')  # fmt: skip
        if not 0 <= self.l2 <= 10:
            raise Refusal(
                "learn.l2", f"a penalty of {self.l2} is out of range", remedy="choose 0 to 10"
            )
        self.averaging.check()
        self.boosting.check()

    def body(self) -> dict[str, Any]:
        """Plain values: what parties compare by digest before anything else."""
        return asdict(self)

    def local(self, columns: int, make: Maker | None = None) -> LocalModel:
        """A fresh local model over so many columns, with the same parameters at all parties."""
        if make is not None:
            return make(self.kind, columns)
        if self.learner == "network":
            return Network(self.kind, columns, hidden=self.hidden, l2=self.l2, seed=self.seed)
        if self.learner != "glm":
            raise Refusal("learn.learner", f"no model was given for the learner {self.learner!r}",
                          remedy="use glm or network, or let each party bring the model")  # fmt: skip
        return LinearModel(self.kind, columns, l2=self.l2)


@dataclass(frozen=True)
class Result:
    """What a party ends with; it stays at home."""

    chosen: Chosen
    progress: Progress
    settled: bool
    tally: dict[str, int]  # how many parties chose what
    standing: Standing | None  # beside what parties have without it; the same at all
    privacy: tuple[
        float, float
    ]  # (epsilon, delta) of its part in everything that opened; (0, 0): exact
    record: tuple[Opening, ...] = ()


def trained(
    party: Summing, home: Home, plan: Plan, *, make: Maker | None = None
) -> tuple[Fitted, Progress, bool]:  # fmt: skip
    """The common model of all behind ``party``: many parties, or one with `Alone`."""
    kind = plan.kind
    home.check(kind)
    scaling = as_given(home, kind) if plan.noise else scaled(party, home, kind, _job(plan))
    if plan.method == "boosting":
        scaling = replace(scaling, keep_missing=True)
        learn, held = scaling.rows(home, held=False), scaling.rows(home, held=True)
        trees, progress = boosted(party, learn, held, scaling, plan.boosting)
        return Fitted(scaling, trees), progress, progress.kept > 0
    learn, held = scaling.rows(home, held=False), scaling.rows(home, held=True)
    model = plan.local(len(home.columns), make)
    if plan.method == "newton":
        if not isinstance(model, LinearModel):
            raise Refusal("learn.method", "exact steps are made for generalised linear models",
                          remedy='use the learner "glm", or method "average"')  # fmt: skip
        progress, settled = newton(party, model, learn, scaling, l2=plan.l2)
        return Fitted(scaling, model), progress, settled
    start = _start(plan, home, learn, scaling, make) if plan.from_own else None
    progress = averaged(party, model, learn, held, scaling, plan.averaging, start)
    return Fitted(scaling, model), progress, progress.failed == 0


def _job(plan: Plan) -> str:
    """The plan as parties must agree on it, in a digest."""

    return digest(plan.body())


def _linear(plan: Plan) -> bool:
    return plan.method == "newton" or (plan.method == "average" and plan.learner == "glm")


def _start(plan: Plan, home: Home, learn: Rows, scaling: Scaling, make: Maker | None) -> F64 | None:
    """Parameters of the party's own model in the common scale: the one it has, or one trained on its own rows."""
    if home.existing is not None:
        linear = _linear(plan) and home.existing.size == len(home.columns) + 1
        return scaling.adopted(home.existing) if linear else home.existing
    model = plan.local(len(home.columns), make)
    try:
        for _ in range(3):
            model.train(learn)
    except HanseError as error:
        if error.code == "learn.local":
            return None
        raise
    vector = model.parameters()
    return vector if np.isfinite(vector).all() else None


def own_model(home: Home, plan: Plan, make: Maker | None = None) -> Fitted | None:
    """The model that the party has, or can train without anybody; None where its rows do not allow one."""
    if home.existing is not None and home.existing.size == len(home.columns) + 1 and _linear(plan):
        model = LinearModel(plan.kind, len(home.columns))
        model.load(home.existing)
        return Fitted(as_given(home, plan.kind), model)
    alone = replace(plan, noise=0.0, from_own=False)
    try:
        fitted, _, _ = trained(Alone(home.party), home, alone, make=make)
    except HanseError as error:
        if error.code in (
            "learn.label",
            "learn.local",
            "gate.contributors",
        ):  # one class only, or diverged
            return None
        raise
    return fitted


def take_part(party: Summing, home: Home, plan: Plan, *, make: Maker | None = None) -> Result:
    """A party's whole part: train together, then choose at home."""
    plan.check()
    own = own_model(home, plan, make)
    common, progress, settled = trained(party, home, plan, make=make)
    chosen = choose(home, own or common, common)
    if own is None:
        chosen = replace(chosen, what=COMMON, share=1.0)
    tally = tallied(party, chosen)
    standing = stood(party, home, own, common)
    record = party.record.openings if isinstance(party, SummingParty) else ()
    return Result(chosen, progress, settled, tally, standing, party.privacy(), record)


def run_party(
    channel: PatientChannel, plan: Plan, home: Home, entropy: Entropy,
    commit: Callable[[Opening], None], progress: Callable[[str, float], None] = lambda *_: None,
    *, make: Maker | None = None, patience: float = 3600.0,
) -> Result:  # fmt: skip
    """A party at a node. ``commit`` is called with what may open, before each part leaves."""
    number = plan.parties.index(home.party)
    progress("training together", 0.0)
    party = SummingParty(channel, plan.policy, number, entropy, commit=commit, patience=patience)
    result = take_part(party, home, plan, make=make)
    party.end()
    progress("done", 1.0)
    return result


def run_seat(
    channel: PatientChannel, seat: int, plan: Plan, job: bytes, entropy: Entropy,
    commit: Callable[[Record], None], progress: Callable[[str, float], None] = lambda *_: None,
    *, clock: Clock | None = None, patience: Patience | None = None,
) -> tuple[Record, Meter]:  # fmt: skip
    """A seat at a node. ``job`` names this attempt; ``commit`` is called before each sum opens."""
    plan.check()
    s = agree(channel, seat, entropy, job, progress=progress)
    record = Record()
    served = SummingSeat(
        s, channel, plan.policy, record, entropy, clock or SystemClock(), patience=patience,
        commit=commit, progress=progress,
    )  # fmt: skip
    served.serve()
    progress("done", 1.0)
    return record, s.meter
