"""Anybody's Parquet and CSV files as a party brings them to a model: ids, a label, columns of numbers.

Numbers and booleans are features as they are; a text column becomes one column a value, the most frequent one left
out (one-hot), rare values together; missing values of a number are filled with its mean and marked in a column of
their own. Ids are compared as text, whole numbers without a decimal point, so that files that store them
differently still match. What cannot serve is refused, with the file and the column named.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from hanse.errors import Fault, Refusal
from hanse.learn.linear.home import Columns
from hanse.learn.linear.tables import Table

MOST_VALUES = 32  # of a text column; rarer ones are put together
FEW_MISSING = 5  # missing values that are filled in without a mark
OTHER, MISSING = "(other)", "(missing)"
UNNAMED = re.compile(r"__index_level_\d+__|Unnamed: 0|")  # an index of pandas that has no name
Missing = Literal["indicator", "keep", "refuse"]
U64 = NDArray[np.uint64]
Column = NDArray[np.float64]


@dataclass(frozen=True)
class Prepared:
    """A party's table; what was done to its columns, in words; the names of a label's classes, if it has some;
    of text columns that were read as codes the values, by name; ``empty``: columns without any value, left out.
    """

    table: Table
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    empty: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preparing:
    """How columns are read. ``missing``: mark and fill in (indicator), leave as NaN (keep), or refuse.

    ``holdout`` is the share of ids whose values do not enter the means that are filled in. ``classes``: the label
    is one of two or more classes, so that text may name them. ``codes``: a text column is one column of numbers,
    which stand for its values (for bins), not a column a value (for models). ``rows_apart``: other files have other
    rows of the same columns, so no value of a text column is left out, and labels are not coded by one file alone.
    """

    missing: Missing = "indicator"
    holdout: float = 0.0
    classes: bool = False
    without: frozenset[str] = frozenset()
    codes: bool = False
    rows_apart: bool = False
    weight: str | None = None  # columns of the file with the label: what a row counts,
    offset: str | None = None  # and what is added to its predictor

    def beside(self, label: str | None) -> tuple[str, ...]:
        """Columns that belong to the label and are no features."""
        if label is None:
            return ()
        return tuple(name for name in (self.weight, self.offset) if name is not None)


def read_party(
    path: Path,
    id_column: str | None,
    label: str | None,
    name: str,
    how: Preparing = Preparing(),
) -> Prepared:
    """The file's rows as party ``name``. `Fault` where it cannot be read, `Refusal` where a column cannot serve."""
    return prepared(loaded(path), id_column, label, name, path.name, how)


def loaded(path: Path) -> Any:
    """A Parquet or CSV file as an Arrow table with at least one row, names unique."""
    if not path.is_file():
        raise Fault("learn.file", f"there is no file {path.name}", where=path.name,
                    remedy="give the path of a Parquet or CSV file")  # fmt: skip
    try:
        with path.open("rb") as file:
            parquet = file.read(4) == b"PAR1"
        if parquet or path.suffix.lower() in (".parquet", ".pq"):
            table = pyarrow.parquet.read_table(path)
        else:
            options = pyarrow.csv.ParseOptions(delimiter=_delimiter(path))
            table = pyarrow.csv.read_csv(path, parse_options=options)
            _check_encoding(table, path.name)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Fault("learn.file", f"{path.name} is not a readable Parquet or CSV file", where=path.name,
                    remedy="open it in another program, or write it anew",
                    detail=str(error)) from error  # fmt: skip
    twice = sorted({n for n in table.column_names if table.column_names.count(n) > 1})
    if twice:
        raise Refusal("learn.column", f"two columns are called {twice[0]!r}", where=path.name,
                      remedy="rename one of them")  # fmt: skip
    if table.num_rows == 0:
        raise Refusal(
            "learn.rows", "the file has no rows", where=path.name, remedy="give a file with rows"
        )
    return table


def _check_encoding(table: Any, where: str) -> None:
    """`Fault` for a CSV file in another encoding than UTF-8, which reads as bytes."""
    try:
        odd = any(pa.types.is_binary(table.schema.field(n).type) for n in range(len(table.schema)))
    except UnicodeDecodeError:  # a column's name
        odd = True
    if odd:
        raise Fault("learn.file", f"{where} is not in UTF-8", where=where,
                    remedy="save it as UTF-8; spreadsheets call it 'CSV UTF-8'")  # fmt: skip


