"""What one party brings to a model job: its rows read, committed to, and made ready to be sent or played.

Nothing is sent here; what is ready waits at the desk (`desk`) until the job is signed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hanse.catalog import Dataset
from hanse.catalog.numbers import NumberRequest, read_numbers
from hanse.contracts import Contract, JobRequest
from hanse.contracts.models import CONTRIBUTIONS, TRAIN
from hanse.entropy import Entropy
from hanse.gate.scores import send_lock_seeds
from hanse.learn.jobs import linear, pooled, trees
from hanse.learn.jobs.blocks import LinearBlock
from hanse.learn.jobs.committed import Recorder, Upload, commitment_of
from hanse.learn.jobs.sealed import SECRET_BYTES, KeptEntropy, Seal, opening_of
from hanse.learn.jobs.terms import HomeRows, Side, Terms
from hanse.learn.scoring import batch
from hanse.node.models.opened import OpenHome
from hanse.node.models.parts import ModelShelf
from hanse.node.models.scoring import partial_rows, units_of
from hanse.node.models.single import SingleRows
from hanse.wire import Channel

Seeds = tuple[bytes, bytes, bytes]
Send = Callable[[Channel, Mapping[str, str]], None]  # with everybody's commitments by party


@dataclass(frozen=True)
class Ready:
    """The commitment, how to send what it is over, what stays at home, what opens it to an auditor (`audit`)."""

    commitment: str
    send: Send
    home: Any
    opening: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bringer:
    """Reads datasets of ``party``; ``dataset`` gives one by name, ``single`` knows which row is asked about."""

    party: str
    shelf: ModelShelf
    dataset: Callable[[str], Dataset]
    single: SingleRows

    def ready(
        self, plan: Any, contract: Contract, side: Side, request: JobRequest, seeds: Seeds, entropy: Entropy
    ) -> Ready:  # fmt: skip
        """Read what the job needs of this party's rows, and commit to it."""
        secret = entropy.take(SECRET_BYTES)
        if plan.way == "open":
            return self._open(plan, contract, side, request, secret)
        if request.computation in (TRAIN, CONTRIBUTIONS):
            return self._training(plan, contract, side, seeds, secret, entropy)
        return self._scoring(plan, contract, side, seeds, entropy)

    def _training(
        self, plan: linear.LinearPlan, contract: Contract, side: Side, seeds: Seeds, secret: bytes,
        entropy: Entropy,
    ) -> Ready:  # fmt: skip
        rows, seal = self._sealed_rows(plan, contract, side, secret, train=True)
        home, parts = linear.at_home(plan, self.party, rows, contract.id)
        recorder = Recorder()
        send_lock_seeds(recorder, self.party, seeds)
        linear.share(recorder, plan, home, parts, entropy)
        upload = Upload.of(self.party, recorder, entropy, seal.root)

        def send(channel: Channel, commitments: Mapping[str, str]) -> None:
            if plan.hidden:
                upload.send(channel)
            else:
                linear.send_open(channel, plan, upload, seal, parts, commitments)

        return Ready(upload.commitment, send, home, opening_of(secret, upload.parts[:-1]))

    def _open(
        self, plan: Any, contract: Contract, side: Side, request: JobRequest, secret: bytes
    ) -> Ready:
        train = request.computation == TRAIN
        rows, seal = self._sealed_rows(plan, contract, side, secret, train=train)
        if isinstance(plan, trees.TreesPlan):
            trees.check_rows(plan, self.party, rows)
        elif isinstance(plan, pooled.PooledPlan):
            pooled.home_of(plan, self.party, rows, contract.id)
        return Ready(seal.commitment, _nothing, OpenHome(rows, seal), opening_of(secret))

    def _sealed_rows(
        self, plan: Any, contract: Contract, side: Side, secret: bytes, *, train: bool
    ) -> tuple[HomeRows, Seal]:
        """This party's rows of a training (or an open scoring), and their seal under the secret."""
        owner = self.party == plan.terms.label_party or plan.terms.clause.horizontal
        texts = not train and plan.question.receiver == self.party
        rows = self._read(plan.terms, contract, side, target=train and owner, texts=texts)
        names = [t.name for t in side.terms]
        return rows, Seal.of(self.party, names, rows, KeptEntropy(secret))

    def audit(self, plan: Any, contract: Contract, opening: Mapping[str, Any]) -> str:
        """The commitment of this party's rows as they are now, under what opens that of a training of ``plan``."""
        side = plan.terms.side(self.party)
        secret = bytes.fromhex(str(opening["secret"]))
        _, seal = self._sealed_rows(plan, contract, side, secret, train=True)
        parts = [bytes.fromhex(part) for part in opening["parts"]]
        return commitment_of([*parts, seal.root]) if parts else seal.commitment

    def _scoring(
        self, plan: batch.ScoringPlan, contract: Contract, side: Side, seeds: Seeds, entropy: Entropy
    ) -> Ready:  # fmt: skip
        training, dataset = plan.question.training, self.dataset(side.dataset)
        block, receiver = self.block(training), plan.question.receiver == self.party
        texts = receiver and not plan.single
        wanted = wanted_of(plan.terms, contract, side, target=False, texts=texts)
        if plan.single:
            lookup = self.single.parts(training, dataset, wanted, block)
            rows = lookup.one(self.single.asked(plan), self.party) if receiver else lookup.rows
        else:
            rows = partial_rows(dataset, wanted, block)
        recorder = Recorder()
        send_lock_seeds(recorder, self.party, seeds)
        places = batch.share(
            recorder, plan, self.party, rows.ids, rows.partial, units_of(block), entropy
        )
        upload = Upload.of(self.party, recorder, entropy)
        return Ready(upload.commitment, lambda channel, _: upload.send(channel), (rows, places))

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

    def document(self, training: str) -> dict[str, Any]:
        block: dict[str, Any] = self.shelf.document(training)["block"]
        return block

    def block(self, training: str) -> LinearBlock:
        return LinearBlock.of(self.document(training))


def rows_in(home: Any) -> int:
    """How many rows were prepared."""
    if isinstance(home, linear.LinearHome):
        return home.rows
    rows = home.rows if isinstance(home, OpenHome) else home[0]
    return int(rows.ids.size)


def _nothing(_channel: Channel, _commitments: Mapping[str, str]) -> None:
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
