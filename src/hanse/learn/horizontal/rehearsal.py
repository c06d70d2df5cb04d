"""A rehearsal of horizontal learning: all parties and seats in one process, beside the model of pooled rows.

Everything runs as it would between organisations. Then the same is trained with all rows in one place, and by each
party alone, to compare on all parties' held-out rows together; an ensemble averages the parties' own models.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Refusal
from hanse.gate.record import Record
from hanse.learn.evaluation.plain import BEST_LOW, MAIN, judged
from hanse.learn.evaluation.rivals import Rivals, judged_means
from hanse.learn.horizontal.home import Home
from hanse.learn.horizontal.kinds import F64, Kind
from hanse.learn.horizontal.own import Fitted
from hanse.learn.horizontal.roles import Maker, Plan, Result, own_model, take_part, trained
from hanse.learn.horizontal.seats import Patience
from hanse.learn.horizontal.stage import Dropout, Played, together
from hanse.learn.horizontal.standing import Standing
from hanse.learn.horizontal.sums import Alone, Summed, SummingParty
from hanse.learn.linear.tables import Table, read

NEEDS = (
    "between organisations this model would need a contract that names it and, where rows are people, their "
    "authorisation: sums are exact unless noise is added"
)


@dataclass(frozen=True)
class Outcome:
    """What came out. Metrics are on all parties' held-out rows together, but ``each`` is on a party's own."""

    model: str
    method: str
    parties: tuple[str, ...]
    rows: int
    rounds: int
    settled: bool
    contributors: list[tuple[str, ...]]  # of each sum of updates
    metrics: dict[str, float]
    plaintext: dict[str, float]
    alone: dict[str, float]  # the first party's own model
    ensemble: dict[str, float]  # the average of all own models
    rivals: Rivals  # each party's own model on all held-out rows, with the standard errors of the lead over it
    standing: Standing | None  # of the common model, by the sums that parties are told
    each: dict[str, dict[str, Any]]
    tally: dict[str, int]
    privacy: tuple[float, float]
    wall_s: float
    plaintext_s: float
    bytes: int
    bytes_by_role: dict[str, int]
    openings: list[dict[str, Any]]
    results: tuple[Result | None, ...]
    notes: tuple[str, ...]

    def body(self) -> dict[str, Any]:
        """Plain values for JSON: metrics also as ``auc``, ``plaintext_auc``, ``alone_auc``, ``ensemble_auc``."""
        found: dict[str, Any] = {
            "model": self.model, "method": self.method, "parties": list(self.parties), "rows": self.rows,
            "rounds": self.rounds, "converged": self.settled, "wall_s": round(self.wall_s, 4),
            "plaintext_s": round(self.plaintext_s, 4), "bytes": self.bytes, "bytes_by_role": self.bytes_by_role,
        }  # fmt: skip
        for prefix, metrics in (
            ("", self.metrics), ("plaintext_", self.plaintext), ("alone_", self.alone),
            ("ensemble_", self.ensemble),
        ):  # fmt: skip
            found |= {prefix + name: _finite(value) for name, value in metrics.items()}
        found |= {
            "each": self.each, "standing": None if self.standing is None else self.standing.body(),
            "choices": self.tally, "epsilon": self.privacy[0], "delta": self.privacy[1],
            "contributors": [list(c) for c in self.contributors], "opened": self.openings,
            "notes": list(self.notes),
        }  # fmt: skip
        return found


def _finite(value: float) -> float | None:
    return round(value, 6) if np.isfinite(value) else None


def rehearse(
    homes: Sequence[Home], plan: Plan, *, make: Maker | None = None, seed: str = "rehearsal",
    missing: Mapping[str, int] | None = None, patience: Patience | None = None,
) -> Outcome:  # fmt: skip
    """Train over the homes' rows and compare. ``missing``: parties that vanish, and after how many sums."""
    plan.check()
    _check(homes, plan)
    started = time.perf_counter()
    played = _played(homes, plan, make, seed, missing or {}, patience)
    wall = time.perf_counter() - started
    there = [r for r in played.results if r is not None]
    if not there:
        raise Refusal(
            "learn.parties", "no party was left at the end", remedy="let fewer parties vanish"
        )
    started = time.perf_counter()
    pooled, _, _ = trained(
        Alone("all"), _pooled(homes), replace(plan, noise=0.0, from_own=False), make=make
    )
    spent = time.perf_counter() - started
    return _outcome(homes, plan, make, played, there[0], pooled, (wall, spent))


