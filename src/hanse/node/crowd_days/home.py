"""A node's part of daily crowds: feeds are read and checked before anybody signs, played in the job, and published.

An owner of counters brings nothing but a keyed hash of its rows; its counts stay in memory until the job's sums
have come, and here they become a model or a day's figures. A holder (map, operator, payments) shares changes. What
any party reads of its own feeds, and what the checks found there, it writes into its own log.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hanse.catalog import Dataset
from hanse.clock import Clock
from hanse.contracts import Contract, JobRequest, Library, ModelNote
from hanse.contracts.crowds import CrowdClause, CrowdCounts, CrowdSignal, CrowdTable
from hanse.contracts.model_check import expiry_of
from hanse.entropy import Entropy
from hanse.errors import Fault, HanseError, Refusal
from hanse.gate.record import Record
from hanse.gate.scores import draw_lock, send_lock_seeds
from hanse.learn.jobs.committed import Recorder, Upload
from hanse.node.crowd_days.result import (
    DayResult,
    TrainResult,
    archived,
    figures_of,
    product_of,
    regimes_kept,
)
from hanse.node.jobs.roles import Job, Progress
from hanse.node.models.parts import ModelShelf, StoredModel
from hanse.node.products.publications import Publications
from hanse.places.checks.checks import Finding
from hanse.places.crowd.federation import Federation
from hanse.places.crowd.ground import Calendar, Ground
from hanse.places.crowd.trees import Columns
from hanse.places.daily import changes, run, tables
from hanse.places.daily.jobs import CrowdPlan, Side
from hanse.places.daily.kept import Source, clean, taken_in
from hanse.places.daily.reading import calendar_of, ground_of, read_reports
from hanse.places.feeds.feed import Feed
from hanse.places.feeds.store import FeedStore
from hanse.wire import Channel

_WAITS_SECONDS = 600.0
_MOST_WAITING = 4
_CHECKED_BACK = 120  # days before the first one told of in which a holder's feed is checked
_MOST_LINES = 20
FOLDER, FEEDS = "crowd-days", "feeds"
Seeds = tuple[bytes, bytes, bytes]
Opened = dict[str, NDArray[np.uint64]]


@dataclass
class Prepared:
    """What waits for a job: the upload, and what an owner keeps at home. It serves the first job that takes it."""

    upload: Upload
    seeds: Seeds
    at: float
    lines: list[str]
    scene: run.Scene | None = None
    known: run.Known | None = None
    bins: tables.Bins | None = None  # of a table, for the trees of a training
    job: str = ""


@dataclass
class CrowdDesk:
    """``dataset`` gives one of this party's datasets, ``library`` its lists of places, ``tell`` adds to a job's log
    at this party; ``folder`` keeps what was told, for the scoreboard."""

    party: str
    shelf: ModelShelf
    dataset: Callable[[str], Dataset]
    library: Callable[[], Library]
    publications: Callable[[], Publications]
    clock: Clock
    entropy: Entropy
    folder: Path | None
    tell: Callable[[JobRequest, str], None]
    _waiting: dict[str, Prepared] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # --- before the job -------------------------------------------------------------------------

    def prepare(self, plan: CrowdPlan, contract: Contract) -> dict[str, str]:
        """Commitments by dataset; nothing if this party brings none."""
        if self.party not in plan.terms.parties:
            return {}
        side = plan.terms.side(self.party)
        self._fitting(contract, side)
        seeds, recorder = draw_lock(self.entropy), Recorder()
        send_lock_seeds(recorder, self.party, seeds)
        scene: run.Scene | None = None
        known: run.Known | None = None
        bins: tables.Bins | None = None
        if side.counts is not None:
            scene, known, lines = self._owner(plan, contract, side, recorder)
        else:
            bins, lines = self._helper(plan, contract, side, recorder)
        upload = Upload.of(self.party, recorder, self.entropy)
        now = self.clock.monotonic()
        with self._lock:
            fresh = {k: p for k, p in self._waiting.items() if now - p.at < _WAITS_SECONDS}
            self._waiting = dict(list(fresh.items())[-_MOST_WAITING + 1 :])
            self._waiting[upload.commitment] = Prepared(
                upload, seeds, now, lines, scene, known, bins
            )
        return dict.fromkeys(side.datasets, upload.commitment)

    def _scene(self, plan: CrowdPlan, contract: Contract, truth: str) -> run.Scene:
        clause = plan.terms.clause
        places = self.library().gazetteer(contract, clause.gazetteer)
        found = contract.truth(truth)
        if found is None:
            raise Refusal("crowd.truth", f"the contract has no truth {truth!r}",
                          remedy="agree on a contract that says what is counted", where=clause.name)  # fmt: skip
        calendar = calendar_of(clause, plan.question.ends)
        return run.Scene(clause, found, ground_of(places), calendar, clause.history_days)

    def _owner(
        self, plan: CrowdPlan, contract: Contract, side: Side, recorder: Recorder
    ) -> tuple[run.Scene, run.Known, list[str]]:
        counts = side.counts
        if counts is None:
            raise Fault("crowd.side", "an owner without counts")
        dataset = self.dataset(counts.dataset)
        scene = self._scene(plan, contract, counts.truth)
        if not plan.trains:
            self.model(plan.terms.clause, contract)
            archived(self.folder, contract, plan.terms.clause).in_order(plan.question.ends)
        feed, found = self._feed(plan, contract, counts, scene.truth.lateness, scene.as_of)
        known = run.known(scene, feed, found)
        changes.tell_digest(recorder, self.party, [known.logs], self.entropy.take(32))
        said = f"{dataset.name}: {len(known.feed):,} reports of {known.own.size:,} places used"
        return scene, known, [said, *map(str, known.findings[:_MOST_LINES])]

    def _helper(
        self, plan: CrowdPlan, contract: Contract, side: Side, recorder: Recorder
    ) -> tuple[tables.Bins | None, list[str]]:
        """What a holder of a signal, of a table or of both brings; seats hold a hash of all of it."""
        places = self.library().gazetteer(contract, plan.terms.clause.gazetteer)
        calendar = calendar_of(plan.terms.clause, plan.question.ends)
        as_of = calendar.days[plan.terms.clause.history_days]
        lines: list[str] = []
        rows: list[NDArray[np.generic]] = []
        mine, bins = None, None
        if side.signal is not None:
            mine = self._signal(plan, contract, side.signal, places.ids, calendar, as_of, lines)
            rows += [mine.values, mine.presence]
        if side.table is not None:
            bins = self._table(plan, side.table, ground_of(places), calendar, as_of, lines)
            rows.append(bins.codes)
        changes.tell_digest(recorder, self.party, rows, self.entropy.take(32))
        if mine is not None:
            changes.share(recorder, self.party, mine, self.entropy)
        return bins, lines

    def _signal(
        self, plan: CrowdPlan, contract: Contract, signal: CrowdSignal, places: tuple[str, ...], calendar: Calendar,
        as_of: np.datetime64, lines: list[str],
    ) -> changes.Changes:  # fmt: skip
        """A feed that cannot be read is told as nothing: the day goes on without it, and says so."""
        dataset = self.dataset(signal.dataset)
        try:
            feed, found = self._feed(plan, contract, signal, signal.lateness, as_of)
            since = calendar.days[max(0, int(plan.days[0]) - _CHECKED_BACK)]
            fine, more = clean(feed, as_of, places, since, signal.lateness)
            findings = tuple(dict.fromkeys([*found, *more]))
            lines += [
                f"{dataset.name}: {len(fine):,} reports used",
                *map(str, findings[:_MOST_LINES]),
            ]
            return changes.changes_at_home(fine, as_of, calendar, plan.days, plan.terms.lateness)
        except HanseError as error:
            lines.append(_nothing_of(dataset, error))
            return changes.nothing(plan.days.size, plan.places)

    def _feed(
        self, plan: CrowdPlan, contract: Contract, columns: CrowdCounts | CrowdSignal, lateness: int,
        as_of: np.datetime64,
    ) -> tuple[Feed, tuple[Finding, ...]]:  # fmt: skip
        """What was known of one of this party's feeds, out of its store, and what was found of its rows."""
        truth = contract.truth(plan.terms.clause.owners[0].truth)
        zone = "UTC" if truth is None else truth.zone
        source = Source(*read_reports(self.dataset(columns.dataset), columns, lateness, zone))
        store = None
        if self.folder is not None:
            own = archived(self.folder, contract, plan.terms.clause).folder
            store = FeedStore(own / FEEDS / columns.dataset)
        with self._lock:  # one writer to a store
            return taken_in(store, source, as_of)

    def _table(
        self, plan: CrowdPlan, table: CrowdTable, ground: Ground, calendar: Calendar,
        as_of: np.datetime64, lines: list[str],
    ) -> tables.Bins:  # fmt: skip
        """A table that cannot be read is one column that says nothing."""
        dataset = self.dataset(table.dataset)
        try:
            bins = tables.bins_at_home(dataset, table, ground, calendar, as_of)
            lines += [f"{dataset.name}: {bins.codes.shape[1]} columns of {plan.places:,} places, which stay here",
                      *map(str, bins.findings[:_MOST_LINES])]  # fmt: skip
            return bins
        except HanseError as error:
            lines.append(_nothing_of(dataset, error))
            return tables.nothing(plan.places)

    def _fitting(self, contract: Contract, side: Side) -> None:
        """`Fault` ``dataset.column`` naming a column of the contract that a registered dataset lacks."""
        for dataset, name, _ in side.columns:
            mine, agreed = self.dataset(dataset), contract.dataset(dataset)
            column = None if agreed is None else agreed.column(name)
            have = next((c for c in mine.columns if c.name == name), None)
            if column is None or have is None or have.kind != column.kind:
                found = "missing" if have is None else f"a column of kind {have.kind}"
                raise Fault(
                    "dataset.column", f"column {name!r} of {dataset!r} is {found} at {self.party}",
                    remedy="register the dataset again with this column, or agree on the contract",
                    where=f"dataset {dataset}, column {name}",
                )  # fmt: skip

    # --- in the job -----------------------------------------------------------------------------

    def send(self, job: Job) -> Callable[[Channel], list[bytes]]:
        """How this party shares what it brings."""

        def send(channel: Channel) -> list[bytes]:
            prepared = self._prepared(job)
            for line in prepared.lines:
                self.tell(job.request, line)
            prepared.upload.send(channel)
            return list(prepared.seeds)

        return send

    def _prepared(self, job: Job) -> Prepared:
        dataset = job.plan.terms.side(self.party).dataset
        commitment = job.request.commitments.get(dataset, "")
        with self._lock:
            found = self._waiting.get(commitment)
            if found is not None and found.job not in ("", job.request.job_hash):
                found = None
            if found is not None:
                found.job = job.request.job_hash
        if found is None:
            raise Refusal("crowd.prepared", f"{self.party} has not prepared this day, or gave it up meanwhile",
                          remedy="ask again; a job uses what its parties prepared for it, once",
                          where=self.party)  # fmt: skip
        return found

    def bins(self, job: Job) -> tables.Bins:
        """At a holder of a table: what owners grow trees over."""
        found = self._prepared(job).bins
        if found is None:
            raise Fault("crowd.home", "a holder's table is not there")
        return found

    def ground(self, job: Job) -> Ground:
        """At an owner: the places."""
        return self._home(job)[0].ground

    def train(
        self, job: Job, opened: Opened, record: Record, federation: Federation, progress: Progress,
        columns: Columns | None = None,
    ) -> TrainResult:  # fmt: skip
        """At an owner: the sums have come; train, and keep what the guard lets through.

        ``columns`` are those of holders of tables, if any take part.
        """
        plan, clause = job.plan, job.plan.terms.clause
        scene, known = self._home(job)
        progress("training", 0.0)
        held = self._newest(clause, job.contract)
        old = None if held is None else self.shelf.document(held.job)["block"]
        state, guard = run.train(
            federation, scene, known, self._received(plan, opened), old, columns
        )
        now = self.clock.now()
        expires = expiry_of(job.contract, clause, now)
        findings = tuple(map(str, known.findings))
        places = int(known.own.size)
        result = TrainResult(
            clause.name,
            plan.question.ends,
            str(guard),
            guard.adopted,
            places,
            findings,
            guard.signals,
        )
        if guard.adopted:
            note = ModelNote(
                clause.name,
                job.request.job_hash,
                job.contract.id,
                clause.digest,
                now,
                expires,
                "held",
            )
            card = result.card(job, self.party, note, record)
            self.shelf.keep(note, state, card)
        return result

    def day(
        self, job: Job, opened: Opened, federation: Federation, progress: Progress
    ) -> run.DayTold:
        """At an owner: the figures of the day."""
        plan = job.plan
        scene, known = self._home(job)
        progress("telling the day", 0.0)
        held = self.model(plan.terms.clause, job.contract)
        state = self.shelf.document(held.job)["block"]
        return run.tell(federation, scene, known, self._received(plan, opened), state, plan.told)

    def _received(self, plan: CrowdPlan, opened: Opened) -> changes.Received | None:
        """What the seats opened to this owner, as the model takes a signal."""
        if not plan.terms.holders:
            return None
        return changes.read(opened["changes"], plan.days, plan.places, plan.terms.holders)

    def _home(self, job: Job) -> tuple[run.Scene, run.Known]:
        prepared = self._prepared(job)
        if prepared.scene is None or prepared.known is None:
            raise Fault("crowd.home", "an owner's counts are not there")
        return prepared.scene, prepared.known

    # --- after the job --------------------------------------------------------------------------

    def publish(
        self, job: Job, figures: run.Figures, said: tuple[str, ...], told: run.DayTold | None
    ) -> DayResult:
        """Keep the figures: a recipient as versions in its publications, an owner for the scoreboard."""
        plan, contract = job.plan, job.contract
        clause: CrowdClause = plan.terms.clause
        places = self.library().gazetteer(contract, clause.gazetteer).ids
        calendar = calendar_of(clause, plan.question.ends)
        dates = calendar.days[list(plan.told)]
        changed = 0
        product = product_of(contract, clause)
        if self.party in clause.recipients:
            about = {
                "title": f"Crowd of places: {clause.name}", "unit": "people", "contract": contract.id,
                "job": job.request.job_hash, "ends": plan.question.ends.isoformat(), "said": list(said),
            }  # fmt: skip
            rows = figures_of(figures, places, dates)
            changed = self.publications().publish(product, about, rows, self.clock.now())
        if self.folder is not None and (self.party in clause.recipients or told is not None):
            kept = regimes_kept(self.folder, contract, clause)
            kept.keep(figures, places, dates, plan.question.ends)
        alarm = ""
        if told is not None:
            archive = archived(self.folder, contract, clause)
            archive.keep(figures, places, dates[0])
            alarm = archive.alarm(self._home(job)[1].feed, dates[0])
        more = () if told is None else tuple(map(str, told.findings))
        return DayResult.of(
            plan, product, figures, changed, (*said, alarm) if alarm else said, more
        )

    def release(self, job: Job) -> None:
        """Forget what was prepared for the job: it has ended."""
        if self.party in job.plan.terms.parties:
            dataset = job.plan.terms.side(self.party).dataset
            with self._lock:
                self._waiting.pop(job.request.commitments.get(dataset, ""), None)

    # --- models ---------------------------------------------------------------------------------

    def model(self, clause: CrowdClause, contract: Contract) -> StoredModel:
        """The newest model held under the clause; `Refusal` ``crowd.untrained``."""
        found = self._newest(clause, contract)
        if found is None:
            raise Refusal(
                "crowd.untrained", f"{self.party} holds no model of {clause.name!r} under these terms",
                remedy=f"train one first: hanse crowd-days train {clause.name}", where=self.party,
            )  # fmt: skip
        return found

    def _newest(self, clause: CrowdClause, contract: Contract) -> StoredModel | None:
        held = [
            m for m in self.shelf.all()
            if m.name == clause.name and m.state == "held" and m.note["contract"] == contract.id
            and m.note["clause"] == clause.digest
        ]  # fmt: skip
        return held[-1] if held else None


def _nothing_of(dataset: Dataset, error: HanseError) -> str:
    return f"{dataset.name} brings nothing to this job: [{error.code}] {error.message}"


__all__ = ["FOLDER", "CrowdDesk", "Prepared"]
