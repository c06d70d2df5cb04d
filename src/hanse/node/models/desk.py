"""What one party brings to model jobs, and what it takes home: rows shared, parts kept, scores written.

    prepare   before anybody signs: read the rows, share them into a recorder, answer with the commitment
    send      in the job: what was recorded, or, where keys are open, rows in the order that all parties found
    play      in an open job: the work with the other parties (`models_open`)
    finish    at the end: this party's part of the model with its card into the store, or scores into a file

The same at a node and in a rehearsal. What was prepared waits in memory for its job, not for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.catalog import Dataset
from hanse.catalog.numbers import NumberRequest, read_numbers
from hanse.clock import Clock
from hanse.contracts import Contract, JobRequest
from hanse.contracts.models import SCORE_ONE, TRAIN
from hanse.entropy import Entropy
from hanse.errors import Fault, Refusal
from hanse.gate.record import Record
from hanse.gate.scores import draw_lock, send_lock_seeds
from hanse.learn.jobs import linear
from hanse.learn.jobs.blocks import LinearBlock
from hanse.learn.jobs.committed import Recorder, Upload
from hanse.learn.jobs.renumbered import Renumbered
from hanse.learn.jobs.terms import HomeRows, Side, Terms
from hanse.learn.scoring import batch, online
from hanse.node.crowd_days.home import CrowdDesk
from hanse.node.jobs.roles import Job, Progress
from hanse.node.models import opened as models_open
from hanse.node.models.card import Made, card_of
from hanse.node.models.opened import OpenHome, rows_digest
from hanse.node.models.parts import ModelShelf
from hanse.node.models.scoring import (
    OneScore,
    Scored,
    Written,
    partial_rows,
    units_of,
    write_scores,
)
from hanse.node.models.single import SingleRows
from hanse.wire import Channel

_WAITS_SECONDS = 300.0
_MOST_WAITING = 8
Opened = Mapping[str, NDArray[np.uint64]]
Seeds = tuple[bytes, bytes, bytes]
# (commitment, how to send, what stays at home)
Ready = tuple[str, Callable[[Channel], None], Any]


@dataclass
class Prepared:
    """What waits for a job: how to send it, and what stays at home. It serves the first ``job`` that takes it."""

    send: Callable[[Channel], None]
    seeds: Seeds
    home: Any
    at: float
    said: str  # of how many rows, for this party's own log
    job: str = ""


@dataclass
class ModelDesk:
    """``dataset`` gives one of this party's datasets by name, ``tell`` adds a line to a job's log at this party.

    ``folder`` is where scores are written.
    """

    party: str
    shelf: ModelShelf
    dataset: Callable[[str], Dataset]
    clock: Clock
    entropy: Entropy
    folder: Path | None
    tell: Callable[[JobRequest, str], None]
    crowds: CrowdDesk | None = None  # what this party brings to daily crowds
    single: SingleRows = field(init=False)
    _waiting: dict[str, Prepared] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.single = SingleRows(self.party)

    @property
    def crowd_desk(self) -> CrowdDesk:
        """What this party brings to daily crowds; `Fault` where it was opened without."""
        if self.crowds is None:
            raise Fault("crowd.desk", "this node takes no part in daily crowds",
                        remedy="open the node by its folder")  # fmt: skip
        return self.crowds

    # --- before the job -------------------------------------------------------------------------

    def prepare(self, plan: Any, contract: Contract, request: JobRequest) -> dict[str, str]:
        """Commitments by dataset of what this party will send; nothing if it is no party of the model."""
        if plan.way == "crowd":
            return self.crowd_desk.prepare(plan, contract)
        terms: Terms = plan.terms
        if self.party not in terms.parties:
            return {}
        side = terms.side(self.party)
        if request.computation == SCORE_ONE and not isinstance(plan, batch.ScoringPlan):
            return {side.dataset: ""}  # the other parties are yet to be told which row it is
        seeds = draw_lock(self.entropy)
        if plan.way == "open":
            commitment, send, home = self._open(plan, contract, side, request)
        elif request.computation == TRAIN:
            commitment, send, home = self._training(plan, contract, side, seeds)
        else:
            commitment, send, home = self._scoring(plan, contract, side, seeds)
        now = self.clock.monotonic()
        with self._lock:
            fresh = {k: p for k, p in self._waiting.items() if now - p.at < _WAITS_SECONDS}
            self._waiting = dict(list(fresh.items())[-_MOST_WAITING + 1 :])
            said = f"{side.dataset}: {_rows_in(home):,} rows brought to the model"
            self._waiting[commitment] = Prepared(send, seeds, home, now, said)
        return {side.dataset: commitment}

    def _training(
        self, plan: linear.LinearPlan, contract: Contract, side: Side, seeds: Seeds
    ) -> Ready:
        rows = self._read(plan.terms, contract, side, target=self.party == plan.terms.label_party)
        home, parts = linear.at_home(plan, self.party, rows, contract.id)
        if plan.hidden:
            recorder = Recorder()
            send_lock_seeds(recorder, self.party, seeds)
            linear.share(recorder, plan, home, parts, self.entropy)
            upload = Upload.of(self.party, recorder, self.entropy)
            return upload.commitment, upload.send, home

        def send(channel: Channel) -> None:
            send_lock_seeds(channel, self.party, seeds)
            linear.share_open(channel, plan, home, parts, self.entropy)

        return rows_digest(rows, self.entropy.take(32)), send, home

    def _open(self, plan: Any, contract: Contract, side: Side, request: JobRequest) -> Ready:
        train = request.computation == TRAIN
        owner = self.party == plan.terms.label_party or plan.terms.clause.horizontal
        texts = not train and plan.question.receiver == self.party
        rows = self._read(plan.terms, contract, side, target=train and owner, texts=texts)
        return rows_digest(rows, self.entropy.take(32)), _nothing, OpenHome(rows)

    def _scoring(
        self, plan: batch.ScoringPlan, contract: Contract, side: Side, seeds: Seeds
    ) -> Ready:
        training, dataset = plan.question.training, self.dataset(side.dataset)
        block, receiver = self._block(training), plan.question.receiver == self.party
        texts = receiver and not plan.single
        wanted = wanted_of(plan.terms, contract, side, target=False, texts=texts)
        if plan.single:
            lookup = self.single.parts(training, dataset, wanted, block)
            rows = lookup.one(self.single.asked(plan)) if receiver else lookup.rows
        else:
            rows = partial_rows(dataset, wanted, block)
        recorder = Recorder()
        send_lock_seeds(recorder, self.party, seeds)
        places = batch.share(
            recorder, plan, self.party, rows.ids, rows.partial, units_of(block), self.entropy
        )
        upload = Upload.of(self.party, recorder, self.entropy)
        return upload.commitment, upload.send, (rows, places)

    def _read(
        self, terms: Terms, contract: Contract, side: Side, *, target: bool, texts: bool = False
    ) -> HomeRows:
        wanted = wanted_of(terms, contract, side, target=target, texts=texts)
        rows = read_numbers(self.dataset(side.dataset), wanted)
        named = {name: rows.values[:, n] for n, name in enumerate(wanted.columns)}
        label = named[terms.target.name] if target else None
        beside = self.party == terms.label_party and target
        weight, offset = (
            named[t.name] if beside and t is not None else None
            for t in (terms.weight, terms.offset)
        )
        return HomeRows(
            rows.ids, rows.values[:, : len(side.terms)], label, rows.texts, weight, offset
        )

    def _document(self, training: str) -> dict[str, Any]:
        block: dict[str, Any] = self.shelf.document(training)["block"]
        return block

    def _block(self, training: str) -> LinearBlock:
        return LinearBlock.of(self._document(training))

    # --- in the job -----------------------------------------------------------------------------

    def send(self, job: Job) -> Callable[[Channel], list[bytes]]:
        """How this party shares what it brings."""
        if job.plan.way == "crowd":
            return self.crowd_desk.send(job)
        if isinstance(job.plan, online.OnlinePlan):
            return lambda channel: self._send_one(channel, job)

        def send(channel: Channel) -> list[bytes]:
            prepared = self._prepared(job)
            prepared.send(channel)
            return list(prepared.seeds)

        return send

    def play(self, job: Job, progress: Progress) -> Callable[[Channel], None]:
        """How this party works on an open job with the others."""
        terms: Terms = job.plan.terms
        roles = [*map(job.provider_role, terms.parties), 0, 1, 2]

        def play(channel: Channel) -> None:
            if job.request.computation == SCORE_ONE:
                self._play_one(Renumbered(channel, roles), job)
                return
            home: OpenHome = self._prepared(job).home
            if terms.clause.horizontal:
                models_open.play_pooled(channel, job, self.party, home, self.entropy, progress)
                return
            models_open.play(
                Renumbered(channel, roles), job, self.party, home,
                lambda: self._document(job.plan.question.training), self.entropy,
            )  # fmt: skip

        return play

    def _prepared(self, job: Job) -> Prepared:
        side = job.plan.terms.side(self.party)
        commitment = job.request.commitments.get(side.dataset, "")
        with self._lock:
            found = self._waiting.get(commitment)
            # Once only: locks that one job opened must not be those of another.
            if found is not None and found.job not in ("", job.request.job_hash):
                found = None
            first = found is not None and not found.job
            if found is not None:
                found.job = job.request.job_hash
        if found is not None and first:
            self.tell(job.request, found.said)
        if found is None:
            raise Refusal(
                "model.prepared",
                f"{self.party} has not prepared these rows, or gave them up meanwhile",
                remedy="ask again; a job uses what its parties prepared for it, once",
                where=self.party,
            )
        return found

    def _send_one(self, channel: Channel, job: Job) -> list[bytes]:
        plan: online.OnlinePlan = job.plan
        seeds = draw_lock(self.entropy)
        send_lock_seeds(channel, self.party, seeds)
        training, side = plan.question.training, plan.terms.side(self.party)
        block, wanted = (
            self._block(training),
            wanted_of(plan.terms, job.contract, side, target=False),
        )
        lookup = self.single.parts(training, self.dataset(side.dataset), wanted, block)
        if self.party == plan.question.receiver:
            hashed = lookup.hashed(self.single.asked(plan))
            online.ask(channel, plan, hashed)
        else:
            hashed = online.asked(channel, plan)
        part = lookup.partial(hashed)
        online.share(channel, plan, self.party, part, units_of(block), self.entropy)
        return list(seeds)

    def _play_one(self, channel: Channel, job: Job) -> None:
        plan, training = job.plan, job.plan.question.training
        side = plan.terms.side(self.party)
        wanted = wanted_of(plan.terms, job.contract, side, target=False)
        lookup = self.single.rows(training, self.dataset(side.dataset), wanted)
        hashed = None
        if self.party == plan.question.receiver:
            hashed = lookup.hashed(self.single.asked(plan))
        document = self._document(training)
        found = models_open.play_one(channel, job, self.party, lookup.rows, hashed, document)
        self.single.put(job.request.job_hash, found)

    # --- after the job --------------------------------------------------------------------------

    def finish(self, job: Job, opened: Opened, record: Record) -> Any:
        """What this party was told becomes its part of the model, or its scores; the job's result."""
        if job.plan.way == "open":
            return self._finish_open(job, record)
        if job.request.computation == TRAIN:
            return self._keep(job, dict(opened), record)
        plan = job.plan
        model, family = plan.question.model, plan.terms.clause.kind
        units = units_of(None, opened.get("units"))
        if plan.question.receiver == plan.terms.label_party:
            units = units_of(self._block(plan.question.training))
        if isinstance(plan, online.OnlinePlan):
            return OneScore.of(plan, online.read(opened["score"]), family, units)
        rows, places = self._prepared(job).home
        eta, matched = batch.read(plan, opened["scores"], places, rows.ids.size)
        if plan.single:
            self.release(job)
            return (
                OneScore.of(plan, eta, family, units)
                if matched.all()
                else OneScore(model, None, {})
            )
        scored = Scored(
            model, family, plan.terms.target.values, rows.texts, eta, matched, units, rows.missing
        )
        return self._written(job, scored)

    def _written(self, job: Job, scored: Scored) -> Written:
        self.release(job)
        if self.folder is None:
            raise Fault("model.folder", "this node has no folder for scores",
                        remedy="open the node by its folder")  # fmt: skip
        return write_scores(self.folder, job.request.job_hash, scored)

    def _finish_open(self, job: Job, record: Record) -> Any:
        if job.request.computation == SCORE_ONE:
            return models_open.one_score(job, self.single.take(job.request.job_hash))
        home: OpenHome = self._prepared(job).home
        if job.request.computation != TRAIN:
            return self._written(job, models_open.scored(job, home))
        body, metrics, facts = models_open.made_of(job, home)
        note, card = card_of(job, self.party, self.clock.now(), metrics, facts, record)
        block: dict[str, Any] = {}
        if any(t.step == f"model.{self.party}" for t in job.plan.release.told):
            block = body
            self.shelf.keep(note, block, card)
        self.release(job)
        return Made(card, block)

    def _keep(self, job: Job, opened: dict[str, NDArray[np.uint64]], record: Record) -> Made:
        plan: linear.LinearPlan = job.plan
        home = self._prepared(job).home if self.party in plan.terms.parties else None
        metrics, facts = linear.measured(plan, home, opened), linear.facts(opened)
        note, card = card_of(job, self.party, self.clock.now(), metrics, facts, record)
        block: dict[str, Any] = {}
        if home is not None and f"model.{self.party}" in opened:
            block = linear.block_of(plan, home, opened).body()
            card["constant"] = list(home.constant)
            self.shelf.keep(note, block, card)
        self.release(job)
        return Made(card, block)

    def release(self, job: Job) -> None:
        """Forget what was prepared for the job: it has ended."""
        if job.plan.way == "crowd":
            self.crowd_desk.release(job)
            return
        terms: Terms = job.plan.terms
        self.single.forget(job.request.job_hash)
        if self.party in terms.parties:
            commitment = job.request.commitments.get(terms.side(self.party).dataset, "")
            with self._lock:
                self._waiting.pop(commitment, None)


def _rows_in(home: Any) -> int:
    if isinstance(home, linear.LinearHome):
        return home.rows
    rows = home.rows if isinstance(home, OpenHome) else home[0]
    return int(rows.ids.size)


def _nothing(_channel: Channel) -> None:
    """An open job's rows are not uploaded."""


def wanted_of(
    terms: Terms, contract: Contract, side: Side, *, target: bool, texts: bool = False
) -> NumberRequest:
    """What is read of a dataset: the feature columns; to learn, behind them the target's and what goes with it; to
    score, the offset's."""
    columns = [*side.terms, *([terms.target] if target else [])]
    if side.party == terms.label_party:
        beside = (terms.weight if target else None, terms.offset)
        columns += [t for t in beside if t is not None and t not in columns]
    values = {t.name: t.values for t in columns if t.values}
    names = tuple(t.name for t in columns)
    return NumberRequest(
        contract.join.id_type, contract.join.hash, side.capacity, names, values, texts
    )
