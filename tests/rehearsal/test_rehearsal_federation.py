"""The federation as an analyst uses it: tables in, contract, seats, questions, budgets, answers."""

from __future__ import annotations

import csv
import gc
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crowds import ENDS, PEOPLE, STAGES, STARTS, baskets, exposures, federation, people

from hanse.catalog import parse_dataset
from hanse.clock import ManualClock
from hanse.contracts import Contract
from hanse.errors import Fault, Refusal
from hanse.rehearsal import Column, Federation, IdColumn, Segment, source, stage
from hanse.wire import Frame


def test_fifteen_lines_from_files_to_answer(tmp_path: Path) -> None:
    pq.write_table(pa.table(exposures()), tmp_path / "exposures.parquet")
    table = baskets()
    with (tmp_path / "baskets.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))

    with Federation(k=20, seed=1, join_epsilon=1.0) as fed:
        fed.dataset("exposures", "media", tmp_path / "exposures.parquet", id="person",
                    time="seen_at", columns={"by": "channel"})  # fmt: skip
        fed.dataset("baskets", "shop", str(tmp_path / "baskets.csv"), id="person",
                    time="bought_at", columns={"price": Column("price", scale=100)})  # fmt: skip
        fed.dataset("people", "data", pd.DataFrame(people()), id="person", columns=["age"])
        funnel = fed.funnel(
            [("seen", "exposures"), stage("paid", "baskets", where={"price": {"at_least": 200}})],
            STARTS, ENDS, by="people.age", epsilon=4.0,
        )  # fmt: skip

    frame = funnel.to_pandas()
    assert list(frame.stage) == ["seen", "paid"] * 4
    assert abs(frame.people[0] - PEOPLE) < 15
    assert funnel.twin().row("seen").people == PEOPLE
    assert funnel.twin().row("paid").people == 80 * 3 // 4
    assert funnel.to_arrow().num_rows == 8
    assert "seen" in str(funnel)
    assert "age" not in str(funnel.disclosures)


# --- tables ---------------------------------------------------------------------------------------


def test_kinds_lists_caps_and_capacities_are_read_off_the_data() -> None:
    fed = Federation(k=20, seed=1)
    fed.dataset(
        "all-kinds", "shop",
        {
            "who": [f"p{i}" for i in range(1234)],
            "day": [pd.Timestamp("2026-01-01").date()] * 1234,
            "text": ["b", "a"] * 617,
            "whole": list(range(1234)),
            "real": [float(i) for i in range(1234)],
            "flag": [True, None] * 617,
        },
        id="who", time="day", columns=["text", "whole", "real", "flag"],
    )  # fmt: skip
    clause = fed.contract.dataset("all-kinds")
    assert clause is not None
    assert clause.capacity == 1300  # two significant digits: not the true number
    kinds = {c.name: (c.kind, c.values, c.maximum) for c in clause.columns}
    assert kinds == {
        "day": ("time", (), None),
        "text": ("category", ("a", "b"), None),
        "whole": ("integer", (), 1300),
        "real": ("amount", (), 1300),
        "flag": ("boolean", (), None),
    }
    assert {c.name for c in clause.columns if "order" in c.uses} == {"day"}


def test_kinds_in_text_files_are_guessed_from_all_values(tmp_path: Path) -> None:
    path = tmp_path / "text.csv"
    path.write_text(
        "who,day,whole,real,flag,word,mixed\n"
        "a1,2026-01-01,7,1.5,yes,x,7\n"
        "a2,2026-01-02 10:00:00,8,2,no,y,seven\n"
    )
    fed = Federation(k=20, seed=1)
    columns = {
        "day": "day", "whole": "whole", "real": Column("real", scale=10), "flag": "flag",
        "word": "word", "mixed": "mixed",
    }  # fmt: skip
    profile = fed.dataset("texts", "shop", path, id="who", columns=columns)
    kinds = {name: column.kind for name, column in profile.columns.items()}
    assert kinds == {
        "day": "time", "whole": "integer", "real": "amount", "flag": "boolean",
        "word": "category", "mixed": "category",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        (["price"], "rehearsal.fraction"),  # 1.5 of what?
        (["nothing"], "catalog.missing-column"),
        ({"Big Name": "price"}, "rehearsal.column"),
        ({"bought_at": "price"}, "rehearsal.column"),
        ({"label": Column("person", kind="category")}, None),
    ],
)
def test_columns_that_cannot_be_meant_are_refused(columns: Any, code: str | None) -> None:
    fed = Federation(k=20, seed=1)
    if code is None:
        fed.dataset("baskets", "shop", baskets(), id="person", time="bought_at", columns=columns)
        return
    with pytest.raises(Fault) as fault:
        fed.dataset("baskets", "shop", baskets(), id="person", time="bought_at", columns=columns)
    assert fault.value.code == code
    assert fault.value.remedy


