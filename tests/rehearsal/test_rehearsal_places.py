"""Lists of places in a rehearsal: in the contract, held by all, referred to by columns."""

from __future__ import annotations

from typing import Any

import crowds
import pyarrow as pa
import pyarrow.parquet
import pytest

from hanse.errors import Fault, Refusal
from hanse.rehearsal import Column, Federation

PLACES: dict[str, list[Any]] = {
    "id": ["p0", "p1"], "name": ["A", "B"], "type": ["mall", "shop"], "lat": [1.0, 2.0],
    "lon": [3.0, 4.0],
}  # fmt: skip


def test_a_list_goes_into_the_contract_and_its_columns_refer_to_it() -> None:
    fed = crowds.federation()
    before = fed.contract.hash
    found = fed.places("towns", PLACES, excluded=["bar"])
    fed.dataset("homes", "operator", {"person": ["p1", "p2"], "home": ["p0", "elsewhere"]},
                id="person", columns={"home": Column("home", gazetteer="towns")})  # fmt: skip
    contract = fed.contract
    assert contract.hash != before
    clause = contract.gazetteer("towns")
    assert clause is not None
    assert (clause.places, clause.digest, clause.excluded) == (2, found.digest, ("bar",))
    homes = contract.dataset("homes")
    assert homes is not None
    (column,) = homes.columns
    assert (column.kind, column.gazetteer, column.uses) == ("place", "towns", ("place",))
    assert fed.funnel(crowds.STAGES, crowds.STARTS, crowds.ENDS).result.body()


def test_tables_files_and_lists_are_the_same(tmp_path: Any) -> None:
    pa.parquet.write_table(pa.table(PLACES), tmp_path / "places.parquet")
    found = [
        Federation().places("towns", given)
        for given in (PLACES, pa.table(PLACES), tmp_path / "places.parquet")
    ]
    assert found[0] == found[1] == found[2] == Federation().places("other", found[0])


def test_what_does_not_fit_is_told() -> None:
    fed = crowds.federation()
    fed.places("towns", PLACES)
    with pytest.raises(Fault) as caught:
        fed.places("towns", PLACES)
    assert caught.value.code == "rehearsal.places"
    with pytest.raises(Fault) as caught:
        fed.dataset("homes", "operator", {"person": ["p1"], "home": ["p0"]}, id="person",
                    columns={"home": Column("home", kind="place")})  # fmt: skip
    assert caught.value.code == "rehearsal.places"
    fed.dataset("homes", "operator", {"person": ["p1"], "home": ["p0"]}, id="person",
                columns={"home": Column("home", gazetteer="villages")})  # fmt: skip
    with pytest.raises(Refusal, match="there is no gazetteer 'villages'"):
        fed.contract  # noqa: B018 - made when it is read
