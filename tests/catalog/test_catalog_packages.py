"""Crowd packages at home: definitions, who is in them, expiry, files of ids that must not change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.catalog import (
    Condition,
    Dataset,
    Package,
    PackageSource,
    RowRequest,
    parse_package,
    read_rows,
    register,
)
from hanse.catalog.packages import band, data_digest, members_of, room_for, settled
from hanse.errors import Fault, HanseError, Refusal

TODAY = date(2026, 7, 15)
NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)
COLUMNS = [
    {"name": "at", "column": "at", "kind": "time"},
    {"name": "yuan", "column": "yuan", "kind": "amount"},
    {"name": "city", "column": "city", "kind": "category"},
]
ROWS = {
    "person": ["ann", "ann", "bob", "bob", "cid", "dan", "dan", "dan", "eve"],
    "at": ["2026-07-01", "2026-07-10", "2026-06-01", "2026-07-14T23:00", "2026-07-02", "2026-07-03",
           "2026-07-04", "2026-07-15", None],
    "yuan": [5, 50, 70, 80, 90, 5, 5, 99, 99],
    "city": ["visby", "visby", "bergen", "visby", "bergen", "visby", "lund", "visby", "visby"],
}  # fmt: skip
Maker = Callable[..., Dataset]


def document(**changed: Any) -> dict[str, Any]:
    return {
        "name": "loyal",
        "version": 1,
        "events": {"of": "visits"},
        "purpose": "bring them back",
        "evidence": "register of consents, 2026",
        "created": NOW,
        "expires": "2027-01-01",
        "provenance": {"made_of": "dataset visits", "at": NOW},
        **changed,
    }


def package(of: Dataset, **events: Any) -> Package:
    made = parse_package(document(events={"of": "visits", **events}))
    assert made.events is not None
    return made.model_copy(update={"events": settled(made.events, of)})


def ids_of(dataset: Dataset, capacity: int = 100) -> set[int]:
    return set(read_rows(dataset, request(capacity)).ids.tolist())


def request(capacity: int = 100, **changed: Any) -> RowRequest:
    return RowRequest(id_type="household", capacity=capacity, keep_all=True, **changed)


def people(make: Maker, *names: str) -> set[int]:
    """Ids of these people, as anybody's dataset would give them."""
    dataset = make({"person": list(names)}, columns=[])
    found = ids_of(dataset)
    assert len(found) == len(names)
    return found


@pytest.mark.parametrize(
    ("events", "members"),
    [
        ({}, ["ann", "bob", "cid", "dan"]),  # a row without a time is no event
        ({"at_least": 2}, ["ann", "bob", "dan"]),
        ({"at_least": 3}, ["dan"]),
        ({"where": [{"column": "yuan", "at_least": 50}]}, ["ann", "bob", "cid", "dan"]),
        ({"where": [{"column": "yuan", "at_least": 50}], "at_least": 2}, ["bob"]),
        ({"where": [{"column": "city", "equals": "visby"}, {"column": "yuan", "at_most": 50}]},
         ["ann", "dan"]),
        ({"where": [{"column": "city", "among": ["lund", "bergen"]}]}, ["bob", "cid", "dan"]),
        ({"starts": "2026-07-02", "ends": "2026-07-04"}, ["cid", "dan"]),
        ({"days": 13}, ["ann", "bob", "cid", "dan"]),  # 2 to 14 July: whole days, today not yet
        ({"days": 13, "at_least": 2}, ["dan"]),
        ({"days": 5}, ["ann", "bob"]),
    ],
)  # fmt: skip
def test_members_are_those_who_meet_the_definition(
    make_dataset: Maker, events: dict[str, Any], members: list[str]
) -> None:
    of = make_dataset(ROWS, columns=COLUMNS)
    found = ids_of(members_of(package(of, **events), of, TODAY))
    of.source.path.rename(of.source.path.with_name("kept.parquet"))  # type: ignore[union-attr]
    assert found == people(make_dataset, *members)


def test_a_rolling_period_moves_with_the_day(make_dataset: Maker) -> None:
    of = make_dataset(ROWS, columns=COLUMNS)
    made = package(of, days=1)
    assert len(ids_of(members_of(made, of, date(2026, 7, 15)))) == 1
    assert len(ids_of(members_of(made, of, date(2026, 7, 13)))) == 0
    assert len(ids_of(members_of(made, of, date(2026, 7, 16)))) == 1


