"""A party's part of open model jobs: rows that are read before anybody signs, played with the other parties, kept.

What a party commits to is the seal of its rows (`learn.jobs.sealed`), which is in the signed request. The rows wait
in memory; before anything is shown they are hashed once more, and the keys that parties show are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hanse.entropy import Entropy
from hanse.errors import Fault
from hanse.gate.record import Record
from hanse.learn.horizontal.home import Home
from hanse.learn.horizontal.roles import Result
from hanse.learn.jobs import pooled, trees
from hanse.learn.jobs.keys import keys_in_common
from hanse.learn.jobs.sealed import KeysSealed, Seal
from hanse.learn.jobs.terms import F64, U64, HomeRows
from hanse.learn.scoring.online import no_row
from hanse.node.jobs.roles import Job, Progress
from hanse.node.models.scoring import OneScore, Scored
from hanse.wire import Channel

_U64 = np.dtype("<u8")


@dataclass
class OpenHome:
    """What lies at home during an open job: rows, then what came of them."""

    rows: HomeRows
    seal: Seal
    trained: trees.TreesHome | None = None
    pooled: tuple[Result, Home] | None = None
    keys: U64 | None = None
    scores: F64 | None = None


def play(
    channel: Channel, job: Job, party: str, home: OpenHome, block: Callable[[], dict[str, Any]],
    entropy: Entropy, hashes: Mapping[str, bytes],
) -> None:  # fmt: skip
    """Train or score with the other parties; the result is kept in ``home``. ``hashes``: of others' keys."""
    name = bytes.fromhex(job.request.job_hash)
    sealed = KeysSealed(home.seal.nonces[0], hashes)
    if isinstance(job.plan, trees.TreesPlan):
        home.trained = trees.train(
            channel, job.plan, party, home.rows, name, job.contract.id, Record(), entropy, sealed
        )
        return
    plan: trees.TreesScoring = job.plan
    home.keys = keys_in_common(channel, plan.terms.sides, home.rows.ids, "scoring", sealed)
    part = trees.block_of(block())
    home.scores = trees.score(channel, plan, party, home.rows, home.keys, part, name)


def play_pooled(
    channel: Channel, job: Job, party: str, home: OpenHome, entropy: Entropy, progress: Progress
) -> None:
    """Train with parties that have other rows of the same columns."""
    home.pooled = pooled.train(
        channel, job.plan, party, home.rows, job.contract.id, entropy, progress
    )


def made_of(job: Job, home: OpenHome) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """(the party's part as plain values, metrics, facts for the card) of a training that has ended."""
    if home.pooled is not None:
        result, rows = home.pooled
        return (
            pooled.body_of(result),
            pooled.metrics_of(job.plan, result, rows),
            pooled.facts_of(result),
        )
    if home.trained is None:
        raise Fault("model.training", "a training ended without a model")
    facts = {"trees": home.trained.trees, "rows": home.trained.rows}
    return home.trained.block.body(), dict(home.trained.metrics), facts


def play_one(
    channel: Channel, job: Job, party: str, rows: HomeRows, hashed: int | None, block: dict[str, Any]
) -> F64 | None:  # fmt: skip
    """Score one row: ``hashed`` is its id at the receiver, None at the others, who are told it."""
    plan: trees.TreesScoring = job.plan
    receiver = plan.terms.parties.index(plan.question.receiver)
    if hashed is None:
        hashed = int(channel.receive(receiver, "asked", _U64, (1,))[0])
    else:
        for other, name in enumerate(plan.terms.parties):
            if name != party:
                channel.send(other, "asked", np.array([hashed], np.uint64))
    key = np.array([hashed], np.uint64)
    place = np.searchsorted(rows.ids, key)
    if place[0] >= rows.ids.size or rows.ids[place[0]] != key[0]:
        raise no_row(party)
    attempt = bytes.fromhex(job.request.job_hash)
    return trees.score(channel, plan, party, rows, key, trees.block_of(block), attempt)


def scored(job: Job, home: OpenHome) -> Scored:
    """The receiver's rows with their scores, null where not all parties have the row."""
    if home.keys is None or home.scores is None:
        raise Fault("model.scores", "a scoring ended without scores")
    at = np.searchsorted(home.rows.ids, home.keys)
    matched = np.zeros(home.rows.ids.size, bool)
    matched[at] = True
    found = np.full((home.rows.ids.size, home.scores.shape[1]), np.nan)
    found[at] = home.scores
    return Scored.ready(job.plan, home.rows.texts, found, matched)


def one_score(job: Job, found: F64) -> OneScore:
    """The score of one row, [1, classes]."""
    return OneScore.ready(job.plan, found[0])
