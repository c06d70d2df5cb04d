"""Files of several parties as they are looked at together; the mark is a column of two kinds, or parted in two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanse.errors import Fault, Refusal
from hanse.learn.features.reading import Preparing, check_without, loaded, prepared
from hanse.learn.features.rehearsal import Party


def split_label(text: str) -> tuple[Path, str]:
    """FILE:COLUMN as (file, column). `Refusal` if it is none."""
    file, colon, column = text.rpartition(":")
    if not colon or not file or not column:
        raise Refusal("learn.label", f"{text!r} is not FILE:COLUMN",
                      remedy="write the file and its column, such as guest.parquet:y")  # fmt: skip
    return Path(file), column


def party_names(paths: Sequence[Path]) -> list[str]:
    """Parties are called by their files; files of one name get numbers."""
    stems = Counter(p.stem for p in paths)
    return [
        p.stem if stems[p.stem] == 1 else f"{p.stem}-{number}"
        for number, p in enumerate(paths, start=1)
    ]


def read_features(
    label: str, others: Sequence[Path], id_column: str, since: str | None, without: frozenset[str], *,
    period: bool = False,
) -> tuple[list[Party], NDArray[np.bool_], list[str]]:  # fmt: skip
    """(parties, the mark [rows] of the first, notes). ``period``: the mark parts an earlier and a later time."""
    file, column = split_label(label)
    paths = [file, *others]
    tables = [loaded(path) for path in paths]
    check_without(paths, Preparing(without=without))
    if column not in tables[0].column_names:
        raise Fault("learn.column", f"there is no column {column!r}", where=file.name,
                    remedy=f"its columns are {', '.join(tables[0].column_names[:20])}")  # fmt: skip
    if column == id_column:
        raise Refusal("learn.column", f"the column {column!r} cannot be both id and label", where=file.name,
                      remedy="name another label, or another id with --id")  # fmt: skip
    mark, notes = mark_of(tables[0].column(column), column, since, file.name, period=period)
    left_out = without | {column}
    parties = []
    for number, (name, path, table) in enumerate(
        zip(party_names(paths), paths, tables, strict=True)
    ):
        gone = left_out if number == 0 else without
        coded = Preparing("keep", without=gone, codes=True)
        spread = Preparing("indicator", without=gone)
        parties.append(
            Party(
                prepared(table, id_column, None, name, path.name, coded),
                prepared(table, id_column, None, name, path.name, spread),
            )
        )
    return parties, mark, notes


def mark_of(
    column: Any, name: str, since: str | None, where: str, *, period: bool
) -> tuple[NDArray[np.bool_], list[str]]:
    """(mark [rows], how it was made, in words): the later period, or the positive label."""
    if column.null_count:
        raise Refusal("learn.label", f"the column {name!r} has {column.null_count} missing values", where=where,
                      remedy="leave rows without it out")  # fmt: skip
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    what = "the later period" if period else "positive"
    if since is not None:
        try:
            limit = pa.scalar(since).cast(kind)
        except (pa.ArrowException, ValueError) as error:
            raise Refusal("learn.label", f"{since!r} is no value of the column {name!r}", where=where,
                          remedy=f"give a value of the type {kind}, a date as 2025-01-31",
                          detail=str(error)) from error  # fmt: skip
        mark = np.asarray(pc.greater_equal(column, limit).to_numpy(), np.bool_)
        notes = [f"{what} are rows with {name!r} of {since} or more"]
    else:
        mark, notes = _two_kinds(column, name, where, what)
    if mark.all() or not mark.any():
        which = "every row" if mark.all() else "no row"
        raise Refusal("learn.label", f"{which} is {what} by the column {name!r}, so there is nothing to tell apart",
                      where=where, remedy="choose another --since, or another column")  # fmt: skip
    return mark, notes


def _two_kinds(
    column: Any, name: str, where: str, what: str
) -> tuple[NDArray[np.bool_], list[str]]:
    values = sorted(pc.unique(column).to_pylist())
    if len(values) == 2:
        mark = np.asarray(pc.equal(column, values[1]).to_numpy(), np.bool_)
        return mark, [f"{what} are rows with {name!r} = {values[1]}"]
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if len(values) < 2:
        raise Refusal("learn.label", f"the column {name!r} has one value only in all rows", where=where,
                      remedy="name a column that takes two values or more")  # fmt: skip
    if not numeric:
        raise Refusal("learn.label", f"the column {name!r} has {len(values)} values, not two", where=where,
                      remedy="part it with --since VALUE: rows from that value on are the second kind")  # fmt: skip
    numbers = np.asarray(column.to_numpy(), np.float64)
    middle = float(np.median(numbers))
    return numbers > middle, [f"{what} are rows with {name!r} above its median, {middle:.6g}"]