def _delimiter(path: Path) -> str:
    """What parts the columns of a CSV file: the most frequent of the usual three in its first line."""
    with path.open("rb") as file:
        head = file.readline(1 << 16)
    return max(",;\t", key=lambda mark: head.count(mark.encode()))


def prepared(
    table: Any, id_column: str | None, label: str | None, name: str, where: str,
    how: Preparing = Preparing(),
) -> Prepared:  # fmt: skip
    """The same for an Arrow table; without an id column rows are numbered, which parties with own rows may do."""
    if how.rows_apart and id_column not in table.column_names:
        id_column = None
    _check_names(table, id_column, label, where, how)
    ids, lots = (
        _numbered(table.num_rows, name) if id_column is None
        else hashed(table.column(id_column), f"{where}, column {id_column}")
    )  # fmt: skip
    learning = lots >= how.holdout
    notes: list[str] = []
    names: list[str] = []
    empty: list[str] = []
    coded: dict[str, tuple[str, ...]] = {}
    values: list[Column] = []
    for column in table.column_names:
        if column in (id_column, label, *how.beside(label)) or column in how.without:
            continue
        if UNNAMED.fullmatch(column):  # it would tell the order of the rows
            notes.append(
                f"the column {column!r} holds row numbers that pandas stored, and is left out"
            )
            continue
        found = _features(column, table.column(column), where, how, learning, notes, coded)
        if not found:
            empty.append(column)
        for made, array in found:
            names.append(made)
            values.append(array)
    y: Column | None = None
    classes: tuple[str, ...] = ()
    if label is not None:
        y, classes = _label(table.column(label), label, where, how, notes)
    matrix = np.stack(values, axis=1) if values else np.empty((ids.size, 0))
    beside = {
        kind: _own_numbers(table.column(column), column, kind, where)
        for kind, column in (("weight", how.weight), ("offset", how.offset))
        if column in how.beside(label)
    }
    made_table = Table(name, ids, lots, Columns(tuple(names), matrix), y, **beside)
    told = tuple(f"{name}: {note}" for note in notes)
    return Prepared(made_table, told, classes, coded, tuple(empty))


def _check_names(
    table: Any, id_column: str | None, label: str | None, where: str, how: Preparing
) -> None:
    beside = how.beside(label)
    others = [(how.weight, "weight"), (how.offset, "offset")] if beside else []
    for wanted, what in ((id_column, "id"), (label, "label"), *others):
        if wanted is not None and wanted not in table.column_names:
            raise Fault("learn.column", f"there is no column {wanted!r}, which is to be the {what}", where=where,
                        remedy=f"its columns are {', '.join(table.column_names[:20])}")  # fmt: skip
    if label is not None and label == id_column:
        raise Refusal("learn.column", f"the column {label!r} cannot be both id and label", where=where,
                      remedy="name another label, or another id with --id")  # fmt: skip
    used = [id_column, label, *beside]
    twice = sorted({name for name in used if name is not None and used.count(name) > 1})
    if twice:
        raise Refusal("learn.column", f"the column {twice[0]!r} cannot serve twice", where=where,
                      remedy="name another column with --weight or --offset")  # fmt: skip
    if label is not None and label in how.without:
        raise Refusal("learn.column", f"the label {label!r} cannot be left out", where=where,
                      remedy="do not name it with --without")  # fmt: skip


def check_without(paths: Sequence[Path], how: Preparing) -> None:
    """`Refusal` where a column that is to be left out is in no file: it may be misspelt."""
    known = {name for path in paths for name in loaded(path).column_names} if how.without else set()
    for name in sorted(how.without - known):
        raise Refusal("learn.column", f"no file has a column {name!r} to leave out",
                      remedy="check the spelling after --without")  # fmt: skip


# --- ids --------------------------------------------------------------------------------------------


