"""Datasets over small files that tests write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from hanse.catalog import Dataset

Maker = Callable[..., Dataset]


@pytest.fixture
def make_dataset(tmp_path: Path) -> Maker:
    """Write `rows` (columns by name) as CSV or Parquet and describe them as a dataset."""

    def make(
        rows: dict[str, Any] | None = None,
        *,
        suffix: str = ".parquet",
        text: str | None = None,
        **fields: Any,
    ) -> Dataset:
        path = tmp_path / f"rows{suffix}"
        if text is not None:
            path.write_text(text, encoding="utf-8")
        elif rows is not None:
            table = pa.table(rows)
            if suffix == ".parquet":
                pyarrow.parquet.write_table(table, path)
            else:
                pyarrow.csv.write_csv(table, path)
        document = {
            "name": "visits",
            "source": {"path": str(path)},
            "ids": [{"column": "person", "type": "household"}],
            "columns": [],
            "classification": "personal",
            "description": "made by a test",
            "legal_basis": "consent",
            "evidence": "register of consents",
        }
        return Dataset.model_validate(document | fields)

    return make