@pytest.mark.parametrize(
    ("where", "members"),
    [
        ([], ["ann", "bob", "cid"]),
        ([{"column": "city", "equals": "visby"}], ["ann", "bob"]),
        ([{"column": "age", "at_least": 40}], ["bob", "cid"]),
        ([{"column": "club", "equals": True}, {"column": "city", "equals": "visby"}], ["ann"]),
    ],
)
def test_undated_rows_can_be_filtered(
    make_dataset: Maker, where: list[dict[str, Any]], members: list[str]
) -> None:
    rows = {"person": ["ann", "bob", "cid"], "city": ["visby", "visby", "lund"], "age": [0, 40, 50],
            "club": [True, False, True]}  # fmt: skip
    columns = [{"name": n, "column": n, "kind": k}
               for n, k in (("city", "category"), ("age", "integer"), ("club", "boolean"))]  # fmt: skip
    of = make_dataset(rows, columns=columns)
    found = ids_of(members_of(package(of, where=where), of, TODAY))
    assert found == people(make_dataset, *members)


def test_a_withdrawn_person_drops_out_at_the_next_reading(
    make_dataset: Maker, tmp_path: Path
) -> None:
    gone = tmp_path / "gone.csv"
    gone.write_text("")
    of = make_dataset(ROWS, columns=COLUMNS, withdrawals=[{"path": str(gone), "type": "household"}])
    crowd = members_of(package(of, at_least=2), of, TODAY)
    before = ids_of(crowd)
    gone.write_text("bob\n")
    after = read_rows(crowd, request())
    assert len(before) == 3
    assert before - set(after.ids.tolist()) == people(make_dataset, "bob")
    assert after.report.withdrawn == 1


def test_the_capacity_bounds_members_not_the_dataset(make_dataset: Maker) -> None:
    of = make_dataset(ROWS, columns=COLUMNS)
    crowd = members_of(package(of, at_least=3), of, TODAY)
    assert len(ids_of(crowd, capacity=1)) == 1
    with pytest.raises(Fault) as error:
        ids_of(members_of(package(of), of, TODAY), capacity=3)
    assert error.value.code == "catalog.capacity"
    assert "4" not in error.value.message.replace("capacity of 3", "")


def test_a_package_gives_bare_membership_only(make_dataset: Maker) -> None:
    of = make_dataset(ROWS, columns=COLUMNS)
    crowd = members_of(package(of), of, TODAY)
    assert crowd.columns == ()
    wanted = request(labels=({"name": "city", "column": "city", "values": ("visby",)},))
    with pytest.raises(Fault, match="no columns") as error:
        read_rows(crowd, wanted)
    assert error.value.code == "catalog.package"


def test_an_expired_package_refuses_and_says_how_to_renew(make_dataset: Maker) -> None:
    of = make_dataset(ROWS, columns=COLUMNS)
    made = package(of)
    assert members_of(made, of, date(2026, 12, 31)).name == "loyal"
    with pytest.raises(Refusal) as error:
        members_of(made, of, date(2027, 1, 1))
    assert error.value.code == "crowd.expired"
    assert "'loyal', version 1" in error.value.message
    assert "hanse crowd renew loyal" in error.value.remedy


def listed(path: Path, **changed: Any) -> Package:
    made = parse_package(
        document(events=None, listed={"path": str(path), "ids": [{"column": "id", "type": "household"}],
                                      **changed})
    )  # fmt: skip
    probe = Dataset.model_validate(
        {"name": "probe", "source": {"path": str(path)}, "ids": [{"column": "id", "type": "household"}],
         "classification": "personal", "description": "x", "legal_basis": "contract"}
    )  # fmt: skip
    provenance = made.provenance.model_copy(update={"digest": data_digest(probe)})
    return made.model_copy(update={"provenance": provenance})


def test_a_file_of_ids_is_bound_to_its_content(make_dataset: Maker, tmp_path: Path) -> None:
    file, gone = tmp_path / "club.csv", tmp_path / "gone.csv"
    file.write_text("id\nann\nbob\nbob\n")
    gone.write_text("bob\n")
    made = listed(file, withdrawals=[{"path": str(gone), "type": "household"}])
    assert ids_of(members_of(made, None, TODAY)) == people(make_dataset, "ann")
    file.write_text("id\nann\nbob\ncid\n")
    with pytest.raises(Refusal) as error:
        members_of(made, None, TODAY)
    assert error.value.code == "crowd.changed"
    assert "withdrawal list" in error.value.remedy
    file.unlink()
    with pytest.raises(Fault) as missing:
        members_of(made, None, TODAY)
    assert missing.value.code == "catalog.missing-file"