def rehearse_files(
    paths: Sequence[Path], label: str, *, model: str = "logistic", method: str = "newton", learner: str = "glm",
    id_column: str = "id", holdout: float = 0.3, seed: str = "rehearsal", **settings: Any,
) -> Outcome:  # fmt: skip
    """The same for files of the same columns, one a party; ``settings`` are those of `Plan`.

    `Refusal` where columns differ between the files, or fewer than three files are given.
    """
    stems = [path.stem for path in paths]
    names = [stem if stems.count(stem) == 1 else f"{stem}-{i}" for i, stem in enumerate(stems, 1)]
    tables = [read(path, id_column, label, name) for path, name in zip(paths, names, strict=True)]
    homes = homes_of(tables, holdout)
    plan = Plan(tuple(names), model=model, method=method, learner=learner, **settings)  # type: ignore[arg-type]
    if model == "multinomial" and "classes" not in settings:
        plan = replace(plan, classes=int(max(float(h.y.max()) for h in homes)) + 1)
    return rehearse(homes, plan, seed=seed)


def homes_of(tables: Sequence[Table], holdout: float) -> list[Home]:
    """Parties' rows from tables; columns are put in one order. ``holdout`` is the share of ids kept to judge by."""
    if not 0 <= holdout <= 0.9:
        raise Refusal("learn.holdout", f"a share of {holdout} for the test is out of range",
                      remedy="choose 0 to 0.9")  # fmt: skip
    columns = tables[0].columns.names if tables else ()
    homes = []
    for table in tables:
        differing = sorted(set(columns) ^ set(table.columns.names))
        if differing:
            raise Refusal("learn.columns", f"not at all parties: {', '.join(differing[:5])}",
                          where=table.name, remedy="give all parties the same columns")  # fmt: skip
        if table.label is None:
            raise Refusal("learn.label", "a party has no label", where=table.name,
                          remedy="horizontal learning needs labels at all parties")  # fmt: skip
        order = [table.columns.names.index(name) for name in columns]
        homes.append(
            Home(
                table.name,
                columns,
                table.columns.values[:, order],
                table.label,
                table.lots < holdout,
            )
        )
    return homes


def _check(homes: Sequence[Home], plan: Plan) -> None:
    if tuple(home.party for home in homes) != plan.parties:
        raise Refusal("learn.parties", "the plan names other parties than have rows",
                      remedy="name them in the same order")  # fmt: skip
    for home in homes:
        home.check(plan.kind)
        if home.columns != homes[0].columns:
            raise Refusal("learn.columns", "the parties' columns differ", where=home.party,
                          remedy="give all parties the same columns in the same order")  # fmt: skip


class _Vanishing:
    """A party that drops out after so many sums."""

    def __init__(self, party: SummingParty, left: int) -> None:
        self.name, self.policy = party.name, party.policy
        self._party = party
        self._left = left

    def sum(
        self, name: str, vector: NDArray[Any], *, norm: float, width: int = 64, clip: bool = False
    ) -> Summed:
        self._go_on()
        return self._party.sum(name, vector, norm=norm, width=width, clip=clip)

    def skip(self, name: str, length: int, *, norm: float, width: int = 64) -> Summed:
        self._go_on()
        return self._party.skip(name, length, norm=norm, width=width)

    def privacy(self) -> tuple[float, float]:
        return self._party.privacy()

    def _go_on(self) -> None:
        if self._left == 0:
            raise Dropout
        self._left -= 1


def _played(
    homes: Sequence[Home], plan: Plan, make: Maker | None, seed: str, missing: Mapping[str, int],
    patience: Patience | None,
) -> Played[Result]:  # fmt: skip
    def work(home: Home) -> Callable[[SummingParty], Result]:
        def play(party: SummingParty) -> Result:
            after = missing.get(home.party)
            end = party if after is None else _Vanishing(party, after)
            return take_part(end, home, plan, make=make)

        return play

    return together([work(home) for home in homes], plan.policy, seed=seed, patience=patience)


def _pooled(homes: Sequence[Home]) -> Home:
    parts = [np.concatenate([getattr(home, name) for home in homes]) for name in ("x", "y", "held")]
    return Home("all", homes[0].columns, parts[0], parts[1], parts[2])