def test_a_category_of_too_many_values_is_refused() -> None:
    fed = Federation(k=20, seed=1)
    table = {"who": [f"p{i}" for i in range(600)], "name": [f"n{i}" for i in range(600)]}
    with pytest.raises(Fault, match="more than 500") as fault:
        fed.dataset("many", "shop", table, id="who", columns=["name"])
    assert fault.value.code == "rehearsal.values"
    fed.dataset("many", "shop", table, id="who", columns={"name": Column("name", values=("n1",))})
    assert fed.contract.dataset("many").columns[0].values == ("n1",)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "table", [42, ["a", "b"], {"who": [1, "two", None]}, {"who": [1], "x": []}]
)
def test_what_is_no_table_is_refused(table: Any) -> None:
    with pytest.raises(Fault) as fault:
        Federation(k=20, seed=1).dataset("odd", "shop", table, id="who")
    assert fault.value.code == "rehearsal.table"


@pytest.mark.parametrize(
    ("name", "party", "code"),
    [
        ("exposures", "other", "rehearsal.dataset"),
        ("new", "A Shop", "rehearsal.party"),
        ("New Name", "shop", "catalog.dataset"),
    ],
)
def test_names_are_checked(name: str, party: str, code: str) -> None:
    with pytest.raises(Fault) as fault:
        federation().dataset(name, party, baskets(), id="person")
    assert fault.value.code == code


def test_tables_in_memory_vanish_with_the_last_answer() -> None:
    fed = federation()
    answer = fed.funnel(STAGES, STARTS, ENDS)
    folder = fed._spool._folder
    assert folder is not None
    assert folder.stat().st_mode & 0o077 == 0
    fed._answers.clear()
    del fed
    gc.collect()
    assert answer.twin().row("paid").people == 80
    del answer
    gc.collect()
    assert not folder.exists()


def test_registered_datasets_may_have_withdrawals(tmp_path: Path) -> None:
    pq.write_table(pa.table(baskets()), tmp_path / "baskets.parquet")
    (tmp_path / "gone.csv").write_text("".join(f"p{i}\n" for i in range(60)))
    dataset = parse_dataset(
        {
            "name": "baskets",
            "source": {"path": tmp_path / "baskets.parquet"},
            "ids": [{"column": "person", "type": "person"}],
            "columns": [{"name": "at", "column": "bought_at", "kind": "time"}],
            "classification": "personal",
            "description": "till slips",
            "legal_basis": "consent",
            "evidence": "the till",
            "withdrawals": [{"path": tmp_path / "gone.csv", "type": "person"}],
        }
    )
    fed = Federation(k=20, seed=1, join_epsilon=1.0)
    fed.dataset("exposures", "media", exposures(), id="person", time="seen_at")
    fed.register("shop", dataset)
    answer = fed.funnel(STAGES, STARTS, ENDS, noise=False)
    assert answer.result.row("paid").people == 40 == answer.twin().row("paid").people
    assert answer.reports["baskets"].withdrawn == 40


def test_phone_numbers_in_different_spellings_meet() -> None:
    fed = Federation(k=20, seed=1, join_epsilon=1.0, id_type="phone")
    numbers = [f"1380013{i:04d}" for i in range(50)]
    fed.dataset("exposures", "media", {"mobile": numbers, "at": ["2026-03-02"] * 50},
                id="mobile", time="at", region="CN")  # fmt: skip
    hashed = IdColumn(column="mobile", type="phone", region="CN")
    fed.dataset("baskets", "shop", {"mobile": [f"+86 {n}" for n in numbers[:30]],
                "at": ["2026-03-03T08:00:00+08:00"] * 30}, id=hashed, time="at")  # fmt: skip
    answer = fed.funnel(STAGES, STARTS, ENDS, noise=False)
    assert answer.result.row("paid").people == 30 == answer.twin().row("paid").people


# --- parties and contract -------------------------------------------------------------------------


def test_seats_are_the_first_three_parties() -> None:
    fed = federation()
    assert fed.contract.seats == ("media", "shop", "data")
    assert fed.parties == ("media", "shop", "data")
    fed.dataset("more", "fourth", people(), id="person")
    assert fed.contract.seats == ("media", "shop", "data")
    assert fed.parties == ("media", "shop", "data", "fourth")


