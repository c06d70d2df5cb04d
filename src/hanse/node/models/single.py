"""Single rows: which one this party asks about, and a party's rows or partial predictors by id, kept in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hanse.catalog import Dataset
from hanse.catalog.numbers import NumberRequest
from hanse.errors import Refusal
from hanse.learn.jobs.blocks import LinearBlock
from hanse.learn.jobs.terms import F64
from hanse.node.models.scoring import Lookup, WholeLookup

_MOST_KEPT = 4  # models whose rows are kept in memory


@dataclass
class SingleRows:
    """Thread-safe. Ids that are asked about stay here, under handles that mean nothing to anybody else."""

    party: str
    _asked: dict[str, str] = field(default_factory=dict)  # by handle
    _kept: dict[str, Lookup | WholeLookup] = field(default_factory=dict)
    _scores: dict[str, F64] = field(default_factory=dict)  # of trees, by job
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def expecting(self, handle: str, asked: str) -> Iterator[None]:
        """Remember, within, which id this party's own job is about; it is in no request."""
        with self._lock:
            self._asked[handle] = asked
        try:
            yield
        finally:
            with self._lock:
                self._asked.pop(handle, None)

    def asked(self, plan: Any) -> str:
        """The id that the job is about, at the party that asks."""
        with self._lock:
            text = self._asked.get(plan.question.handle)
        if text is None:
            raise Refusal("model.no-row", f"{self.party} knows no id for this job, so there is nothing to score",
                          remedy="ask with 'hanse model score-one MODEL ID' at the receiver's own node",
                          where=self.party)  # fmt: skip
        return text

    def parts(
        self, training: str, dataset: Dataset, wanted: NumberRequest, block: LinearBlock
    ) -> Lookup:
        """This party's partial predictors by id, kept until its data change."""
        with self._lock:
            known = self._kept.get(training)
        if isinstance(known, Lookup) and known.is_fresh(dataset):
            return known
        made = Lookup.of(dataset, wanted, block)
        self._keep(training, made)
        return made

    def rows(self, training: str, dataset: Dataset, wanted: NumberRequest) -> WholeLookup:
        """This party's rows by id, kept until its data change."""
        with self._lock:
            known = self._kept.get(training)
        if isinstance(known, WholeLookup) and known.is_fresh(dataset):
            return known
        made = WholeLookup.of(dataset, wanted)
        self._keep(training, made)
        return made

    def _keep(self, training: str, made: Lookup | WholeLookup) -> None:
        with self._lock:
            others = {k: v for k, v in self._kept.items() if k != training}
            self._kept = dict(list(others.items())[1 - _MOST_KEPT :]) | {training: made}

    def put(self, job: str, found: F64 | None) -> None:
        """Keep a score until the job's end asks for it."""
        if found is not None:
            with self._lock:
                self._scores[job] = found

    def take(self, job: str) -> F64:
        """The score that the job gave this party."""
        with self._lock:
            return self._scores.pop(job)

    def forget(self, job: str) -> None:
        """The job has ended."""
        with self._lock:
            self._scores.pop(job, None)
