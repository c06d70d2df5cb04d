"""What a model shows, and to whom: the gate's record, the frames on the wire, a seat's view."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from worlds import frames, tables

from hanse.align import JoinPolicy
from hanse.engine.fixed import decode
from hanse.engine.stage import all_at_once
from hanse.errors import Foul, Refusal
from hanse.learn.linear import rehearsal
from hanse.learn.linear.families import family_of, label_of
from hanse.learn.linear.glm import REFRESH, Seen
from hanse.learn.linear.metrics import figures_of
from hanse.learn.linear.party import Party, Told, at_home
from hanse.learn.linear.plan import BETA, Plan, Provider
from hanse.wire import Frame, Hall
from secret_stage import flipped, payload, uniform_p_value

ALPHA = 1e-6


class Watched:
    """A tap that keeps every frame."""

    def __init__(self, change: Callable[[Frame], Frame] = lambda f: f) -> None:
        self.frames: list[Frame] = []
        self._lock = threading.Lock()
        self._change = change

    def __call__(self, frame: Frame) -> Frame:
        with self._lock:
            self.frames.append(frame)
        return self._change(frame)


def stage(
    model: str = "logistic", parties: int = 2, tap: Any = None, rows: int = 700, **options: Any
) -> tuple[list[Any], Plan, list[Party]]:
    """Run seats and parties through `tap`; their results by role. ``options`` are the plan's."""
    made = tables(frames(model, rows, parties))
    family = family_of(model)
    whiten = not options.get("l1")
    homes = [at_home(table, 0.3, 0.0, whiten=whiten) for table in made]
    label = label_of(made[0].label, ~homes[0].test, family, "p0")
    providers = tuple(
        Provider(p.table.name, p.basis.width, int((~p.test).sum()), int(p.test.sum())) for p in homes
    )  # fmt: skip
    plan = Plan(family, providers, 1e-6, JoinPolicy(1.0, 1e-6), least_rows=200, **options)
    roles = [rehearsal._seat(plan, seat, "s") for seat in range(3)]
    roles += [rehearsal._provider(plan, n, party, label, "s") for n, party in enumerate(homes)]
    names = ("seat 0", "seat 1", "seat 2", *(p.name for p in providers))
    hall = Hall(len(roles), names=names, tap=tap, patience=60.0)
    return all_at_once(hall, roles), plan, homes


@pytest.mark.parametrize("parties", [2, 3])
def test_the_record_names_every_opening(parties: int) -> None:
    results, plan, _ = stage(parties=parties)
    seen: Seen
    seen, record = results[0]
    told = [(o.step, o.to, o.values) for o in record.openings]
    joins = [
        step
        for part in ("training", "holdout")
        for step in [*(f"{part}.check.{p.name}" for p in plan.providers), f"{part}.tags"]
    ]
    bits = [f"settled{n}" for n in range(3, seen.iterations + 1)]
    blocks = [f"model.{p.name}" for p in plan.providers]
    assert sorted(step for step, _, _ in told) == sorted([*joins, *bits, *blocks, "metrics"])
    values = {step: (to, count) for step, to, count in told}
    assert all(values[bit] == (("seats",), 1) for bit in bits)
    for number, provider in enumerate(plan.providers):
        count = provider.columns + (number == 0)
        assert values[f"model.{provider.name}"] == ((provider.name,), count)
    assert values["metrics"] == (("p0",), figures_of(plan))
    digests = {result[1].digest() for result in results[:3]}
    assert len(digests) == 1, "all seats wrote the same"


def test_variances_go_to_each_party_its_own() -> None:
    tap = Watched()
    results, plan, _ = stage(tap=tap, errors=True)
    told = {o.step: (o.to, o.values) for o in results[0][1].openings if o.step.startswith("errors")}
    assert told == {
        f"errors.{p.name}": ((p.name,), 1 + p.columns + (n == 0)) for n, p in enumerate(plan.providers)
    }  # fmt: skip
    targets = {(f.step.split(".")[1], f.target) for f in tap.frames if f.step.startswith("errors.")}
    assert targets == {("p0", 3), ("p1", 4)}


def test_open_rows_are_in_the_record_and_never_in_a_frame_to_a_seat() -> None:
    """Seats get counts and a hash of the keys; keys go from party to party."""
    tap = Watched()
    results, _, homes = stage(tap=tap, alignment="open")
    seen, record = results[0]
    steps = {o.step: o for o in record.openings}
    common = np.intersect1d(*(h.table.ids[~h.test] for h in homes))
    assert seen.matched == common.size
    assert steps["training.keys"].to == ("p0", "p1")
    assert steps["training.keys"].values == common.size
    assert not [step for step in steps if "tags" in step or "check" in step]
    to_seats = [f for f in tap.frames if f.target < 3 and f.step.startswith("keys")]
    assert {payload(f).size for f in to_seats} <= {40, 32}
    assert {f.step for f in tap.frames if f.source >= 3 and f.target >= 3} == {
        f"keys.{part}{what}" for part in ("training", "holdout") for what in ("", ".count")
    }