def test_neutral_parties_take_the_seats_that_are_left() -> None:
    fed = Federation(k=20, seed=1, join_epsilon=1.0)
    fed.dataset("exposures", "media", exposures(), id="person", time="seen_at")
    fed.dataset("baskets", "shop", baskets(), id="person", time="bought_at")
    assert fed.contract.seats == ("media", "shop", "neutral-1")
    answer = fed.funnel(STAGES, STARTS, ENDS, noise=False)
    assert answer.result.row("paid").people == 80
    assert ("seat 2", "neutral-1") in answer.job.roles


def test_seats_can_be_chosen() -> None:
    fed = federation(seats=("neutral-1", "neutral-2", "data"))
    assert fed.contract.seats == ("neutral-1", "neutral-2", "data")
    assert fed.funnel(STAGES, STARTS, ENDS, noise=False).result.row("paid").people == 80


def test_the_contract_can_be_written_down() -> None:
    text = federation().contract.to_toml()
    contract = Contract.from_toml(text)
    assert contract.hash == federation().contract.hash
    assert contract.privacy.k == 20


def test_a_dataset_more_is_a_new_version_and_budgets_stay() -> None:
    fed = federation()
    fed.funnel(STAGES, STARTS, ENDS, epsilon=1.5)
    first = fed.contract
    fed.dataset("more", "shop", people(), id="person", columns=["age"])
    assert fed.contract.version == first.version + 1
    fed.funnel(STAGES, STARTS, ENDS, by="more.age", epsilon=1.0)
    spent = {(b.provider, b.towards): b.spent for b in fed.budgets()}
    assert spent["shop", "recipients"] == pytest.approx(2.5)
    assert spent["data", "recipients"] == 0.0


def test_an_empty_federation_says_so() -> None:
    with pytest.raises(Fault, match="no dataset") as fault:
        _ = Federation().contract
    assert fault.value.code == "rehearsal.empty"


# --- questions ------------------------------------------------------------------------------------


def test_stages_segments_and_sources_in_all_their_forms() -> None:
    fed = federation()
    answer = fed.funnel(
        [
            stage("seen", source("exposures", where={"channel": ["tv"]})),
            stage("paid", "baskets", within_days=10),
        ],
        STARTS, ENDS, by=Segment(dataset="people", column="age"), noise=False,
    )  # fmt: skip
    assert answer.parameters["stages"][0]["any_of"][0]["where"] == [
        {"column": "channel", "one_of": ["tv"]}
    ]
    assert answer.result.row("seen").people == 60
    merged = fed.funnel(
        STAGES, STARTS, ENDS, by="people.age", merge={"all ages": ["young", "old"]}, noise=False
    )
    assert merged.result.row("seen", "all ages").people == PEOPLE


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stages": ["seen"]}, "neither a Stage"),
        ({"stages": [("seen",)]}, "neither a Stage"),
        ({"by": "age"}, 'write by="dataset.column"'),
        ({"merge": {"x": ["young"]}}, "without `by`"),
        ({"by": "people.weight"}, "no column 'weight'"),
        ({"by": "people.age", "merge": {"x": ["tall"]}}, "not a value"),
        ({"stages": [("seen", "views")]}, "no dataset 'views'"),
        ({"starts": "2026-05-01"}, "ends must be later"),
        ({"recipients": ["nobody"]}, "nobody"),
        ({"analyst": "nobody"}, "nobody"),
        ({"epsilon": 5.0}, "epsilon"),
        ({"epsilon": 0.0}, "epsilon"),
    ],
)
def test_unclear_questions_are_refused_with_a_remedy(options: dict[str, Any], words: str) -> None:
    fed = federation()
    asked = {"stages": STAGES, "starts": STARTS, "ends": ENDS, **options}
    with pytest.raises(Refusal) as refusal:
        fed.funnel(**asked)
    assert words in str(refusal.value)
    assert refusal.value.remedy
    assert all(b.spent == 0 for b in fed.budgets())


def test_conditions_without_a_dataset_to_apply_to_are_refused() -> None:
    with pytest.raises(Refusal, match="no dataset by name"):
        stage("seen", source("exposures"), at_least=2)


def test_a_closed_federation_answers_no_more() -> None:
    with federation() as fed:
        pass
    for call in (
        lambda: fed.funnel(STAGES, STARTS, ENDS),
        lambda: fed.dataset("more", "shop", people(), id="person"),
    ):
        with pytest.raises(Fault) as fault:
            call()
        assert fault.value.code == "rehearsal.closed"


def test_recipients_other_than_the_analyst() -> None:
    fed = federation()
    answer = fed.funnel(STAGES, STARTS, ENDS, recipients=("shop", "data"), analyst="media")
    assert [p for role, p in answer.job.roles if role == "recipient"] == ["shop", "data"]
    assert answer.disclosures.openings[-1].to == ("shop", "data")


# --- budgets and time -----------------------------------------------------------------------------


