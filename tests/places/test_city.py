"""The sample city: the same from the same seed, labelled, with panels that see as badly as they say."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hanse.catalog.gazetteers import from_table
from hanse.cli.main import invoke
from hanse.errors import Fault
from hanse.places.checks.checks import TAKEN_OUT, checked
from hanse.places.city import LABEL, City, Views, Wish, city, tables, write
from hanse.places.city.days import means
from hanse.places.city.people import EFFECT
from hanse.places.city.town import KINDS
from hanse.places.feeds.files import read_feed

SMALL = Wish(places=300, people=8000, days=200, seed=7)


@pytest.fixture(scope="module")
def made() -> City:
    return city(SMALL)


def test_the_same_seed_draws_the_same_town(made: City) -> None:
    again, other = city(SMALL), city(Wish(places=300, people=8000, days=200, seed=8))
    for name, table in tables(made).items():
        assert table.equals(tables(again)[name]), name
    assert not tables(made)["truth"].equals(tables(other)["truth"])


def test_everything_says_that_it_is_synthetic(made: City, tmp_path: Path) -> None:
    files = write(made, tmp_path / "town")
    for name, path in files.items():
        if path.suffix == ".parquet":
            assert pq.read_schema(path).metadata[b"hanse-synthetic"] == LABEL.encode(), name
    assert "synthetic = true" in files["city"].read_text(encoding="utf-8")
    assert all(
        str(n).startswith("synthetic-") for n in tables(made)["labels"]["id"].to_pylist()[:50]
    )


def test_a_folder_with_other_files_is_left_alone(made: City, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(Fault, match=r"city\.folder"):
        write(made, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_panels_see_what_they_are_said_to(made: City) -> None:
    views, seen, dates = SMALL.views, made.panels, made.days.dates
    whole = np.where(made.is_open, made.truth, np.nan)
    mapped = seen.map_panel.known("2030-01-01", dates)
    assert np.nansum(mapped) / np.nansum(whole) == pytest.approx(views.map_share, rel=0.6)
    # Place by place the map is biased, by about what it says.
    rate = np.log(np.nansum(mapped, axis=1) / np.nansum(whole, axis=1))
    assert 0.25 < np.nanstd(rate) < 0.6
    late = (seen.operator.reported - seen.operator.date).astype(int)
    assert (late.min(), late.max()) == (30, 50)
    assert not np.isfinite(seen.operator.known(dates[-1], dates[-29:])).any()
    assert np.isfinite(seen.area.known(dates[-1], dates[-2:-1])).all()
    assert sorted(set(seen.share.round(3).tolist())) == [views.low_share, views.operator_share]
    assert set(np.unique(made.town.cell_side).tolist()) == {200.0, 1000.0}


def test_counters_are_accurate_and_every_owner_has_some(made: City) -> None:
    counters = made.panels.counters
    rows = [made.places.position[name] for name in counters.places]
    off = np.log(np.maximum(counters.known("2030-01-01", made.days.dates), 1)
                 / np.maximum(made.truth[rows], 1))  # fmt: skip
    busy = made.truth[rows] > 200
    assert np.nanstd(off[busy]) == pytest.approx(SMALL.views.counter_error, rel=0.15)
    assert set(made.panels.owner.tolist()) == {0, 1, 2}
    assert len(counters.places) == 60


def test_weeks_holidays_and_rain_do_what_they_should(made: City) -> None:
    weekday = (made.days.dates.astype(int) + 3) % 7
    calm = ~made.days.holiday

    def mean(kind: str, days: np.ndarray) -> float:
        rows = (made.town.kind == KINDS.index(kind)) & made.is_open.all(axis=1)
        return float(np.log(np.maximum(made.truth[rows][:, days], 1)).mean())

    assert mean("office", calm & (weekday < 5)) - mean("office", calm & (weekday > 5)) > 0.8
    assert mean("park", calm & ~made.days.wet) - mean("park", calm & made.days.wet) > 0.4
    assert (
        mean("office", calm & (weekday < 5)) - mean("office", made.days.holiday & (weekday < 5))
        > 0.8
    )


def test_a_shock_comes_when_it_is_wished_for() -> None:
    calm, shaken = (
        city(Wish(places=100, people=0, days=200, seed=3, shock=s)) for s in (False, True)
    )
    same = [means(one.town, one.days, 3) for one in (calm, shaken)]
    np.testing.assert_array_equal(same[0][:, :160], same[1][:, :160])
    ratio = shaken.truth[:, 160:166].sum() / calm.truth[:, 160:166].sum()
    assert ratio < 0.75


def test_the_city_passes_its_own_checks(made: City) -> None:
    """What the generator leaves out and lets open late is told; no value is taken for a fault."""
    for one in (made.panels.counters, made.panels.map_panel, made.panels.payments):
        _, found = checked(one, made.days.dates[-1])
        assert not [str(f) for f in found if f.kind in (*TAKEN_OUT, "late", "missing-day")]


def test_people_live_work_go_and_buy(made: City) -> None:
    held = tables(made)
    labels = held["labels"].to_pandas().set_index("id")
    shown = set(held["exposures"]["id"].to_pylist())
    arms = held["assignment"].to_pandas().set_index("id")["arm"]
    assert {name for name, arm in arms.items() if arm == "shown"} == shown
    bought = labels.index.isin(held["purchases"]["id"].to_pylist())
    lift = bought[labels.index.isin(arms[arms == "shown"].index)].mean() - (
        bought[labels.index.isin(arms[arms == "control"].index)].mean()
    )
    assert lift == pytest.approx(EFFECT, abs=4 * np.sqrt(0.06 / 3200 * 2))
    places = set(made.places.ids)
    for name, column in (
        ("homes", "home"),
        ("works", "work"),
        ("visits", "place"),
        ("purchases", "place"),
    ):
        assert set(held[name][column].to_pylist()) <= places
    by_district = labels.groupby("district")["group"].value_counts(normalize=True).unstack()
    assert by_district["families"].std() > 0.03  # groups live apart, so there is something to find


def test_real_places_may_carry_the_town(made: City) -> None:
    listed = from_table(pa.table({
        "id": [f"real-{n}" for n in range(60)], "name": ["x"] * 60, "type": ["mall", "depot", "park"] * 20,
        "lat": 48.1 + np.arange(60) * 0.002, "lon": 11.5 + np.arange(60) * 0.001,
        "district": ["east", "west"] * 30,
    }))  # fmt: skip
    told = city(Wish(places=60, people=500, days=60, given=listed))
    assert told.places == listed
    assert told.town.districts == ("east", "west")


def test_sizes_have_limits() -> None:
    with pytest.raises(Fault, match=r"city\.size"):
        Wish(places=3)


def test_the_command_writes_tables_that_feeds_can_be_read_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    invoke(
        [
            "city",
            "--out",
            str(tmp_path / "town"),
            "--places",
            "60",
            "--people",
            "200",
            "--days",
            "60",
        ]
    )
    assert "synthetic" in capsys.readouterr().out.lower()
    one = read_feed(tmp_path / "town" / "counters.parquet", key="key", date="date", value="arrivals",
                    reported="reported")  # fmt: skip
    assert len(one.places) == 12
    assert one.unread == 0


@pytest.mark.slow
def test_ten_thousand_places_over_a_year() -> None:
    made = city(Wish(places=10_000, people=1000, days=365, views=Views(counted=0.1)))
    assert made.truth.shape == (10_000, 365)
    assert len(made.panels.counters.places) == 1000


def test_a_town_of_shops_and_its_months(made: City) -> None:
    shops = city(Wish(places=60, people=0, days=90, seed=2, kinds=("mall", "cafe")))
    assert set(shops.places.types) == {"mall", "cafe"}
    with pytest.raises(Fault, match=r"city\.kinds"):
        Wish(kinds=("castle",))
    held = tables(made)
    for name, value in (
        ("map_monthly", "visits"),
        ("payments_monthly", "payments"),
        ("operator_monthly", "people"),
    ):
        months = held[name].to_pandas()
        assert months["key"].isin(made.places.ids).all()
        late = (
            months["reported"].astype("datetime64[s]") - months["date"].astype("datetime64[s]")
        ).dt.days
        assert late.min() >= 28  # a month counts once it is over
        assert (months[f"{value}_mean"] >= 0).all()
    mapped = held["map_monthly"].to_pandas().set_index(["key", "date"])["visits_mean"]
    by_hand = held["map"].to_pandas()
    march = (
        by_hand[by_hand["date"].astype(str).str.startswith("2025-03")]
        .groupby("key", observed=True)["visits"]
        .mean()
    )
    told = mapped[[str(d) == "2025-03-01" for _, d in mapped.index]].droplevel("date")
    np.testing.assert_allclose(told.to_numpy(), march[told.index].to_numpy(), atol=0.001)


def test_the_back_tests_description_names_what_is_there(made: City, tmp_path: Path) -> None:
    files = write(made, tmp_path / "town")
    told = tomllib.loads(files["places_toml"].read_text(encoding="utf-8"))
    parts = [
        told["places"],
        told["owner"],
        told["weather"],
        *told["map"],
        *told["operator"],
        *told["payments"],
    ]
    for part in parts:
        columns = pq.read_schema(tmp_path / "town" / part["path"]).names
        single = [
            part[k]
            for k in ("key", "date", "value", "reported", "latitude", "labels", "owner", "holiday")
            if k in part
        ]
        wanted = part.get("values", [])
        for name in [*single, *([wanted] if isinstance(wanted, str) else wanted)]:
            assert any(fnmatch(column, name) for column in columns), (part["path"], name)
    first, last = (np.datetime64(day) for day in told["test"])
    assert made.days.dates[0] < first <= last == made.days.dates[-1]
