"""Models of a rehearsal, in scikit-learn's words: `fit`, `predict`, `predict_proba`, `score`.

The jobs are those that nodes run: the same plans, gates, ledgers, uploads and locks, in threads over a hall. Every
party keeps its part on a shelf of its own, and nothing here holds the whole model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hanse import menu
from hanse.catalog.scan import id_expression
from hanse.catalog.sources import open_source
from hanse.contracts import permitting_parties
from hanse.contracts.models import CONTRIBUTIONS, SCORE, TRAIN, ModelClause
from hanse.contracts.requests import providers_of
from hanse.entropy import Entropy
from hanse.errors import Fault, HanseError, Refusal
from hanse.learn.evaluation.plain import MAIN
from hanse.node.jobs.roles import Job
from hanse.node.models.desk import ModelDesk
from hanse.node.models.scoring import Written
from hanse.node.models.training import model_request, run_model_role
from hanse.rehearsal.asking import World, end_of, member_of, named
from hanse.rehearsal.running import Desk, Ran, run
from hanse.wire import Hall

if TYPE_CHECKING:
    from hanse.rehearsal.federation import Federation

CLASSIFIERS = ("logistic", "multinomial")


def clause(
    name: str,
    kind: str,
    target: str,
    features: Mapping[str, Sequence[str]],
    terms: Mapping[str, Any],
) -> dict[str, Any]:
    """The contract's clause about a model; ``target`` is "dataset.column", weight and offset are of its dataset."""
    dataset, dot, column = target.partition(".")
    if not dot:
        raise Fault("rehearsal.target", f"{target!r} does not name a column",
                    remedy='write target="dataset.column"')  # fmt: skip
    usual: dict[str, Any] = {
        "name": name, "kind": kind,
        "target": {"dataset": dataset, "column": column}
        | {k: terms[k] for k in ("weight", "offset") if k in terms},
        "features": [{"dataset": d, "columns": list(c)} for d, c in features.items()],
        "alignment": "open" if kind == "boosting" else "hidden", "authorisation": "authorised-by-people",
        "evidence": "a rehearsal: to be agreed", "maximum_trainings": 1000, "least_rows": 20,
        "expiry_days": 3650, "maximum_trees": 10_000,
    }  # fmt: skip
    return usual | {k: v for k, v in terms.items() if k not in ("weight", "offset")}


