"""People who withdrew: their hashed ids, so that they are left out before anything leaves.

Lists are compared as hashes of normal forms, so a number written differently in the list is found
all the same. A list may name people by another id type than the contract joins on; then the dataset's
own rows tell whose ids belong together, and all rows of such a person are left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanse.catalog.datasets import Dataset, HashChain, IdColumn, Withdrawals
from hanse.catalog.expressions import as_text, identifier
from hanse.catalog.files import define_view, find_type, types_of
from hanse.catalog.identifiers import Hasher, serves
from hanse.catalog.scan import id_expression
from hanse.catalog.sources import Source
from hanse.errors import Fault

Longs = NDArray[np.uint64]
_CHAINS: tuple[HashChain, ...] = ("sha256", "md5+sha256")


def withdrawn_people(source: Source, dataset: Dataset, chosen: IdColumn, chain: HashChain) -> Longs:
    """Sorted hashed join ids of everybody on the dataset's lists, ``uint64[people]``.

    Raises `Fault` where a list is missing or cannot be read: a job must not run without it.
    """
    found = [np.zeros(0, np.uint64)]
    for number, listing in enumerate(dataset.withdrawals):
        column, common = matching_column(dataset, listing, chosen, chain)
        ids = listed_ids(source, dataset, listing, number, common)
        if column == chosen and common == chain:
            found.append(ids)
        else:
            found.append(_linked(source, dataset, chosen, chain, column, common, ids))
    return np.unique(np.concatenate(found))


def matching_column(
    dataset: Dataset, listing: Withdrawals, chosen: IdColumn, chain: HashChain
) -> tuple[IdColumn, HashChain]:
    """The dataset's column to look the list up in, and a hash chain that both can be brought to."""
    columns = [column for column in dataset.ids if column.type == listing.type]
    columns.sort(key=lambda column: column != chosen)
    for common in sorted(_CHAINS, key=lambda c: c != chain):
        for column in columns:
            if serves(listing.format, common) and serves(column.format, common):
                return column, common
    raise Fault(
        "catalog.withdrawals",
        f"the withdrawal list {listing.path.name!r} holds {listing.format} ids, which cannot be compared "
        f"with the dataset's {listing.type} column",
        remedy="give the list plain, or in the same format as the column",
        where=dataset.name,
    )


def listed_ids(
    source: Source, dataset: Dataset, listing: Withdrawals, number: int, chain: HashChain
) -> Longs:
    """Sorted hashed ids on one list. A list that holds no valid id although it has lines is an error."""
    view = f"withdrawn {number}"
    name = listing.path.name
    if listing.path.exists() and listing.path.stat().st_size == 0:
        return np.zeros(0, np.uint64)  # nobody has withdrawn yet
    define_view(source.connection, view, listing.path, dataset.name, listing.column is not None)
    types = types_of(source.connection, view)
    column = listing.column or next(iter(types))
    sql = as_text(column, find_type(types, column, repr(name), dataset.name))
    if sql is None:
        raise Fault(
            "catalog.wrong-type",
            f"column {column!r} of the withdrawal list {name!r} cannot hold ids",
            remedy="store ids as text",
            where=dataset.name,
        )
    where = f"{dataset.name}, withdrawal list {name}"
    hasher = Hasher(listing.type, listing.format, chain, listing.region, where)
    rows, found = 0, [np.zeros(0, np.uint64)]
    query = f"SELECT {sql} AS id FROM {identifier(view)}"
    for batch in source.stream(query, rewind=False):
        hashed = hasher.hash(batch.column("id"))
        rows += batch.num_rows
        found.append(hashed.ids[hashed.valid])
    ids = np.unique(np.concatenate(found))
    if rows and not len(ids):
        raise Fault(
            "catalog.withdrawals",
            f"none of the lines of the withdrawal list {name!r} is a valid {listing.type} id",
            remedy="check the list's column, type, format and region in the dataset's description",
            where=dataset.name,
        )
    return ids


def _linked(
    source: Source,
    dataset: Dataset,
    chosen: IdColumn,
    chain: HashChain,
    column: IdColumn,
    common: HashChain,
    listed: Longs,
) -> Longs:
    """Join ids of the rows whose `column` is on the list."""
    joins = Hasher(chosen.type, chosen.format, chain, chosen.region, dataset.name)
    others = Hasher(column.type, column.format, common, column.region, dataset.name)
    query = (
        f"SELECT {id_expression(source, chosen)} AS id, {id_expression(source, column)} AS other "
        "FROM source"
    )
    found = [np.zeros(0, np.uint64)]
    for batch in source.stream(query):
        join, other = joins.hash(batch.column("id")), others.hash(batch.column("other"))
        found.append(join.ids[join.valid & other.valid & np.isin(other.ids, listed)])
    return np.unique(np.concatenate(found))
