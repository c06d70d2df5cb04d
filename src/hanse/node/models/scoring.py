"""A party's part of scores, read in batches; scores on their way into a Parquet file; a look-up for single rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hanse.catalog import Dataset
from hanse.catalog.identifiers import Hasher
from hanse.catalog.numbers import NumberRequest, one_each, read_numbers, stream_numbers
from hanse.catalog.rows import choose_id_column
from hanse.errors import Refusal
from hanse.learn.jobs.blocks import LinearBlock, Units, predictions
from hanse.learn.jobs.terms import F64, U64, HomeRows
from hanse.learn.scoring.online import no_row
from hanse.node.disk import writing_to

FOLDER = "scores"
_ROWS_AT_ONCE = 1 << 17
Document = dict[str, Any]


@dataclass(frozen=True)
class PartialRows:
    """Hashed ids rising, this party's part of the predictors [rows, classes], ids as written if kept.

    ``missing`` rows were left out because a column that the model uses has no value.
    """

    ids: U64
    partial: F64
    texts: Any
    missing: int


def partial_rows(dataset: Dataset, wanted: NumberRequest, block: LinearBlock) -> PartialRows:
    """Read a dataset batch by batch, keeping 8 bytes a row and class beside its id."""
    ids, checks, partial, texts, missing = [], [], [], [], 0
    for batch in stream_numbers(dataset, wanted):
        part = block.partial(batch.values)
        whole = np.isfinite(part).all(axis=1)
        missing += int((~whole).sum())
        ids.append(batch.ids[whole])
        checks.append(batch.checks[whole])
        partial.append(part[whole])
        if wanted.texts:
            texts.append(batch.texts.cast(pa.large_string()).filter(pa.array(whole)))
    all_ids = np.concatenate(ids or [np.zeros(0, np.uint64)])
    all_checks = np.concatenate(checks or [np.zeros(0, np.uint64)])
    order = one_each(dataset, all_ids, all_checks, wanted.capacity)
    found = np.concatenate(partial or [np.zeros((0, block.classes))])[order]
    kept = None
    if wanted.texts:
        kept = pa.chunked_array(texts, pa.large_string()).combine_chunks().take(pa.array(order))
    return PartialRows(all_ids[order], found, kept, missing)


def units_of(block: LinearBlock | None, told: U64 | None = None) -> Any:
    """What a party knows of the label: [shift, scale] to share, or as it was told. Zero and one else."""
    if told is not None:
        shift, scale = np.asarray(told, np.uint64).view(np.float64)
        return np.array([shift, scale])
    if block is not None and block.label is not None:
        return np.array([block.label["shift"], block.label["scale"]])
    return np.array([0.0, 1.0])


def _predicted(family: str, eta: F64, units: NDArray[np.float64]) -> F64:
    found = predictions(family, eta, Units(float(units[0]), float(units[1])))
    return found.reshape(len(eta), -1)


# --- batches ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scored:
    """A receiver's rows (ids as written) with predictors [rows, classes]; with ``family`` "" these are scores.

    ``matched``: all parties have the row; ``missing`` rows were left out before.
    """

    model: str
    family: str
    classes: tuple[str, ...]
    texts: Any
    eta: F64
    matched: NDArray[np.bool_]
    units: NDArray[np.float64]
    missing: int = 0

    @staticmethod
    def ready(plan: Any, texts: Any, found: F64, matched: NDArray[np.bool_]) -> Scored:
        """Scores that need nothing more."""
        classes = plan.terms.target.values if found.shape[1] > 1 else ()
        return Scored(plan.question.model, "", classes, texts, found, matched, np.array([0.0, 1.0]))

    def batches(self) -> Iterator[Any]:
        """Tables of id and score, null where there is none; several classes have a column each."""
        several = self.eta.shape[1] > 1
        names = [f"score_{c}" for c in self.classes] if several else ["score"]
        for first in range(0, max(1, len(self.eta)), _ROWS_AT_ONCE):
            part = slice(first, first + _ROWS_AT_ONCE)
            found = self.eta[part]
            if self.family:
                found = _predicted(self.family, found, self.units)
            none = ~self.matched[part]
            columns = [pa.array(found[:, n], mask=none) for n in range(len(names))]
            texts = self.texts.slice(first, len(found))
            yield pa.table([texts, *columns], names=["id", *names])


@dataclass(frozen=True)
class Written:
    """Where a receiver's scores lie."""

    model: str
    path: Path
    rows: int
    scored: int
    missing: int

    def body(self) -> Document:
        """Plain values, as the job's result."""
        return {
            "model": self.model, "scores": self.path.name, "rows": self.rows, "scored": self.scored,
            "without_a_score": self.rows - self.scored, "missing_values": self.missing,
        }  # fmt: skip