def _outcome(
    homes: Sequence[Home], plan: Plan, make: Maker | None, played: Played[Result], first: Result,
    pooled: Fitted, spent: tuple[float, float],
) -> Outcome:  # fmt: skip
    every = _pooled(homes)
    test = every.held if every.held.any() else ~every.held
    x, y, kind = every.x[test], every.y[test], plan.kind
    own = {home.party: own_model(home, plan, make) for home in homes}
    means = {party: model.predict(x) for party, model in own.items() if model is not None}
    nothing = {name: float("nan") for name in (MAIN[kind.name],)}
    mean = first.chosen.common.predict(x)
    central = judge(kind, pooled.predict(x), y)
    rivals = judged_means(
        {"joint": mean}, means, y, lambda m, t: judge(kind, m, t), MAIN[kind.name], central
    )
    figures = {
        "metrics": judge(kind, mean, y),
        "plaintext": central,
        "alone": rivals.alone.get(homes[0].party, nothing),
        "ensemble": rivals.ensemble or nothing,
    }
    each = {
        home.party: _each(home, kind, result)
        for home, result in zip(homes, played.results, strict=True)
        if result is not None
    }
    roles = ("seat 0", "seat 1", "seat 2", *plan.parties)
    return Outcome(
        plan.model, plan.method, plan.parties, int((~every.held).sum()), first.progress.kept, first.settled,
        first.progress.contributors, **figures, rivals=rivals, standing=first.standing,
        each=each, tally=first.tally, privacy=first.privacy,
        wall_s=spent[0], plaintext_s=spent[1], bytes=played.bytes,
        bytes_by_role=dict(zip(roles, played.by_role, strict=True)), openings=_told(played.record),
        results=tuple(played.results), notes=tuple(_notes(homes, plan, first, played, figures)),
    )  # fmt: skip


def judge(kind: Kind, mean: F64, y: F64) -> dict[str, float]:
    """Metrics of expected labels."""
    return judged(kind.name, mean, y, power=kind.power or 1.5, classes=kind.classes)


def _each(home: Home, kind: Kind, result: Result) -> dict[str, Any]:
    """A party's figures on its own held-out rows: told to that party only."""
    test = home.held if home.held.any() else ~home.held
    x, y, chosen = home.x[test], home.y[test], result.chosen
    main = MAIN[kind.name]
    kinds = {
        "own": chosen.own.predict(x),
        "common": chosen.common.predict(x),
        "chosen": chosen.predict(x),
    }
    out: dict[str, Any] = {
        name: _finite(judge(kind, mean, y)[main]) for name, mean in kinds.items()
    }
    return out | {"metric": main, "keeps": chosen.what, "share_of_common": chosen.share,
                  "own_loss": chosen.own_loss, "chosen_loss": chosen.loss}  # fmt: skip


def _told(record: Record) -> list[dict[str, Any]]:
    return record.public().body()


def _notes(
    homes: Sequence[Home],
    plan: Plan,
    first: Result,
    played: Played[Result],
    figures: dict[str, dict[str, float]],
) -> list[str]:
    notes = [f"a rehearsal: all parties in one process; {NEEDS}"]
    gone = [
        home.party for home, result in zip(homes, played.results, strict=True) if result is None
    ]
    if gone:
        notes.append(f"{', '.join(gone)} dropped out; the others went on")
    main = MAIN[plan.kind.name]
    joint, rivals = (
        figures["metrics"][main],
        {name: figures[name][main] for name in ("alone", "ensemble")},
    )
    sign = -1 if main in BEST_LOW else 1
    for name, value in rivals.items():
        if np.isfinite(value) and sign * (joint - value) <= 0:
            told = (
                f"{plan.parties[0]} alone"
                if name == "alone"
                else "an average of the parties' own models"
            )
            notes.append(f"the common model does not beat {told} on all held-out rows ({main})")
    if first.progress.clipped:
        notes.append(
            f"{plan.parties[0]}: {first.progress.clipped} of its updates were clipped to the norm bound"
        )
    if plan.noise:
        epsilon, delta = first.privacy
        notes.append(
            f"noise: each party's part in everything opened is ({epsilon:.3g}, {delta:g})-private"
        )
    return notes