def test_the_same_seed_repeats_and_another_does_not() -> None:
    values = [federation(seed=s).funnel(STAGES, STARTS, ENDS).values.tolist() for s in (1, 1, 2)]
    assert values[0] == values[1] != values[2]


def test_without_a_seed_keys_and_messages_differ() -> None:
    """Not the figures: two draws of noise may well be equal."""
    masked: list[bytes] = []

    def watch(frame: Frame) -> Frame:
        if frame.step == "upload.shop.rows" and frame.target == 1:
            masked.append(bytes(np.asarray(frame.body)))
        return frame

    keys = set()
    for _ in range(2):
        fed = federation(seed=None, tap=watch)
        fed.funnel(STAGES, STARTS, ENDS)
        keys.add(fed.party("media").signing_key)
    assert len(keys) == 2
    assert len(set(masked)) == 2


def test_budgets_of_a_month_come_back_with_the_next() -> None:
    fed = federation(period="month", epsilon_budget=2.0)
    fed.funnel(STAGES, STARTS, ENDS, epsilon=2.0)
    with pytest.raises(Refusal) as refusal:
        fed.funnel(STAGES, STARTS, ENDS, epsilon=0.5)
    assert refusal.value.code == "budget.spent"
    clock = fed.clock
    assert isinstance(clock, ManualClock)
    clock.advance(timedelta(days=31))
    assert fed.funnel(STAGES, STARTS, ENDS, epsilon=0.5).values.any()


def test_the_alignments_have_a_budget_of_their_own() -> None:
    fed = federation(join_epsilon=1.0, join_budget=1.5)
    fed.funnel(STAGES, STARTS, ENDS, epsilon=0.5)
    with pytest.raises(Refusal) as refusal:
        fed.funnel(STAGES, STARTS, ENDS, epsilon=0.4)
    assert refusal.value.code == "budget.join"


def test_changed_data_are_a_new_question(tmp_path: Path) -> None:
    path = tmp_path / "baskets.parquet"
    pq.write_table(pa.table(baskets()), path)
    fed = Federation(k=20, seed=1, join_epsilon=0.5)
    fed.dataset("exposures", "media", exposures(), id="person", time="seen_at")
    fed.dataset("baskets", "shop", path, id="person", time="bought_at")
    fed.funnel(STAGES, STARTS, ENDS)
    assert fed.funnel(STAGES, STARTS, ENDS).recorded
    pq.write_table(pa.table(baskets()).slice(1), path)
    assert not fed.funnel(STAGES, STARTS, ENDS).recorded
    path.unlink()
    with pytest.raises(Fault) as fault:
        fed.funnel(STAGES, STARTS, ENDS)
    assert fault.value.code == "catalog.missing-file"
    assert str(tmp_path) not in str(fault.value)


# --- dry runs and the guard -------------------------------------------------------------------------


def shades(at_least: int) -> dict[str, object]:
    """A question that differs from others of its kind in one bound."""
    return {
        "crowds": [
            {"name": "a", "dataset": "exposures"},
            {"name": "b", "dataset": "baskets", "at_least": at_least},
        ],
        "starts": "2026-01-01",
        "ends": "2027-01-01",
    }  # fmt: skip


def test_a_dry_run_tells_the_price_and_spends_nothing() -> None:
    fed = federation(similar_questions=2)
    shown = fed.preview("overlap", shades(1), epsilon=2.0)
    assert shown.epsilon == 2.0
    assert not shown.similar
    assert "±" in str(shown)
    assert "shown from" in str(shown)
    assert all(b.spent == 0 for b in fed.budgets())
    fed.ask("overlap", shades(1), epsilon=2.0)
    again = fed.preview("overlap", shades(2), epsilon=1.0)
    assert len(again.similar) == 1
    assert "at_least" in str(again)
    assert again.body["similar_left"] == 1


def test_a_differencing_session_is_refused_by_every_party_that_saw_it() -> None:
    fed = federation(similar_questions=2, epsilon_budget=100, join_budget=100)
    for at_least in (1, 2):
        fed.ask("overlap", shades(at_least), epsilon=0.5)
    spent = [b.spent for b in fed.budgets()]
    with pytest.raises(Refusal) as refusal:
        fed.ask("overlap", shades(3), epsilon=0.5)
    assert refusal.value.code == "guard.similar"
    assert [b.spent for b in fed.budgets()] == spent
    with pytest.raises(Refusal, match="almost the same"):
        fed.preview("overlap", shades(3), epsilon=0.5)
    assert fed.ask("overlap", shades(2), epsilon=0.5).recorded, "a recorded answer is free"
    other = {**shades(3), "starts": "2027-01-01", "ends": "2028-01-01"}
    fed.ask("overlap", other, epsilon=0.5)
