"""A rehearsal of vertical learning: all seats and parties in one process, on files at hand, beside the plain model.

Everything runs as it would between organisations, on shares and through the gate; then the same model is fitted
with all columns in one place, and with the label party's alone, to compare. Between organisations a model about
people would need a contract in which these people's authorisation is stated.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.align import JoinPolicy
from hanse.align.upload import send_rows
from hanse.engine import warm
from hanse.engine.fixed import decode, encode
from hanse.engine.functions import ring_numbers
from hanse.engine.matrices import combined, cross, mean_gram, weighted
from hanse.engine.session import Session
from hanse.engine.shares import SEATS
from hanse.engine.stage import agree, on_stage
from hanse.entropy import Entropy, SeededEntropy
from hanse.errors import Fault, HanseError, Refusal
from hanse.gate.model import read_numbers
from hanse.gate.record import Record
from hanse.learn.linear import metrics
from hanse.learn.linear.families import Label, family_of, label_of
from hanse.learn.linear.glm import PENALTY, Seen, run_seat
from hanse.learn.linear.home import Basis, basis_of
from hanse.learn.linear.plain import Fit, irls
from hanse.learn.linear.plain import metrics as plain_metrics
from hanse.learn.linear.plan import BETA, Plan, Provider
from hanse.learn.linear.rows import packed, send_matrix
from hanse.learn.linear.tables import Table
from hanse.wire import Channel, Frame, Hall

NEEDS = (
    "between organisations this model would need a contract that names the computation, who receives which "
    "coefficients, and, where rows are people, their authorisation and where the evidence of it is kept"
)
JOIN = JoinPolicy(0.1, 1e-8)
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Party:
    """A party at home: its table, its basis, which rows are for the test."""

    table: Table
    basis: Basis
    test: NDArray[np.bool_]


@dataclass(frozen=True)
class Outcome:
    """What came out, and what it cost. Coefficients are of standardised columns, by party and column."""

    model: str
    parties: tuple[str, ...]
    rows_matched: int  # noised
    iterations: int
    settled: bool
    coefficients: dict[str, dict[str, float]]
    raw: dict[str, dict[str, float]]
    intercepts: dict[str, float]  # each party's part
    metrics: dict[str, float | None]
    plaintext: dict[str, float]
    alone: dict[str, float]
    difference: float  # largest of any standardised coefficient from the plain model's
    plaintext_settled: bool
    wall_s: float
    cpu_s: float
    plaintext_s: float
    bytes: int
    openings: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]

    def body(self) -> dict[str, Any]:
        """Plain values for JSON: metrics also as ``auc``, ``plaintext_auc``, ``alone_auc`` and so on."""
        found: dict[str, Any] = {
            "model": self.model, "parties": list(self.parties), "rows_matched": self.rows_matched,
            "iterations": self.iterations, "converged": self.settled,
            "plaintext_converged": self.plaintext_settled,
            "wall_s": round(self.wall_s, 4), "cpu_s": round(self.cpu_s, 4),
            "plaintext_s": round(self.plaintext_s, 4), "bytes": self.bytes,
        }  # fmt: skip
        found |= self.metrics
        found |= {f"plaintext_{name}": _finite(value) for name, value in self.plaintext.items()}
        found |= {f"alone_{name}": _finite(value) for name, value in self.alone.items()}
        found |= {
            "coefficient_difference_max": self.difference, "coefficients": self.coefficients,
            "raw_coefficients": self.raw, "intercepts": self.intercepts,
            "opened": list(self.openings), "notes": list(self.notes),
        }  # fmt: skip
        return found


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def rehearse(
    tables: list[Table], model: str, *, l2: float = 1e-6, holdout: float = 0.3,
    least_rows: int | None = None, seed: str = "rehearsal", iterations: int = 20,
    policy: JoinPolicy = JOIN,
) -> Outcome:  # fmt: skip
    """Train over the tables' columns; the first one has the label. ``holdout`` is the share of ids kept to test.

    `Refusal` where the data cannot serve or too few rows match.
    """
    family = family_of(model)
    _check(tables, l2, holdout)
    _warm_up()
    started = time.perf_counter(), time.process_time()
    parties = [_at_home(table, holdout, l2 / family.start_weight) for table in tables]
    first = parties[0]
    raw_label = first.table.label
    if raw_label is None:
        raise Fault("learn.label", "the first table has no label")
    label = label_of(raw_label, ~first.test, family, first.table.name)
    plan = Plan(
        family,
        tuple(
            Provider(p.table.name, p.basis.width, int((~p.test).sum()), int(p.test.sum()))
            for p in parties
        ),
        l2, policy, iterations, least_rows,
    )  # fmt: skip
    plan.check()
    seen, record, blocks, sums, sent = _on_stage(plan, parties, label, seed)
    wall, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
    before = time.perf_counter()
    joint, plain, alone = _compared(parties, plan, label)
    spent = time.perf_counter() - before
    return _outcome(plan, parties, label, seen, record, blocks, sums,
                    (joint, plain, alone), (wall, cpu, spent, sent))  # fmt: skip


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


def _check(tables: list[Table], l2: float, holdout: float) -> None:
    names = [t.name for t in tables]
    if len(set(names)) != len(names):
        raise Refusal(
            "learn.parties", "two parties have the same name", remedy="rename one of the files"
        )
    if not 0 <= l2 <= 10:
        raise Refusal("learn.l2", f"a penalty of {l2} is out of range", remedy="choose 0 to 10")
    if not 0 <= holdout <= 0.9:
        raise Refusal(
            "learn.holdout",
            f"a share of {holdout} for the test is out of range",
            remedy="choose 0 to 0.9",
        )


def _at_home(table: Table, holdout: float, ridge: float) -> Party:
    test = table.lots < holdout
    if table.rows == 0 or test.all():
        raise Refusal("learn.rows", "there are no rows to learn from", where=table.name)
    return Party(table, basis_of(table.columns, ~test, table.name, ridge), test)


# --- the stage --------------------------------------------------------------------------------------


def _on_stage(
    plan: Plan, parties: list[Party], label: Label, seed: str
) -> tuple[Seen, Record, list[Matrix], NDArray[np.uint64], int]:
    """Three seats and all parties at once; (seen, seat 0's record, blocks, opened sums, bytes on the wire)."""
    sent = [0]
    lock = threading.Lock()

    def weighed(frame: Frame) -> Frame:
        size = frame.body.nbytes if isinstance(frame.body, np.ndarray) else len(frame.body)
        with lock:
            sent[0] += size
        return frame

    roles: list[Callable[[Channel], Any]] = [_seat(plan, seat, seed) for seat in range(SEATS)]
    roles += [
        _provider(plan, number, party, label, SeededEntropy(f"{seed}|party {number}"))
        for number, party in enumerate(parties)
    ]
    names = ("seat 0", "seat 1", "seat 2", *(p.name for p in plan.providers))
    results = _play(roles, names, weighed)
    seen, record = results[0]
    blocks = [result[0] for result in results[SEATS:]]
    return seen, record, blocks, results[SEATS][1], sent[0]


def _play(roles: list[Callable[[Channel], Any]], names: tuple[str, ...], tap: Any) -> list[Any]:
    hall = Hall(len(roles), names=names, tap=tap, patience=600.0)
    results: list[Any] = [None] * len(roles)
    errors: list[BaseException] = []

    def run(role: int) -> None:
        try:
            results[role] = roles[role](hall.channel(role))
        except BaseException as error:  # the first one is raised below
            errors.append(error)
            hall.fail(error if isinstance(error, HanseError) else Fault("learn.stage", repr(error)))

    threads = [threading.Thread(target=run, args=(role,)) for role in range(len(roles))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def _seat(plan: Plan, seat: int, seed: str) -> Callable[[Channel], tuple[Seen, Record]]:
    def play(channel: Channel) -> tuple[Seen, Record]:
        s = agree(channel, seat, SeededEntropy(f"{seed}|seat {seat}"), seed.encode())
        record = Record()
        return run_seat(s, record, plan), record

    return play


def _provider(
    plan: Plan, number: int, party: Party, label: Label, entropy: Entropy
) -> Callable[[Channel], tuple[Matrix, NDArray[np.uint64]]]:
    def play(channel: Channel) -> tuple[Matrix, NDArray[np.uint64]]:
        provider, layout = plan.providers[number], plan.layout(number)
        for part, chosen in (("training", ~party.test), ("holdout", party.test)):
            if part == "holdout" and not plan.holdout:
                continue
            values = party.basis.shared(party.table.columns.values[chosen])
            own = label.values[chosen] if number == 0 else None
            rows = packed(party.table.ids[chosen], values, own, plan.family, layout,
                          int(chosen.sum()), entropy)  # fmt: skip
            send_rows(channel, (0, 1, 2), f"{provider.name}.{part}", rows, entropy)
            if part == "training":
                penalty = encode(party.basis.penalty(plan.l2), PENALTY)
                send_matrix(channel, provider.name, penalty, entropy)
        block = plan.blocks()[number]
        opened = read_numbers(channel, block.stop - block.start, f"model.{provider.name}")
        nothing = np.zeros(0, np.uint64)
        sums = (
            read_numbers(channel, metrics.figures_of(plan), "metrics") if number == 0 else nothing
        )
        return decode(opened, BETA), sums

    return play


# --- the comparison ---------------------------------------------------------------------------------


def _compared(
    parties: list[Party], plan: Plan, label: Label
) -> tuple[tuple[Fit, float], dict[str, float], dict[str, float]]:
    """((plain fit, label scale), its metrics, the label party's alone) on the rows that match."""
    first = parties[0]
    shared = first.table.ids
    for party in parties[1:]:
        shared = np.intersect1d(shared, party.table.ids)
    standard, test, y = [], np.zeros(0, bool), np.zeros(0)
    for number, party in enumerate(parties):
        order = np.argsort(party.table.ids)
        rows = order[np.searchsorted(party.table.ids[order], shared)]
        basis = party.basis
        standard.append((party.table.columns.values[rows][:, basis.kept] - basis.mean) / basis.sd)
        if number == 0:
            test, y = party.test[rows], label.values[rows]
    joint = np.concatenate(standard, axis=1)
    judged = test if plan.holdout else ~test
    fit = irls(joint[~test], y[~test], plan.family, plan.l2)
    plain = plain_metrics(fit.predictor(joint[judged]), y[judged], plan.family, label.scale)
    basis = first.basis
    own = (first.table.columns.values[:, basis.kept] - basis.mean) / basis.sd
    lonely = irls(own[~first.test], label.values[~first.test], plan.family, plan.l2)
    alone = plain_metrics(
        lonely.predictor(standard[0][judged]), y[judged], plan.family, label.scale
    )
    return (fit, label.scale), plain, alone


def _outcome(
    plan: Plan, parties: list[Party], label: Label, seen: Seen, record: Record,
    blocks: list[Matrix], sums: NDArray[np.uint64],
    compared: tuple[tuple[Fit, float], dict[str, float], dict[str, float]],
    spent: tuple[float, float, float, int],
) -> Outcome:  # fmt: skip
    (fit, _), plain, alone = compared
    standard, raw, intercepts = {}, {}, {}
    # A linear model was fitted to (label - shift) / scale; a Poisson one to label / scale.
    stretch = label.scale if plan.family.name == "linear" else 1.0
    lift = {"linear": label.shift, "logistic": 0.0, "poisson": float(np.log(label.scale))}[
        plan.family.name
    ]
    flat = []
    for number, (party, block) in enumerate(zip(parties, blocks, strict=True)):
        name, basis = party.table.name, party.basis
        own, offset = basis.raw(block[1:] if number == 0 else block)
        flat.append(own[basis.kept] * basis.sd)
        standard[name] = {
            basis.names[k]: float(v * stretch) for k, v in zip(basis.kept, flat[-1], strict=True)
        }
        raw[name] = dict(zip(basis.names, (own * stretch).tolist(), strict=True))
        intercepts[name] = offset * stretch + (
            (float(block[0]) * stretch + lift) if number == 0 else 0.0
        )
    centred = float(blocks[0][0])
    gaps = np.abs(
        np.concatenate([*flat, [centred]]) - np.concatenate([fit.coefficients, [fit.intercept]])
    )
    return Outcome(
        plan.family.name, tuple(p.name for p in plan.providers), seen.matched, seen.iterations,
        seen.settled, standard, raw, intercepts, metrics.read(sums, plan, label.scale),
        plain, alone, float(gaps.max(initial=0.0)), fit.settled, spent[0], spent[1], spent[2],
        spent[3], tuple(record.body()), tuple(_notes(plan, parties, seen, fit)),
    )  # fmt: skip


def _notes(plan: Plan, parties: list[Party], seen: Seen, fit: Fit) -> list[str]:
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
        notes.append("the plain model did not settle either")
    return notes
