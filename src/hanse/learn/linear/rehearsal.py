"""A rehearsal of vertical learning: all seats and parties in one process, on files at hand, beside the plain model.

Everything runs as it would between organisations, on shares and through the gate; then the same model is fitted
with all columns in one place, and with the label party's alone, to compare. Between organisations a model about
people would need a contract in which these people's authorisation is stated.
"""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.align import JoinPolicy
from hanse.engine import warm
from hanse.engine.functions import ring_numbers
from hanse.engine.matrices import combined, cross, mean_gram, weighted
from hanse.engine.session import Session
from hanse.engine.shares import SEATS
from hanse.engine.stage import SEAT_NAMES, agree, all_at_once, on_stage
from hanse.entropy import SeededEntropy
from hanse.errors import Fault, Refusal
from hanse.gate.record import Record
from hanse.learn.linear import metrics
from hanse.learn.linear.certainty import Certainty, certainty_of
from hanse.learn.linear.families import Family, Label, family_of, label_of
from hanse.learn.linear.glm import Seen, run_seat
from hanse.learn.linear.outcome import Outcome
from hanse.learn.linear.party import Party, Told, at_home, run_party
from hanse.learn.linear.plain import Fit, irls
from hanse.learn.linear.plain import metrics as plain_metrics
from hanse.learn.linear.plan import ALIGNMENTS, Plan, Provider
from hanse.learn.linear.sparse import MOST_L1
from hanse.learn.linear.tables import Table
from hanse.wire import Channel, Frame, Hall

__all__ = ["JOIN", "NEEDS", "Outcome", "rehearse"]

NEEDS = (
    "between organisations this model would need a contract that names the computation, who receives which "
    "coefficients, and, where rows are people, their authorisation and where the evidence of it is kept"
)
JOIN = JoinPolicy(0.1, 1e-8)
FAR = 1e-3  # a difference of a coefficient that wants a word
Matrix = NDArray[np.float64]