@dataclass
class Model:
    """One model of a federation. Made by `Federation.model`; its clause is in ``federation.contract``.

    ``training`` is the job of the last `fit`; ``metrics`` are from the rows kept apart, ``coefficients`` by party
    and column, as far as they are told.
    """

    federation: Federation
    name: str
    training: str = ""
    metrics: dict[str, float | None] = field(default_factory=dict)
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0

    def __repr__(self) -> str:
        return f"<Model {self.name!r}, {'trained' if self.training else 'not trained'}>"

    @property
    def clause(self) -> ModelClause:
        found = self.federation.contract.model(self.name)
        if found is None:
            raise Fault("rehearsal.model", f"the contract has no model {self.name!r}")
        return found

    @property
    def parties(self) -> tuple[str, ...]:
        """Who holds a part."""
        return tuple(p for p, card in self.cards.items() if p in card["holds"])

    @property
    def coefficients(self) -> dict[str, dict[str, float]]:
        """By party, the coefficients of its own columns (of the first class, if there are several)."""
        found = {}
        for party in self.parties:
            block = self._block(party)
            if block.get("form") == "linear":
                found[party] = dict(zip(block["columns"], block["coefficients"][0], strict=True))
        return found

    def _block(self, party: str) -> dict[str, Any]:
        document = self.federation.party(party).models.document(self.training)
        block: dict[str, Any] = document["block"]
        return block

    def fit(self, *, analyst: str = "", **settings: Any) -> Self:
        """Train with these settings (l2, holdout, trees and so on); the first refusal of any party is raised."""
        made, job, seconds = _asked(
            self.federation, TRAIN, {"model": self.name, **settings}, analyst
        )
        self.training, self.seconds = job.request.job_hash, seconds
        self.cards = {party: result.card for party, result in made.items()}
        told = [card["metrics"] for card in self.cards.values() if card["metrics"]]
        self.metrics = dict(told[0]) if told else {}
        return self

    def contributions(self, *, analyst: str = "", **settings: Any) -> dict[str, Any]:
        """What each party adds, from models of all coalitions (`learn.jobs.contributions`), as plain values.

        The clause says in ``contributions`` who is told; settings are those of `fit`.
        """
        made, _, self.seconds = _asked(
            self.federation, CONTRIBUTIONS, {"model": self.name, **settings}, analyst
        )
        body: dict[str, Any] = next(iter(made.values())).body()
        return body

    def predict_table(self, receiver: str = "") -> pa.Table:
        """Ids and scores of every row of the receiver's dataset, null where not all parties have the row.

        ``receiver``: by default the first party that the clause names.
        """
        parameters = {
            "model": self.name, "training": self._trained(),
            "receiver": receiver or next(iter(self.clause.scores), ""),
        }  # fmt: skip
        made, _, self.seconds = _asked(self.federation, SCORE, parameters, "")
        (table,) = made.values()
        return table

    def predict_proba(self, receiver: str = "") -> NDArray[np.float64]:
        """Probabilities [rows, classes] in the order of the receiver's table, NaN where there is no score."""
        if self.clause.kind not in (*CLASSIFIERS, "boosting"):
            raise Refusal("rehearsal.classes", f"a {self.clause.kind} model has no classes",
                          remedy="use predict")  # fmt: skip
        found = self._in_order(receiver)
        return np.column_stack([1 - found[:, 0], found[:, 0]]) if found.shape[1] == 1 else found

    def predict(self, receiver: str = "") -> NDArray[Any]:
        """Expected labels [rows] in the order of the receiver's table, NaN where there is none; of classes the
        likeliest (numbered from 0)."""
        found = self._in_order(receiver)
        if self.clause.kind not in CLASSIFIERS:
            return found[:, 0]
        missing = np.isnan(found[:, 0])
        best = (found[:, 0] >= 0.5) if found.shape[1] == 1 else np.nan_to_num(found).argmax(axis=1)
        return np.where(missing, np.nan, best.astype(np.float64))

    def score(self, metric: str = "") -> float:
        """How good the last `fit` is on the rows kept apart: ``metric``, or what its kind is judged by first."""
        self._trained()
        wanted = metric or MAIN.get(self.clause.kind, "auc" if "auc" in self.metrics else "rmse")
        found = self.metrics.get(wanted)
        if found is None:
            known = ", ".join(k for k, v in self.metrics.items() if v is not None) or "none"
            raise Fault("rehearsal.metric", f"the model has no metric {wanted!r}",
                        remedy=f"ask for one of: {known}")  # fmt: skip
        return float(found)

    def _trained(self) -> str:
        if not self.training:
            raise Fault(
                "rehearsal.model", f"{self.name!r} is not trained yet", remedy="fit() it first"
            )
        return self.training

    def _in_order(self, receiver: str) -> NDArray[np.float64]:
        table = self.predict_table(receiver)
        receiver = receiver or next(iter(self.clause.scores))
        columns = [
            np.asarray(table.column(n).to_numpy(), np.float64) for n in table.column_names[1:]
        ]
        values = np.column_stack(columns)
        place = {text: number for number, text in enumerate(table.column("id").to_pylist())}
        texts = _ids(self.federation.world(), self.clause, receiver)
        out = np.full((len(texts), values.shape[1]), np.nan)
        for number, text in enumerate(texts):
            if text in place:
                out[number] = values[place[text]]
        return out


def _ids(world: World, clause: ModelClause, receiver: str) -> list[str]:
    """The receiver's ids as they are written, in the order of its table."""
    for name in clause.datasets:
        described = world.datasets[name]
        if described.provider == receiver:
            with open_source(described.dataset) as source:
                query = (
                    f"SELECT {id_expression(source, described.dataset.ids[0])} AS id FROM source"
                )
                return [t for batch in source.stream(query) for t in batch.column("id").to_pylist()]
    raise Refusal("rehearsal.receiver", f"{receiver} brings no rows to {clause.name!r}")


# --- one job ----------------------------------------------------------------------------------------


