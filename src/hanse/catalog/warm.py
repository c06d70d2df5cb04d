"""Loading what reading needs before a job asks for it: DuckDB, Arrow, and the compiled kernels of identifiers."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hanse.catalog.datasets import parse_dataset
from hanse.catalog.identifiers import hash_identifiers
from hanse.catalog.requests import EventGroup, LabelRequest, RowRequest
from hanse.catalog.rows import read_rows

_PLAIN = {"phone": "+8613800138000", "email": "a@example.org", "name": "x"}


def warm_up() -> None:
    """Hash one identifier of each common type and read one small file."""
    for kind, text in _PLAIN.items():
        hash_identifiers(pa.array([text]), kind)
    with tempfile.TemporaryDirectory(prefix="hanse-") as folder:
        path = Path(folder) / "one.parquet"
        pq.write_table(
            pa.table(
                {"id": ["x", "y"], "at": [datetime(2026, 1, 1, tzinfo=UTC)] * 2, "v": ["a", "b"]}
            ),
            path,
        )
        dataset = parse_dataset(
            {
                "name": "warm", "source": {"path": str(path)}, "ids": [{"column": "id", "type": "name"}],
                "columns": [{"name": "at", "column": "at", "kind": "time"},
                            {"name": "v", "column": "v", "kind": "category"}],
                "classification": "public", "description": "warm-up", "legal_basis": "not-personal",
            }
        )  # fmt: skip
        request = RowRequest(
            id_type="name",
            capacity=2,
            events=(EventGroup(name="e", time="at", origin=datetime(2026, 1, 1, tzinfo=UTC)),),
            labels=(LabelRequest(name="v", column="v", values=("a", "b")),),
        )
        read_rows(dataset, request)