def rehearse(
    tables: list[Table], model: str, *, l2: float = 1e-6, holdout: float = 0.3,
    least_rows: int | None = None, seed: str = "rehearsal", iterations: int = 20,
    policy: JoinPolicy = JOIN, l1: float = 0.0, power: float = 1.5, alignment: str = "hidden",
    errors: bool = False, batch_rows: int | None = None,
) -> Outcome:  # fmt: skip
    """Train over the tables' columns; the first one has the label. ``holdout`` is the share of ids kept to test.

    ``power`` is a Tweedie model's; ``errors`` asks for standard errors; ``batch_rows`` are in memory at a time, the
    others in a file. `Refusal` where the data cannot serve or
    too few rows match.
    """
    _check(tables, l2, l1, holdout, alignment)
    raw_label = tables[0].label
    if raw_label is None:
        raise Fault("learn.label", "the first table has no label")
    family = family_of(model, power, _classes(raw_label))
    _warm_up()
    started = time.perf_counter(), time.process_time()
    ridge = l2 / family.start_weight
    with ThreadPoolExecutor() as homes:  # each at its own, so at the same time
        parties = list(
            homes.map(lambda table: at_home(table, holdout, ridge, whiten=not l1), tables)
        )
    first = parties[0]
    label = label_of(raw_label, ~first.test, family, first.table.name,
                     first.table.weight, first.table.offset)  # fmt: skip
    plan = Plan(
        family,
        tuple(
            Provider(p.table.name, p.basis.width, int((~p.test).sum()), int(p.test.sum()))
            for p in parties
        ),
        l2, policy, iterations, least_rows, l1, alignment, label.weight is not None,
        label.offset is not None, errors, batch_rows=batch_rows,
    )  # fmt: skip
    plan.check()
    seen, record, told, sent = _on_stage(plan, parties, label, seed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    wall, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
    before = time.perf_counter()
    joint, plain, alone = _compared(parties, plan, label)
    spent = time.perf_counter() - before
    last = max(t.at for t in told)
    trained = last[0] - started[0], last[1] - started[1]
    return _outcome(plan, parties, label, seen, record, told,
                    (joint, plain, alone), (wall, cpu, spent, *trained, peak), sent)  # fmt: skip


def _classes(label: NDArray[np.float64]) -> int:
    return int(np.unique(label[np.isfinite(label)]).size)


def _warm_up() -> None:
    """Compiled code is loaded before the clock starts."""
    warm.warm_up()
    on_stage(_matrices, seed="warm-up")


def _matrices(s: Session) -> None:
    x = s.random_ring(2, 64)
    weights = s.random_ring(64)
    mean_gram(s, x, weighted(s, x, weights), 40, 20)
    combined(s, x, s.random_ring(2))
    cross(s, x, x)
    ring_numbers(s, s.random_bits(8, 1, rows=64))


def _check(tables: list[Table], l2: float, l1: float, holdout: float, alignment: str) -> None:
    names = [t.name for t in tables]
    if len(set(names)) != len(names):
        raise Refusal(
            "learn.parties", "two parties have the same name", remedy="rename one of the files"
        )
    if not 0 <= l2 <= 10:
        raise Refusal("learn.l2", f"a penalty of {l2} is out of range", remedy="choose 0 to 10")
    if not 0 <= l1 <= MOST_L1:
        raise Refusal("learn.l1", f"a penalty of {l1} is out of range", remedy="choose 0 to 10")
    if alignment not in ALIGNMENTS:
        raise Refusal("learn.alignment", f"there is no alignment {alignment!r}",
                      remedy=f"choose {' or '.join(ALIGNMENTS)}")  # fmt: skip
    if not 0 <= holdout <= 0.9:
        raise Refusal(
            "learn.holdout",
            f"a share of {holdout} for the test is out of range",
            remedy="choose 0 to 0.9",
        )


# --- the stage --------------------------------------------------------------------------------------


def _on_stage(
    plan: Plan, parties: list[Party], label: Label, seed: str
) -> tuple[Seen, Record, list[Told], tuple[int, int]]:
    """Three seats and all parties at once; (seen, seat 0's record, what parties were told, bytes on the wire)."""
    sent = [0, 0]  # of all, and of metrics
    lock = threading.Lock()

    def weighed(frame: Frame) -> Frame:
        size = frame.body.nbytes if isinstance(frame.body, np.ndarray) else len(frame.body)
        with lock:
            sent[0] += size
            if frame.step.startswith(("test/", "holdout", "metrics")):
                sent[1] += size
        return frame

    roles: list[Callable[[Channel], Any]] = [_seat(plan, seat, seed) for seat in range(SEATS)]
    roles += [_provider(plan, n, party, label, seed) for n, party in enumerate(parties)]
    names = (*SEAT_NAMES, *(p.name for p in plan.providers))
    hall = Hall(len(roles), names=names, tap=weighed, patience=600.0)
    results = all_at_once(hall, roles, "learn.stage")
    seen, record = results[0]
    return seen, record, results[SEATS:], (sent[0], sent[1])


def _seat(plan: Plan, seat: int, seed: str) -> Callable[[Channel], tuple[Seen, Record]]:
    def play(channel: Channel) -> tuple[Seen, Record]:
        s = agree(channel, seat, SeededEntropy(f"{seed}|seat {seat}"), seed.encode())
        record = Record()
        return run_seat(s, record, plan), record

    return play


def _provider(
    plan: Plan, number: int, party: Party, label: Label, seed: str
) -> Callable[[Channel], Told]:
    own = label if number == 0 else None
    return lambda channel: run_party(
        channel, plan, number, party, own, SeededEntropy(f"{seed}|party {number}")
    )


# --- the comparison ---------------------------------------------------------------------------------


def _compared(
    parties: list[Party], plan: Plan, label: Label
) -> tuple[Fit, dict[str, float], dict[str, float]]:
    """(plain fit, its metrics, the label party's alone), of the rows that match."""
    first, f = parties[0], plan.family
    shared = first.table.ids
    for party in parties[1:]:
        shared = np.intersect1d(shared, party.table.ids)
    standard, test, own = [], np.zeros(0, bool), label
    for number, party in enumerate(parties):
        order = np.argsort(party.table.ids)
        rows = order[np.searchsorted(party.table.ids[order], shared)]
        basis = party.basis
        standard.append((party.table.columns.values[rows][:, basis.kept] - basis.mean) / basis.sd)
        if number == 0:
            test, own = party.test[rows], label.part(rows)
    joint = np.concatenate(standard, axis=1)
    judged = test if plan.holdout else ~test
    learning, judging = own.part(~test), own.part(judged)
    fit = _fit(joint[~test], learning, plan)
    everybody = label.part(~first.test)
    basis = first.basis
    columns = (first.table.columns.values[~first.test][:, basis.kept] - basis.mean) / basis.sd
    lonely = _fit(columns, everybody, plan)
    plain, alone = (
        plain_metrics(_predictor(model, x[judged], judging, f), judging.values, f, label.scale, judging.weight)
        for model, x in ((fit, joint), (lonely, standard[0]))
    )  # fmt: skip
    return fit, plain, alone


def _fit(standard: Matrix, label: Label, plan: Plan) -> Fit:
    f = plan.family
    return irls(
        standard,
        label.values,
        f,
        plan.l2,
        plan.l1,
        label.weight,
        _offset(label, f),
        label.dispersion(f),
    )


def _predictor(fit: Fit, standard: Matrix, label: Label, family: Family) -> Matrix:
    eta, offset = fit.predictor(standard), _offset(label, family)
    return eta if offset is None else eta + offset


def _offset(label: Label, family: Family) -> Matrix | None:
    return None if family.name == "linear" else label.offset


def _outcome(
    plan: Plan, parties: list[Party], label: Label, seen: Seen, record: Record,
    told: list[Told], compared: tuple[Fit, dict[str, float], dict[str, float]],
    spent: tuple[float, float, float, float, float, float], sent: tuple[int, int],
) -> Outcome:  # fmt: skip
    (fit, plain, alone), f = compared, plan.family
    standard: dict[str, dict[str, float]] = {}
    raw: dict[str, dict[str, float]] = {}
    intercepts: dict[str, float] = {}
    # A linear model was fitted to (label - shift) / scale; one of a log link to label / scale.
    stretch = label.scale if f.name == "linear" else 1.0
    lift = label.shift if f.name == "linear" else (np.log(label.scale) if f.log_link else 0.0)
    lift -= label.offset_shift
    flat = []
    for number, (party, said) in enumerate(zip(parties, told, strict=True)):
        name, basis = party.table.name, party.basis
        standard[name], raw[name], mine = {}, {}, []
        for c, block in enumerate(said.block):
            own, offset = basis.raw(block[1:] if number == 0 else block)
            mine.append(own[basis.kept] * basis.sd)
            mark = f" [{label.classes[c]:g}]" if label.classes else ""
            standard[name] |= {f"{basis.names[k]}{mark}": float(v * stretch)
                               for k, v in zip(basis.kept, mine[-1], strict=True)}  # fmt: skip
            raw[name] |= {
                f"{n}{mark}": float(v * stretch) for n, v in zip(basis.names, own, strict=True)
            }
            first = float(block[0]) * stretch + lift if number == 0 else 0.0
            intercepts[f"{name}{mark}"] = offset * stretch + first
        flat.append(np.stack(mine))
    gaps = np.abs(np.concatenate([*flat, told[0].block[:, :1]], axis=1) - np.column_stack(
        [np.atleast_2d(fit.coefficients), np.atleast_1d(fit.intercept)]))  # fmt: skip
    gap = float(gaps.max(initial=0.0))
    certainty, off = _certainties(parties, told, flat, fit, stretch) if plan.errors else ({}, 0.0)
    return Outcome(
        f.name, tuple(p.name for p in plan.providers), seen.matched, seen.iterations,
        seen.settled, standard, raw, intercepts, metrics.read(told[0].sums, plan, label.scale),
        plain, alone, gap, fit.settled, spent[0], spent[1], spent[2],
        sent[0], tuple(record.body()), tuple(_notes(plan, parties, seen, fit, gap)), certainty, off,
        curve=metrics.curve_of(told[0].sums, plan, label.scale, label.shift),
        trained_s=spent[3], trained_cpu_s=spent[4], trained_bytes=sent[0] - sent[1], peak_mib=spent[5],
    )  # fmt: skip


def _certainties(
    parties: list[Party], told: list[Told], flat: list[Matrix], fit: Fit, stretch: float
) -> tuple[dict[str, dict[str, Certainty]], float]:  # fmt: skip
    """(by party and column, the centred intercept's at the label party; the largest relative difference)."""
    found, errors = {}, []
    for number, (party, said, own) in enumerate(zip(parties, told, flat, strict=True)):
        names = [party.basis.names[k] for k in party.basis.kept]
        values = own[0]
        if number == 0:
            names, values = ["(intercept)", *names], np.concatenate([said.block[0, :1], values])
        if said.variances is None:
            raise Fault("learn.errors", "no variances were told")
        each = certainty_of(values, said.variances)
        errors += [e.error for e in each]
        found[party.table.name] = {
            n: Certainty(e.error * stretch, e.p_value) for n, e in zip(names, each, strict=True)
        }
    gap = 0.0
    if fit.errors is not None:
        gap = float(np.abs(np.array(errors) / np.maximum(1e-300, fit.errors) - 1).max())
    return found, gap


def _notes(plan: Plan, parties: list[Party], seen: Seen, fit: Fit, gap: float) -> list[str]:
    notes = [f"a rehearsal: all parties in one process; {NEEDS}"]
    if plan.least_rows is not None:
        notes.append(
            f"the limit of matched rows was lowered to {plan.least_rows}; a model about people needs "
            f"{max(1000, 20 * plan.width)}"
        )
    notes += [
        f"{p.table.name}: the column {name!r} does not vary and has no coefficient"
        for p in parties
        for name in p.basis.constant
    ]
    if not seen.settled:
        notes.append(
            f"not settled after {seen.iterations} iterations: columns may tell the label apart perfectly "
            "(separation), or carry the same information; a larger --l2 gives a sound model"
        )
    if not plan.holdout:
        notes.append("no rows were kept for the test: the metrics are of the rows learned from")
    if not fit.settled:
        notes.append(f"the plain model did not settle{'' if seen.settled else ' either'}")
    elif seen.settled and gap > FAR:
        notes.append(
            f"a coefficient is {gap:.2g} from the plain model's: a rare value tells the label alone, or columns of "
            "different parties say the same, so that coefficients may move and predictions do not; a larger --l2 "
            "decides which"
        )
    return notes