def test_definitions_are_checked_against_the_dataset(make_dataset: Maker) -> None:
    dated = make_dataset(ROWS, columns=COLUMNS)
    undated = dated.model_copy(update={"columns": dated.columns[1:]})
    twice = dated.model_copy(
        update={"columns": (*dated.columns, dated.columns[0].model_copy(update={"name": "other"}))}
    )
    wrong: list[tuple[Dataset, dict[str, Any], str]] = [
        (undated, {"at_least": 2}, "no times"),
        (undated, {"days": 7}, "no times"),
        (twice, {}, "several time columns: at, other"),
        (dated, {"time": "city"}, "no time in column 'city'"),
        (dated, {"where": [{"column": "at", "at_least": NOW}]}, "bounded in time by a period"),
        (dated, {"where": [{"column": "age", "at_least": 5}]}, "no column 'age'"),
    ]
    for of, events, told in wrong:
        with pytest.raises(Fault, match=told):
            package(of, **events)
    assert package(twice, time="other").events.time == "other"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"events": None}, "either events"),
        ({"listed": {"path": "x", "ids": [{"column": "id", "type": "phone"}]}}, "either events"),
        ({"expires": "2026-07-15"}, "later day"),
        ({"evidence": ""}, "evidence"),
        ({"name": "No Name"}, "name"),
        ({"events": {"of": "visits", "starts": "2026-01-01"}}, "both starts and ends"),
        ({"events": {"of": "visits", "starts": "2026-01-02", "ends": "2026-01-01"}}, "later than"),
        ({"events": {"of": "visits", "starts": "2026-01-01", "ends": "2026-02-01", "days": 3}}, "not both"),
        ({"event": {}}, "event"),
    ],
)  # fmt: skip
def test_bad_documents_name_what_is_wrong(change: dict[str, Any], told: str) -> None:
    with pytest.raises(Fault, match=told) as error:
        parse_package(document(**change))
    assert error.value.code == "crowd.malformed"


def test_a_definition_survives_storage_and_reads_as_words() -> None:
    made = parse_package(
        document(events={"of": "visits", "days": 30, "at_least": 2, "time": "at",
                         "where": [{"column": "city", "among": ["visby", "lund"]},
                                   {"column": "yuan", "between": [5, 9]}]})
    )  # fmt: skip
    assert parse_package(made.model_dump(mode="json")) == made
    assert made.in_words() == (
        "at least 2 rows of 'visits' where city is one of visby, lund and yuan is 5 to 9 "
        "within the last 30 days before each run"
    )


@given(people=st.integers(0, 10**9))
def test_a_band_contains_the_size_and_a_capacity_tells_no_more(people: int) -> None:
    low, high = (
        (0, 100)
        if "fewer" in band(people)
        else (int(x.replace(",", "")) for x in band(people).split(" to "))
    )
    assert low <= people < high == room_for(people)
    assert high >= 2 * low
    assert band(low) == band(people)


def test_opening_a_package_like_a_file_fails_in_words(make_dataset: Maker) -> None:
    of = make_dataset(ROWS, columns=COLUMNS)
    crowd = members_of(package(of), of, TODAY)
    assert isinstance(crowd.source, PackageSource)
    with pytest.raises(HanseError) as error:
        register(crowd)
    assert error.value.code == "catalog.package"


def test_members_agree_with_a_plain_count_on_random_rows(make_dataset: Maker) -> None:
    random = np.random.default_rng(5)
    size = 400
    names = [f"p{i}" for i in random.integers(0, 60, size)]
    days = random.integers(1, 28, size)
    yuan = random.integers(0, 100, size)
    of = make_dataset(
        {"person": names, "at": [f"2026-06-{d:02}" for d in days], "yuan": yuan.tolist(),
         "city": ["x"] * size},
        columns=COLUMNS,
    )  # fmt: skip
    for least in (1, 2, 3):
        made = package(of, starts="2026-06-05", ends="2026-06-20", at_least=least,
                       where=[Condition(column="yuan", at_least=30).model_dump()])  # fmt: skip
        hits = [n for n, d, y in zip(names, days, yuan, strict=True) if 5 <= d < 20 and y >= 30]
        expected = {n for n in hits if hits.count(n) >= least}
        assert len(ids_of(members_of(made, of, TODAY))) == len(expected)


def test_a_package_that_ends_before_it_begins_is_refused_in_plain_words() -> None:
    with pytest.raises(Fault, match="expires must be a later day") as fault:
        parse_package(document(expires="2026-07-15"))
    assert "Value error" not in fault.value.message