def write_scores(folder: Path, job: str, scored: Scored) -> Written:
    """Write the scores to a Parquet file that only the node's user may read; whole or not at all."""
    path, new = folder / f"{job}.parquet", folder / f"{job}.parquet.new"
    with writing_to(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                writer = None
                for table in scored.batches():
                    writer = writer or pq.ParquetWriter(file, table.schema)
                    writer.write_table(table)
                if writer is not None:
                    writer.close()
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
    count = len(scored.eta)
    return Written(scored.model, path, count, int(scored.matched.sum()), scored.missing)


# --- one row ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OneScore:
    """The score of one row."""

    model: str
    score: float | None
    classes: dict[str, float]

    @staticmethod
    def of(plan: Any, eta: F64, family: str, units: NDArray[np.float64]) -> OneScore:
        return OneScore.ready(plan, _predicted(family, eta, units)[0])

    @staticmethod
    def ready(plan: Any, found: F64) -> OneScore:
        """Of a score, or of one score a class."""
        if found.size > 1:
            named = dict(zip(plan.terms.target.values, found.tolist(), strict=True))
            return OneScore(plan.question.model, None, named)
        return OneScore(plan.question.model, float(found[0]), {})

    def body(self) -> Document:
        """Plain values, as the job's result. The id is not in it."""
        found: Document = {"model": self.model}
        return found | ({"scores": self.classes} if self.classes else {"score": self.score})


@dataclass(frozen=True)
class _Look:
    """A party's rows by hashed id, of the data as they were when it was made."""

    hasher: Hasher
    version: tuple[Any, ...]

    def is_fresh(self, dataset: Dataset) -> bool:
        """Whether the dataset's files are those that were read; a database is read again each time."""
        return bool(self.version) and self.version == _version(dataset)

    def hashed(self, text: str) -> int:
        """An id as the parties know it; `Refusal` ``model.id`` if it is none."""
        found = self.hasher.hash(pa.array([text]))
        if not found.valid[0]:
            raise Refusal("model.id", "what was asked for is not a valid id",
                          remedy="give it as the ids in this party's dataset are written")  # fmt: skip
        return int(found.ids[0])


@dataclass(frozen=True)
class Lookup(_Look):
    """This party's partial predictors."""

    rows: PartialRows

    @staticmethod
    def of(dataset: Dataset, wanted: NumberRequest, block: LinearBlock) -> Lookup:
        version, hasher = _version(dataset), _hasher(dataset, wanted)
        return Lookup(hasher, version, partial_rows(dataset, wanted, block))

    def one(self, text: str, party: str) -> PartialRows:
        """The row of an id alone; `Refusal` ``model.no-row`` if ``party``, whose rows these are, has none."""
        hashed = self.hashed(text)
        part = self.partial(hashed)
        if part is None:
            raise no_row(party)
        return PartialRows(np.array([hashed], np.uint64), part.reshape(1, -1), None, 0)

    def partial(self, hashed: int) -> F64 | None:
        """The part [classes] of the row, or None if there is no such row."""
        place = int(np.searchsorted(self.rows.ids, np.uint64(hashed)))
        if place >= self.rows.ids.size or int(self.rows.ids[place]) != hashed:
            return None
        return np.asarray(self.rows.partial[place])


@dataclass(frozen=True)
class WholeLookup(_Look):
    """This party's rows with all columns."""

    rows: HomeRows

    @staticmethod
    def of(dataset: Dataset, wanted: NumberRequest) -> WholeLookup:
        version, hasher = _version(dataset), _hasher(dataset, wanted)
        found = read_numbers(dataset, wanted)
        return WholeLookup(hasher, version, HomeRows(found.ids, found.values, None))


def _hasher(dataset: Dataset, wanted: NumberRequest) -> Hasher:
    chosen = choose_id_column(dataset, wanted.id_type, wanted.chain)
    return Hasher(chosen.type, chosen.format, wanted.chain, chosen.region)  # type: ignore[arg-type]


def _version(dataset: Dataset) -> tuple[Any, ...]:
    path = getattr(dataset.source, "path", None)
    if path is None:
        return ()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    files += [w.path for w in dataset.withdrawals]
    try:
        return tuple((str(f), (found := f.stat()).st_size, found.st_mtime_ns) for f in files)
    except OSError:
        return ()
