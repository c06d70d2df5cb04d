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
from hanse.clock import Clock
from hanse.contracts import Contract, JobRequest
from hanse.contracts.models import CONTRIBUTIONS, SCORE_ONE, TRAIN
from hanse.entropy import Entropy
from hanse.errors import Fault, Refusal
from hanse.gate.record import Record
from hanse.gate.scores import draw_lock, send_lock_seeds
from hanse.learn.jobs import contributions, linear
from hanse.learn.jobs.renumbered import Renumbered
from hanse.learn.jobs.sealed import Seal, commitments_of
from hanse.learn.jobs.terms import Terms
from hanse.learn.scoring import batch, online
from hanse.node.crowd_days.home import CrowdDesk
from hanse.node.jobs.roles import Job, Progress
from hanse.node.models import opened as models_open
from hanse.node.models.bringing import Bringer, Send, rows_in, wanted_of
from hanse.node.models.card import Made, card_of
from hanse.node.models.opened import OpenHome
from hanse.node.models.parts import ModelShelf
from hanse.node.models.scoring import (
    OneScore,
    Scored,
    Written,
    units_of,
    write_scores,
)
from hanse.node.models.single import SingleRows
from hanse.wire import Channel

_WAITS_SECONDS = 300.0
_MOST_WAITING = 8
Opened = Mapping[str, NDArray[np.uint64]]
Seeds = tuple[bytes, bytes, bytes]


@dataclass
class Prepared:
    """What waits for a job: how to send it, and what stays at home. It serves the first ``job`` that takes it."""

    send: Send
    seeds: Seeds
    home: Any
    at: float
    said: str  # of how many rows, for this party's own log
    opening: Mapping[str, Any]
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
    bringer: Bringer = field(init=False)
    _waiting: dict[str, Prepared] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.single = SingleRows(self.party)
        self.bringer = Bringer(self.party, self.shelf, self.dataset, self.single)

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
        ready = self.bringer.ready(plan, contract, side, request, seeds, self.entropy)
        now = self.clock.monotonic()
        with self._lock:
            fresh = {k: p for k, p in self._waiting.items() if now - p.at < _WAITS_SECONDS}
            self._waiting = dict(list(fresh.items())[-_MOST_WAITING + 1 :])
            said = f"{side.dataset}: {rows_in(ready.home):,} rows brought to the model"
            self._waiting[ready.commitment] = Prepared(
                ready.send, seeds, ready.home, now, said, ready.opening
            )
        return {side.dataset: ready.commitment}

    # --- in the job -----------------------------------------------------------------------------

    def send(self, job: Job) -> Callable[[Channel], list[bytes]]:
        """How this party shares what it brings."""
        if job.plan.way == "crowd":
            return self.crowd_desk.send(job)
        if isinstance(job.plan, online.OnlinePlan):
            return lambda channel: self._send_one(channel, job)

        def send(channel: Channel) -> list[bytes]:
            prepared = self._prepared(job)
            prepared.send(channel, commitments_of(job, job.plan.terms.sides))
            return list(prepared.seeds)

        return send

    def sealed(self, job: Job) -> Seal | None:
        """The seal of the rows that this party brings to an open job, None where a row is looked up in it.

        `Foul` ``model.swapped`` if the rows are not those that were sealed before the job was signed.
        """
        if job.request.computation == SCORE_ONE:
            return None
        home: OpenHome = self._prepared(job).home
        home.seal.require(home.rows)
        return home.seal

    def play(self, job: Job, progress: Progress) -> Callable[[Channel, Mapping[str, bytes]], None]:
        """How this party works on an open job with the others, whose keys have these hashes."""
        terms: Terms = job.plan.terms
        roles = [*map(job.provider_role, terms.parties), 0, 1, 2]

        def play(channel: Channel, hashes: Mapping[str, bytes]) -> None:
            if job.request.computation == SCORE_ONE:
                self._play_one(Renumbered(channel, roles), job)
                return
            home: OpenHome = self._prepared(job).home
            if terms.clause.horizontal:
                models_open.play_pooled(channel, job, self.party, home, self.entropy, progress)
                return
            models_open.play(
                Renumbered(channel, roles), job, self.party, home,
                lambda: self.bringer.document(job.plan.question.training), self.entropy, hashes,
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
            self.bringer.block(training),
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
        document = self.bringer.document(training)
        found = models_open.play_one(channel, job, self.party, lookup.rows, hashed, document)
        self.single.put(job.request.job_hash, found)

    # --- after the job --------------------------------------------------------------------------

    def finish(self, job: Job, opened: Opened, record: Record) -> Any:
        """What this party was told becomes its part of the model, or its scores; the job's result."""
        if job.plan.way == "open":
            return self._finish_open(job, record)
        if job.request.computation == TRAIN:
            return self._keep(job, dict(opened), record)
        if job.request.computation == CONTRIBUTIONS:
            return self._contributed(job, dict(opened))
        plan = job.plan
        model, family = plan.question.model, plan.terms.clause.kind
        units = units_of(None, opened.get("units"))
        if plan.question.receiver == plan.terms.label_party:
            units = units_of(self.bringer.block(plan.question.training))
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
            self.shelf.keep(note, block, card, self._prepared(job).opening)
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
            self.shelf.keep(note, block, card, self._prepared(job).opening)
        self.release(job)
        return Made(card, block)

    def _contributed(self, job: Job, opened: dict[str, NDArray[np.uint64]]) -> Any:
        plan: contributions.ContributionPlan = job.plan
        home = self._prepared(job).home if self.party in plan.terms.parties else None
        self.release(job)
        return contributions.read(plan, home, opened)

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