def test_a_party_that_claims_other_rows_is_named() -> None:
    def change(frame: Frame) -> Frame:
        return (
            flipped(frame, 3)
            if frame.step == "keys.training.found" and frame.source == 4
            else frame
        )

    with pytest.raises(Foul) as caught:
        stage(tap=Watched(change), alignment="open")
    assert caught.value.code == "learn.keys"
    assert caught.value.where == "provider p1"


def test_a_sparse_model_opens_what_any_other_does() -> None:
    results, plan, _ = stage(l1=0.02)
    told = {
        o.step
        for o in results[0][1].openings
        if not o.step.startswith(("training", "holdout", "settled"))
    }
    assert told == {"metrics", *(f"model.{p.name}" for p in plan.providers)}


def test_each_party_reads_its_own_coefficients_and_nothing_else() -> None:
    tap = Watched()
    _, plan, _ = stage(parties=3, tap=tap)
    for number, provider in enumerate(plan.providers):
        step = f"model.{provider.name}"
        targets = {f.target for f in tap.frames if f.step.startswith(step)}
        assert targets == {3 + number}
    after_uploads = {f.step.split(".")[0] for f in tap.frames if f.target >= 3}
    assert after_uploads == {"model", "metrics"}, "parties are sent nothing else"
    assert {f.target for f in tap.frames if f.step.startswith("metrics")} == {3}


def test_seats_open_a_bit_an_iteration_and_no_sum() -> None:
    """No opening of the size of a gradient, a curvature or a coefficient leaves for all seats."""
    tap = Watched()
    results, _, _ = stage(tap=tap)
    opened = {f.step for f in tap.frames if f.target < 3 and f.step.endswith("/open")}
    iterations = results[0][0].iterations
    in_learning = {s for s in opened if s.startswith("fit/")}
    assert in_learning == {f"fit/iteration{n}/settled{n}/open" for n in range(3, iterations + 1)}
    assert all(payload(f).size == 8 for f in tap.frames if f.step in in_learning)


@pytest.mark.parametrize(
    ("model", "seat", "options"),
    [
        *(("logistic", seat, {}) for seat in range(3)),
        ("gamma", 0, {}),
        ("tweedie", 1, {}),
        ("multinomial", 2, {}),
        ("logistic", 1, {"l1": 0.02}),
        ("poisson", 0, {"alignment": "open"}),
        ("multinomial", 1, {"batch_rows": 1024}),
    ],
)
def test_what_a_seat_is_sent_while_learning_is_uniform(
    model: str, seat: int, options: dict[str, Any]
) -> None:
    """Chi-square over all bytes a seat receives in the first three iterations but the opened bits and hashes."""
    tap = Watched()
    stage(model, tap=tap, rows=500, **options)
    steps = tuple(f"fit/iteration{n}/" for n in range(1, 1 + REFRESH[2]))
    mine = [f for f in tap.frames if f.target == seat and f.step.startswith(steps)]
    whole = [
        payload(f)
        for f in mine
        if "settled" not in f.step and "sign" not in f.step and f.body.size > 64
    ]
    assert uniform_p_value(np.concatenate(whole)) > ALPHA


def test_a_seat_that_changes_a_coefficient_is_caught() -> None:
    def change(frame: Frame) -> Frame:
        return flipped(frame, 2) if frame.step == "model.p1" and frame.source == 1 else frame

    with pytest.raises(Foul) as caught:
        stage(tap=Watched(change))
    assert caught.value.code == "engine.opening"


def test_a_party_that_sends_different_penalties_is_named() -> None:
    def change(frame: Frame) -> Frame:
        altered = frame.step == "elements.p1.penalty.2" and frame.target == 2
        return flipped(frame) if altered else frame

    with pytest.raises(Foul) as caught:
        stage(tap=Watched(change))
    assert caught.value.where == "provider p1"


def test_too_few_rows_open_no_coefficient() -> None:
    tap = Watched()
    with pytest.raises(Refusal):
        stage(tap=tap, rows=200)
    assert not [f for f in tap.frames if f.step.startswith(("model", "metrics", "fit"))]


def test_blocks_are_in_each_partys_own_basis() -> None:
    """What p1 reads means nothing without its own basis: not the standardised coefficients."""
    results, _, homes = stage()
    told: Told = results[4]
    block = told.block[0]
    assert block.size == homes[1].basis.width
    assert told.sums.size == 0
    assert told.variances is None
    own, _ = homes[1].basis.raw(block)
    assert np.abs(own * homes[1].basis.sd - block).max() > 0.01
    assert decode(np.zeros(1, np.uint64), BETA) == 0