def _asked(
    federation: Federation, computation: str, parameters: dict[str, Any], analyst: str
) -> tuple[dict[str, Any], Job, float]:
    """What every recipient ends with, the job, and the seconds that its roles took."""
    world, attempt = federation.world(), federation.next_job()
    contract = world.bundle.contract
    analyst = analyst or next(iter(world.members))
    entry = menu.entry(computation)
    plan = entry.planned(parameters, contract, 0.0, False, world.library)
    nonce = world.entropy(f"{attempt}|nonce").take(16).hex()

    def draft(commitments: dict[str, str]) -> Job:
        request = model_request(
            contract, plan, computation=computation, parameters=parameters, analyst=analyst,
            attempt=attempt, created=world.clock.now(), nonce=nonce, commitments=commitments,
        )  # fmt: skip
        return Job(request, contract, entry, plan)

    job = draft({})
    member_of(world, analyst).gate(world.bundle).preview(job.request, plan)
    with tempfile.TemporaryDirectory(prefix="hanse-rehearsal-") as folder:
        desks = {
            party: _desk(world, party, world.entropy(f"{attempt}|desk {party}"), Path(folder))
            for party in {*permitting_parties(contract, job.request), *job.request.recipients}
        }
        commitments: dict[str, str] = {}
        for party in providers_of(contract, job.request):
            with named(party):
                gate = member_of(world, party).gate(world.bundle)
                gate.preview(job.request, plan)
                commitments |= desks[party].prepare(plan, contract, job.request)
        job = draft(commitments)
        results = _attempt(world, job, desks, attempt)
        kept = {
            party: pq.read_table(made.path) if isinstance(made, Written) else made
            for party, made in results.made.items()
        }
    return kept, job, results.ran.seconds


def _desk(world: World, party: str, entropy: Entropy, folder: Path) -> ModelDesk:
    member = member_of(world, party)
    return ModelDesk(
        party, member.models, lambda name: world.datasets[name].dataset, world.clock, entropy, folder,
        lambda _request, _line: None,
    )  # fmt: skip


@dataclass
class _Results:
    ran: Ran
    made: dict[str, Any]


def _attempt(world: World, job: Job, desks: Mapping[str, ModelDesk], number: int) -> _Results:
    """Admit, permit, run; what was reserved is given back if it stops before the commit."""
    request = job.request
    permitting = permitting_parties(job.contract, request)
    parties = sorted({*permitting, *request.recipients})
    gates = {p: member_of(world, p).gate(world.bundle) for p in parties}
    made: dict[str, Any] = {}
    books: dict[str, Desk] = {}
    try:
        for party, gate in gates.items():
            with named(party):
                (gate.admit if party in permitting else gate.preview)(request, job.plan)
        permits = [gates[party].permit(request) for party in permitting]
        for party, gate in gates.items():
            with named(party):
                gate.require_permits(request, permits)
        books = {p: Desk(gate, lambda _job: [], p in permitting) for p, gate in gates.items()}
        ran = run(
            job, books, lambda role: world.entropy(f"{number}|{role}"), tap=world.tap,
            patience=world.patience, progress=world.progress, play=_player(job, desks, made),
        )  # fmt: skip
    except BaseException as error:
        stopped = error if isinstance(error, HanseError) else Fault("rehearsal.interrupted", "")
        end_of(world, job, parties, stopped, {p for p, desk in books.items() if desk.joined})
        raise
    end_of(world, job, parties, None)
    return _Results(ran, dict(sorted(made.items())))


def _player(job: Job, desks: Mapping[str, ModelDesk], made: dict[str, Any]) -> Callable[..., None]:
    def play(
        hall: Hall, number: int, _job: Job, desk: Desk, entropy: Entropy, ran: Ran,
        progress: Callable[[str, str, float], None],
    ) -> None:  # fmt: skip
        party = job.roles[number][1]

        def report(step: str, share: float) -> None:
            desk.joined = desk.joined or job.is_joined(number, step)
            progress(job.names[number], step, share)

        lived = run_model_role(
            hall.channel(number), number, job, desks[party], entropy,
            lambda record: desk.commit(job.request, record), report,
        )  # fmt: skip
        if lived.meter is not None:
            ran.meters[number] = lived.meter
        ran.record = lived.record
        if lived.result is not None:
            made[party] = lived.result

    return play