def hashed(column: Any, where: str) -> tuple[U64, Column]:
    """(ids as 64-bit hashes, in [0, 1) a number of each id's own that parts rows for the test)."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_boolean(kind):
        raise Refusal("learn.id", f"the ids are of the type {kind}", where=where,
                      remedy="name a column of numbers or text with --id")  # fmt: skip
    empty = column.null_count
    if pa.types.is_floating(kind):
        numbers = (
            column.to_numpy(zero_copy_only=False)
            if isinstance(column, pa.Array)
            else column.to_numpy()
        )
        empty = int(np.isnan(numbers).sum())  # what is null reads as NaN too
        if not empty and not (numbers == np.floor(numbers)).all():
            raise Refusal("learn.id", "the ids are fractions", where=where,
                          remedy="name another id column")  # fmt: skip
        if not empty and np.abs(numbers).max(initial=0.0) >= 2.0**53:
            raise Refusal("learn.id", "the ids are numbers too large to be exact", where=where,
                          remedy="store them as whole numbers or as text")  # fmt: skip
        column = pa.chunked_array([pa.array(numbers.astype(np.int64))]) if not empty else column
    if empty:
        raise Refusal(
            "learn.id", f"{empty} rows have no id", where=where, remedy="leave these rows out"
        )
    text = [t.strip() for t in column.cast(pa.string()).to_pylist()]
    blank = text.count("")
    if blank:
        raise Refusal(
            "learn.id", f"{blank} rows have no id", where=where, remedy="leave these rows out"
        )
    ids, lots = _digested(text)
    more = ids.size - np.unique(ids).size
    if more:
        raise Refusal("learn.id", f"an id occurs twice ({more} rows too many)", where=where,
                      remedy="keep one row for each id")  # fmt: skip
    return ids, lots


def _digested(text: Sequence[str]) -> tuple[U64, Column]:
    digests = b"".join(hashlib.sha256(t.encode()).digest()[:16] for t in text)
    both = np.frombuffer(digests, "<u8").reshape(-1, 2)
    return both[:, 0].copy(), both[:, 1] / 2.0**64


def _numbered(rows: int, name: str) -> tuple[U64, Column]:
    return _digested([f"{name}|{number}" for number in range(rows)])


# --- columns ----------------------------------------------------------------------------------------


def _features(
    name: str,
    column: Any,
    where: str,
    how: Preparing,
    learning: NDArray[np.bool_],
    notes: list[str],
    coded: dict[str, tuple[str, ...]],
) -> list[tuple[str, Column]]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if column.null_count == len(column):
        notes.append(f"the column {name!r} has no values at all and is left out")
        return []
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        if how.codes:
            codes, coded[name] = _coded(name, column, where, how, notes)
            return [(name, codes)]
        return _one_hot(name, column, where, how, notes)
    values = _numbers(column, name, where)
    if np.isinf(values).any():
        raise Refusal("learn.missing", f"the column {name!r} has infinite values", where=where,
                      remedy=f"replace them, or leave it out with --without {name}")  # fmt: skip
    gone = np.isnan(values)
    if gone.all():
        notes.append(f"the column {name!r} has no values at all and is left out")
        return []
    if not gone.any() or how.missing == "keep":
        return [(name, values)]
    if how.missing == "refuse":
        raise Refusal("learn.missing", f"the column {name!r} has {int(gone.sum())} missing values", where=where,
                      remedy="fill them in at home, or let them be marked with --missing indicator")  # fmt: skip
    known = values[learning & ~gone]
    middle = float(known.mean()) if known.size else float(values[~gone].mean())
    if min(gone.sum(), (~gone).sum()) < FEW_MISSING and not how.rows_apart:
        # A mark of a few rows would tell their labels, and have no coefficient that ends.
        notes.append(f"{int(gone.sum())} missing values of {name!r} are filled with its mean")
        return [(name, np.where(gone, middle, values))]
    notes.append(
        f"{int(gone.sum())} missing values of {name!r} are filled with its mean and marked by "
        f"'{name}={MISSING}'"
    )
    return [(name, np.where(gone, middle, values)), (f"{name}={MISSING}", gone.astype(np.float64))]


def _one_hot(
    name: str, column: Any, where: str, how: Preparing, notes: list[str]
) -> list[tuple[str, Column]]:
    words, ranked = _ranked(name, column, where, how)
    shown, rest = ranked[:MOST_VALUES], ranked[MOST_VALUES:]
    made = [
        (f"{name}={value}", pc.equal(words, value).to_numpy().astype(np.float64))
        for value in shown[0 if how.rows_apart else 1 :]
    ]
    if rest:
        rare = pc.is_in(words, value_set=pa.array(rest, words.type)).to_numpy().astype(np.float64)
        made.append((f"{name}={OTHER}", rare))
        notes.append(f"{len(rest)} rare values of {name!r} are put together as '{name}={OTHER}'")
    if not made:
        notes.append(f"the column {name!r} has one value only and is left out")
        return []
    beside = "" if how.rows_apart else f", beside {ranked[0]!r}"
    notes.append(f"the text column {name!r} is one column a value{beside}")
    return made


def _coded(
    name: str, column: Any, where: str, how: Preparing, notes: list[str]
) -> tuple[Column, tuple[str, ...]]:
    """(codes [rows], the values they stand for)."""
    words, ranked = _ranked(name, column, where, how)
    shown, rest = ranked[:MOST_VALUES], ranked[MOST_VALUES:]
    place = {value: float(number) for number, value in enumerate(shown)}
    codes = np.array([place.get(value, float(len(shown))) for value in words.to_pylist()])
    if rest:
        notes.append(f"{len(rest)} rare values of {name!r} are put together as '{name}={OTHER}'")
    return codes, (*shown, OTHER) if rest else tuple(shown)


def _ranked(name: str, column: Any, where: str, how: Preparing) -> tuple[Any, list[str]]:
    """(the column, missing values as a word of their own, its values, the most frequent first)."""
    column = _blanks_missing(column)
    gone = column.null_count
    if gone and how.missing == "refuse":
        raise Refusal("learn.missing", f"the column {name!r} has {gone} missing values", where=where,
                      remedy="fill them in at home, for instance with a word of their own")  # fmt: skip
    words = pc.fill_null(column, MISSING)
    found = pc.value_counts(words)
    values, counts = found.field("values").to_pylist(), found.field("counts").to_pylist()
    if len(values) > MOST_VALUES and 2 * len(values) > len(column):
        numbers = sum(_is_number(value) for value in values)
        mostly = f"; {numbers} of them are numbers" if 2 * numbers > len(values) else ""
        remedy = "group its values"
        if mostly:
            others = "turn the others into numbers or leave them empty"
            remedy = "store it as numbers" if numbers == len(values) else others
        raise Refusal(
            "learn.text", f"the text column {name!r} has {len(values)} values in {len(column)} rows{mostly}",
            where=where, remedy=f"{remedy}, or leave it out with --without {name}",
        )  # fmt: skip
    return words, [
        v for _, v in sorted(zip(counts, values, strict=True), key=lambda pair: (-pair[0], pair[1]))
    ]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _blanks_missing(column: Any) -> Any:
    """Text with nothing in it is missing: so CSV files have it."""
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)


def _numbers(column: Any, name: str, where: str) -> Column:
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        dated = pa.types.is_temporal(kind)
        raise Refusal(
            "learn.type", f"the column {name!r} holds {kind}, not numbers", where=where,
            remedy=("turn dates into numbers, such as days before a fixed day" if dated
                    else "turn it into numbers or text") + f", or leave it out with --without {name}",
        )  # fmt: skip
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)


def _own_numbers(column: Any, name: str, kind: str, where: str) -> Column:
    """A column of weights or offsets; what they must be is checked where the family is known."""
    try:
        return _numbers(column, name, where)
    except Refusal as refused:
        raise Refusal(
            "learn.type", f"the {kind} {name!r} does not hold numbers", where=where,
            remedy=f"turn it into numbers, or name another column with --{kind}",
        ) from refused  # fmt: skip


# --- the label --------------------------------------------------------------------------------------


def _label(
    column: Any, name: str, where: str, how: Preparing, notes: list[str]
) -> tuple[Column, tuple[str, ...]]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = _blanks_missing(column)
    if column.null_count:
        raise Refusal("learn.label", f"the label {name!r} has {column.null_count} missing values", where=where,
                      remedy="leave rows without a label out")  # fmt: skip
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        values = _numbers(column, name, where)
        if not np.isfinite(values).all():
            raise Refusal("learn.label", f"the label {name!r} has missing or infinite values", where=where,
                          remedy="leave these rows out")  # fmt: skip
        kinds = np.unique(values)
        if (
            how.classes
            and not how.rows_apart
            and kinds.size == 2
            and not np.isin(kinds, (-1, 0, 1)).all()
        ):
            notes.append(f"the label is coded {kinds[0]:g} = 0, {kinds[1]:g} = 1")
            return (values == kinds[1]).astype(np.float64), ()
        return values, ()
    if not how.classes:
        raise Refusal("learn.type", f"the label {name!r} holds text, not numbers", where=where,
                      remedy="turn it into numbers, or take the model logistic or multinomial")  # fmt: skip
    words = sorted(set(column.to_pylist()))
    place = {word: float(number) for number, word in enumerate(words)}
    if not how.rows_apart:
        notes.append(coding(words))
    return np.array([place[w] for w in column.to_pylist()]), tuple(words)


def coding(words: Sequence[str]) -> str:
    """How classes are coded, in words."""
    return "the label is coded " + ", ".join(f"{w!r} = {n}" for n, w in enumerate(words[:12]))
