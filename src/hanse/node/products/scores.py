"""Scores that scoring jobs left at this node, read page by page until they are collected or their time is over.

A job's scores lie in one Parquet file (`hanse.node.models.scoring`): an id a row, and a score or one score a class,
null where not all parties have the row. They are read while the job's contract lives, for as many days as it keeps
working copies; whoever collects the file at the node takes it from here as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from hanse.clock import Clock
from hanse.errors import Fault, Refusal
from hanse.node.storage.contracts import LIVE, bundle_of
from hanse.node.storage.store import Store

Document = dict[str, Any]
_JOB = re.compile("[0-9a-f]{64}")
_CLASS = "score_"


@dataclass(frozen=True, slots=True)
class ScoreFile:
    """One job's scores: of how many rows, how many have one, and until when they are read."""

    job: str
    model: str
    contract: str
    rows: int
    scored: int
    made: datetime
    until: datetime
    path: Path


class ScoreFiles:
    """The files in ``folder``, those of jobs that this node knows. Thread-safe."""

    def __init__(self, store: Store, folder: Path | None, clock: Clock) -> None:
        self._store = store
        self._folder = folder
        self._clock = clock

    def all(self) -> list[ScoreFile]:
        """What can be read now, the newest first."""
        names = [] if self._folder is None else [p.stem for p in self._folder.glob("*.parquet")]
        found = [f for name in names if (f := self.find(name)) is not None]
        return sorted(found, key=lambda f: (f.made, f.job), reverse=True)

    def find(self, job: str) -> ScoreFile | None:
        """A job's scores, if they can be read now."""
        if self._folder is None or _JOB.fullmatch(job) is None:
            return None
        stored = self._store.jobs.get(job)
        result = (stored.result or {}).get("result") if stored is not None else None
        if stored is None or not isinstance(result, dict) or not result.get("scores"):
            return None
        agreed = self._store.contracts.by_hash(stored.contract)
        path = self._folder / f"{job}.parquet"
        try:
            made = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except OSError:
            return None  # collected, or over
        if agreed is None or agreed.state != LIVE:
            return None
        kept = bundle_of(agreed).contract.retention_days
        until = made + timedelta(days=kept)
        if self._clock.now() >= until:
            return None  # the node's next tidying deletes it
        return ScoreFile(
            job, str(result["model"]), str(stored.request["contract_id"]), int(result["rows"]),
            int(result["scored"]), made, until, path,
        )  # fmt: skip

    def page(self, file: ScoreFile, first: int, count: int) -> list[Document]:
        """``count`` rows from ``first`` on: {"id", "score", "scores"}. `Refusal` ``model.scores``."""
        rows: list[Document] = []
        with self.open(file) as data, _readable(file), pq.ParquetFile(data) as parquet:
            begins = 0
            for number in range(parquet.num_row_groups):
                size = parquet.metadata.row_group(number).num_rows
                if begins + size > first and len(rows) < count:
                    group = parquet.read_row_group(number)
                    start = max(0, first - begins)
                    rows += _rows(group.slice(start, count - len(rows)))
                begins += size
        return rows

    def open(self, file: ScoreFile) -> IO[bytes]:
        """The file itself, readable until it is closed, collected or not. `Refusal` ``model.scores``."""
        try:
            return file.path.open("rb")
        except OSError as error:
            raise Refusal("model.scores", "these scores are not at this node any more",
                          remedy="score again; scores are kept until they are collected, or their time is over",
                          ) from error  # fmt: skip


@contextmanager
def _readable(file: ScoreFile) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise Fault("model.damaged", "the file with the scores cannot be read",
                    remedy="score again", where=file.path.name) from error  # fmt: skip


def _rows(table: pa.Table) -> list[Document]:
    columns = [name for name in table.column_names if name != "id"]
    several = columns != ["score"]
    rows = []
    for row in table.to_pylist():
        scores = None
        if several and row[columns[0]] is not None:
            scores = {name.removeprefix(_CLASS): row[name] for name in columns}
        rows.append({"id": row["id"], "score": None if several else row["score"], "scores": scores})
    return rows
