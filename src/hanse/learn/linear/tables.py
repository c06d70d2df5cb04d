"""Anybody's Parquet and CSV files as ids, feature columns and a label.

Numbers and booleans are features as they are; a text column becomes one column a value, the most frequent one left
out (one-hot). Ids are compared as text, whole numbers without a decimal point, so that files that store them
differently still match.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from hanse.errors import Fault, Refusal
from hanse.learn.linear.home import Columns

MOST_VALUES = 32  # of a text column
U64 = NDArray[np.uint64]


@dataclass(frozen=True)
class Table:
    """One party's rows: ids as 64-bit hashes, a second hash that parts rows for the test, features, label."""

    name: str
    ids: U64
    lots: NDArray[np.float64]  # in [0, 1), the same at every party for the same id
    columns: Columns
    label: NDArray[np.float64] | None
    weight: NDArray[np.float64] | None = None  # of rows, at the party with the label
    offset: NDArray[np.float64] | None = None  # added to the predictor; there as well

    @property
    def rows(self) -> int:
        return int(self.ids.size)


def read(
    path: Path, id_column: str, label: str | None = None, name: str = "", *,
    weight: str | None = None, offset: str | None = None,
) -> Table:  # fmt: skip
    """The file's rows; the party is called by the file's name unless ``name`` is given.

    ``weight`` and ``offset`` are columns of the party with the label. `Fault` where the file cannot be read,
    `Refusal` where a column cannot serve.
    """
    return table_of(_loaded(path), id_column, label, name or path.stem, str(path.name),
                    weight=weight, offset=offset)  # fmt: skip


def table_of(
    table: Any, id_column: str, label: str | None, name: str, where: str, *,
    weight: str | None = None, offset: str | None = None,
) -> Table:  # fmt: skip
    """The same for an Arrow table."""
    for wanted in (id_column, label, weight, offset):
        if wanted is not None and wanted not in table.column_names:
            raise Fault("learn.column", f"there is no column {wanted!r}", where=where,
                        remedy=f"its columns are {', '.join(table.column_names[:20])}")  # fmt: skip
    ids, lots = _hashed(table.column(id_column), where)
    names: list[str] = []
    values: list[NDArray[np.float64]] = []
    for column in table.column_names:
        if column not in (id_column, label, weight, offset):
            for made, array in _features(column, table.column(column), where):
                names.append(made)
                values.append(array)
    y, w, o = (
        None if column is None else _numbers(table.column(column), column, where)
        for column in (label, weight, offset)
    )
    matrix = np.stack(values, axis=1) if values else np.empty((ids.size, 0))
    return Table(name, ids, lots, Columns(tuple(names), matrix), y, w, o)


def _loaded(path: Path) -> Any:
    if not path.is_file():
        raise Fault(
            "learn.file",
            f"there is no file {path.name}",
            remedy="give the path of a Parquet or CSV file",
        )
    try:
        if path.suffix.lower() in (".csv", ".tsv"):
            options = pyarrow.csv.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",")
            return pyarrow.csv.read_csv(path, parse_options=options)
        return pyarrow.parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise Fault(
            "learn.file",
            f"{path.name} is not a readable Parquet or CSV file",
            remedy="open it in another program, or write it anew",
            detail=str(error),
        ) from error


def _hashed(column: Any, where: str) -> tuple[U64, NDArray[np.float64]]:
    if column.null_count:
        raise Refusal(
            "learn.id", f"{column.null_count} rows have no id", where=where, remedy="leave them out"
        )
    if pa.types.is_floating(column.type):
        values = column.to_numpy()
        if not (values == np.floor(values)).all():
            raise Refusal(
                "learn.id", "the ids are fractions", where=where, remedy="name another id column"
            )
        column = pa.chunked_array([pa.array(values.astype(np.int64))])
    text = column.cast(pa.string()).to_pylist()
    digests = b"".join(hashlib.sha256(t.strip().encode()).digest()[:16] for t in text)
    both = np.frombuffer(digests, "<u8").reshape(-1, 2)
    ids = both[:, 0].copy()
    if np.unique(ids).size != ids.size:
        raise Refusal("learn.id", "an id occurs twice", where=where,
                      remedy="keep one row for each id")  # fmt: skip
    return ids, both[:, 1] / 2.0**64


def _features(name: str, column: Any, where: str) -> list[tuple[str, NDArray[np.float64]]]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return [(name, _numbers(column, name, where))]
    if column.null_count:
        raise Refusal(
            "learn.missing",
            f"the column {name!r} has missing values",
            where=where,
            remedy="fill them in at home, for instance with a word of their own",
        )
    found = pc.value_counts(column)
    if len(found) > MOST_VALUES:
        raise Refusal("learn.text", f"the text column {name!r} has more than {MOST_VALUES} values", where=where,
                      remedy="group its values, or leave the column out")  # fmt: skip
    ranked = sorted(zip(found.field("counts").to_pylist(), found.field("values").to_pylist(), strict=True),
                    key=lambda pair: (-pair[0], pair[1]))  # fmt: skip
    return [
        (f"{name}={value}", pc.equal(column, value).to_numpy().astype(np.float64))
        for _, value in ranked[1:]
    ]


def _numbers(column: Any, name: str, where: str) -> NDArray[np.float64]:
    kind = column.type
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if not (numeric or pa.types.is_boolean(kind)):
        raise Refusal("learn.type", f"the column {name!r} holds {kind}, not numbers", where=where,
                      remedy="turn it into numbers or text, or leave it out")  # fmt: skip
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float64)
