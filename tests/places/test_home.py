"""A provider's own preparation: stays, people, qualification, homes, weights, cells and protection."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from hanse.catalog.gazetteers import Gazetteer, from_table
from hanse.contracts.truths import TruthClause
from hanse.entropy import SeededEntropy
from hanse.errors import Fault
from hanse.places import home
from hanse.places.feeds.feed import days_between, from_matrix
from hanse.places.home.protect import discrete_laplace
from hanse.places.home.visits import local_days, places_of

ZONE = "Asia/Shanghai"
DAY0 = np.datetime64("2026-03-02")  # a Monday
STEP = 0.001  # degrees of latitude, about 111 m


def places(count: int = 6) -> Gazetteer:
    """Places in a row, 333 m apart."""
    return from_table(
        pa.table(
            {
                "id": [f"p{n}" for n in range(count)], "name": ["x"] * count, "type": ["mall"] * count,
                "lat": [30.0 + 3 * STEP * n for n in range(count)], "lon": [120.0] * count,
            }
        )
    )  # fmt: skip


Route = Sequence[tuple[str, str, str, int]]  # device, from, to (local time), place


def pings(routes: Route, every: int = 10, jitter: float = 10.0) -> pa.Table:
    """Pings every ten minutes at places, some metres off."""
    random = np.random.default_rng(1)
    device, moment, lat, lon = [], [], [], []
    for name, begin, end, place in routes:
        local = np.arange(np.datetime64(begin, "m"), np.datetime64(end, "m") + 1, every)
        for one in local:
            device.append(name)
            moment.append(one - np.timedelta64(8, "h"))
            lat.append(30.0 + 3 * STEP * place + random.normal(0, jitter) / 111_195)
            lon.append(120.0 + random.normal(0, jitter) / 96_300)
    return pa.table(
        {
            "device": device,
            "at": pa.array(np.array(moment, "datetime64[us]")),
            "lat": lat,
            "lon": lon,
        }
    )


def seen(routes: Route, owners: dict[str, str] | None = None, **options: float) -> home.Visits:
    found = home.stays(home.read_pings(pings(routes)), **options)
    return home.visits(found, places(), zone=ZONE, owners=owners)


def clause(**changed: object) -> TruthClause:
    fields = {"name": "visitors", "title": "Visitors", "measures": "people", "provider": "mall",
              "gazetteer": "towns", "error": 0.05, "lateness": 1, "zone": ZONE} | changed  # fmt: skip
    return TruthClause.model_validate(fields)


# --- stays and visits ---------------------------------------------------------------------------------


def test_stays_begin_and_end_where_the_device_moves() -> None:
    found = home.stays(home.read_pings(pings([
        ("a", "2026-03-02T09:00", "2026-03-02T10:00", 0),
        ("a", "2026-03-02T10:10", "2026-03-02T10:40", 3),
    ])))  # fmt: skip
    assert len(found) == 2
    assert ((found.end - found.begin) / 60).tolist() == [60, 30]
    assert found.lat[1] == pytest.approx(30.0 + 9 * STEP, abs=1e-4)


def test_silence_ends_a_stay_and_a_stray_fix_does_not() -> None:
    quiet = pings(
        [
            ("a", "2026-03-02T09:00", "2026-03-02T10:00", 0),
            ("a", "2026-03-02T12:00", "2026-03-02T13:00", 0),
        ]
    )
    assert len(home.stays(home.read_pings(quiet))) == 2
    assert len(home.stays(home.read_pings(quiet), longest_gap=180)) == 1
    stray = pings([
        ("a", "2026-03-02T09:00", "2026-03-02T10:00", 0), ("a", "2026-03-02T10:10", "2026-03-02T10:10", 5),
        ("a", "2026-03-02T10:20", "2026-03-02T11:00", 0),
    ])  # fmt: skip
    assert len(home.stays(home.read_pings(stray))) == 1


def test_short_runs_are_passing_by() -> None:
    route = [
        ("a", "2026-03-02T09:00", "2026-03-02T09:10", 0),
        ("a", "2026-03-02T09:20", "2026-03-02T10:20", 3),
    ]
    assert len(home.stays(home.read_pings(pings(route)), shortest=20)) == 1


def test_two_devices_of_one_person_are_one_visit() -> None:
    route = [
        ("phone", "2026-03-02T09:00", "2026-03-02T10:00", 2),
        ("tablet", "2026-03-02T09:20", "2026-03-02T10:30", 2),
    ]
    assert len(seen(route)) == 2
    one = seen(route, {"phone": "person", "tablet": "person"})
    assert (len(one), one.people) == (1, ("person",))
    assert one.minutes.tolist() == [90.0]


def test_places_are_found_like_by_hand() -> None:
    random = np.random.default_rng(3)
    listed = from_table(pa.table({
        "id": [f"{n:03}" for n in range(400)], "name": ["x"] * 400, "type": ["shop"] * 400,
        "lat": 30 + random.random(400) * 0.05, "lon": 120 + random.random(400) * 0.05,
    }))  # fmt: skip
    lat, lon = 30 + random.random(2000) * 0.06 - 0.005, 120 + random.random(2000) * 0.06 - 0.005
    reach = random.uniform(30, 200, 400)
    found = places_of(lat, lon, listed, reach)
    scale = 111_195.08
    wide = scale * np.cos(np.radians(np.median(listed.lat)))
    far = np.hypot((lat[:, None] - listed.lat) * scale, (lon[:, None] - listed.lon) * wide)
    allowed = np.where(far <= reach[None], far, np.inf)
    expected = np.where(np.isfinite(allowed.min(axis=1)), allowed.argmin(axis=1), -1)
    np.testing.assert_array_equal(found, expected)


def test_a_day_is_one_of_the_zone_and_may_begin_in_the_morning() -> None:
    late = np.array(
        ["2026-03-01T15:59", "2026-03-01T16:00", "2026-03-01T19:30"], "datetime64[s]"
    ).astype(np.int64)
    assert local_days(late, ZONE).astype(str).tolist() == ["2026-03-01", "2026-03-02", "2026-03-02"]
    assert local_days(late, ZONE, "04:00").astype(str).tolist() == [
        "2026-03-01",
        "2026-03-01",
        "2026-03-01",
    ]


def test_visits_qualify_as_the_contract_says() -> None:
    days = [str(d) for d in days_between("2026-03-02", "2026-03-15")]
    clerk = [("clerk", f"{d}T09:00", f"{d}T17:00", 1) for d in days]
    guest = [
        ("guest", f"{days[0]}T12:00", f"{days[0]}T12:20", 1),
        ("walker", f"{days[0]}T12:00", f"{days[0]}T12:10", 1),
    ]
    found = seen(clerk + guest)
    assert len(home.qualified(found, clause())) == 16
    assert len(home.qualified(found, clause(minimum_stay=15))) == 15
    left = home.qualified(found, clause(minimum_stay=15, leaves_out=("staff", "passers-by")))
    assert [left.people[p] for p in left.person] == ["guest"]
    homes = np.array([1, -1, -1])  # the clerk lives there
    left = home.qualified(found, clause(leaves_out=("residents",)), homes)
    assert sorted({left.people[p] for p in left.person}) == ["guest", "walker"]


def test_pings_that_are_not_exact_or_not_readable_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "pings.csv"
    path.write_text(
        "who,when,y,x,acc\n"
        "a,2026-03-02 01:00:00,30.0,120.0,10\n"
        "a,2026-03-02 01:10:00,30.0,120.0,500\n"
        "a,soon,30.0,120.0,10\n"
        "a,2026-03-02 01:20:00,130.0,120.0,10\n",
        encoding="utf-8",
    )
    read = home.read_pings(path, device="who", at="when", lat="y", lon="x", accuracy="acc")
    assert (len(read), read.dropped) == (1, 3)
    with pytest.raises(Fault, match=r"pings\.empty"):
        home.read_pings(path, device="who", at="when", lat="y", lon="x", accuracy="acc", worst=1)


# --- home and work ------------------------------------------------------------------------------------


def town_life(weeks: int = 2) -> Route:
    """A commuter, a night worker and somebody seen twice."""
    route = []
    for n, d in enumerate(days_between(DAY0, DAY0 + np.timedelta64(7 * weeks - 1, "D"))):
        morning, next_day = str(d), str(d + np.timedelta64(1, "D"))
        route.append(("commuter", f"{morning}T20:30", f"{next_day}T07:30", 0))
        route.append(("nightly", f"{morning}T21:30", f"{next_day}T06:00", 2))
        route.append(("nightly", f"{next_day}T10:00", f"{next_day}T16:30", 3))
        if n % 7 < 5:
            route.append(("commuter", f"{morning}T09:10", f"{morning}T17:40", 1))
        if n % 7 == 5:
            route.append(("commuter", f"{morning}T14:00", f"{morning}T15:00", 4))
    return [*route, ("rare", "2026-03-03T22:00", "2026-03-04T06:00", 5)]


def test_homes_works_and_visits() -> None:
    found = seen(town_life())
    known = home.anchors(found, ZONE)
    of = {name: (int(known.home[n]), int(known.work[n])) for n, name in enumerate(found.people)}
    assert of["commuter"] == (0, 1)
    assert of["rare"] == (-1, -1)
    # Who is away at night and sleeps by day is taken for the other way round: a rule sees hours, not lives.
    assert of["nightly"] == (2, 3)
    tables = home.tables(found, known, places())
    assert tables["homes"].to_pylist() == [
        {"id": "commuter", "home": "p0"},
        {"id": "nightly", "home": "p2"},
    ]
    assert tables["works"].to_pylist()[0] == {"id": "commuter", "work": "p1"}
    visited = {(row["id"], row["place"]) for row in tables["visits"].to_pylist()}
    assert visited == {("commuter", "p4"), ("rare", "p5")}


def test_sensitive_places_are_not_written_down() -> None:
    found = seen(town_life())
    known = home.anchors(found, ZONE)
    clinic = (
        places()
        .to_arrow()
        .set_column(2, "type", [["mall", "clinic", "mall", "mall", "mosque", "mall"]])
    )
    tables = home.tables(found, known, from_table(clinic))
    assert tables["works"].to_pylist() == [
        {"id": "nightly", "work": "p3"}
    ]  # the commuter's is the clinic
    assert {row["place"] for row in tables["visits"].to_pylist()} == {"p5"}
    assert home.tables(found, known, places(), excluded=("mall",))["visits"].num_rows == 0


def test_rules_can_be_changed() -> None:
    found = seen(town_life())
    strict = home.anchors(found, ZONE, home.Rules(nights=40))
    assert (strict.home == -1).all()


# --- weights ------------------------------------------------------------------------------------------


def test_penetration_of_small_zones_is_shrunk() -> None:
    zone = np.repeat([0, 1], [8000, 2])
    told = home.penetration(zone, np.array([100_000.0, 100_000.0, 1000.0]))
    assert told.rate[0] == pytest.approx(0.08, rel=0.02)
    assert (
        0.0002 < told.rate[1] < 0.001
    )  # two members say little, but they are few among many people
    assert (
        0.01 < told.rate[2] < 8002 / 201_000
    )  # nobody among a thousand: below the rate of all, not nothing


def test_weights_add_up_to_every_margin() -> None:
    random = np.random.default_rng(2)
    zone = random.choice(4, 6000, p=[0.5, 0.3, 0.15, 0.05])
    age = np.where(random.random(6000) < 0.8, 0, 1)
    margins = [home.Margin("zone", zone, np.array([25e3, 25e3, 25e3, 25e3])),
               home.Margin("age", age, np.array([40e3, 60e3]))]  # fmt: skip
    told = home.weights(margins, most=50)
    assert told.worst < 0.02
    assert told.weight.sum() == pytest.approx(100e3)
    assert np.bincount(age, told.weight) == pytest.approx([40e3, 60e3], rel=0.02)
    assert np.bincount(zone, told.weight)[3] == pytest.approx(25e3, rel=0.1)
    assert told.effective < 6000


def test_no_member_stands_for_a_crowd() -> None:
    zone = np.repeat([0, 1], [5000, 5])
    told = home.weights([home.Margin("zone", zone, np.array([50e3, 50e3]))], most=5)
    assert told.weight.max() <= 5.1 * np.median(told.weight)
    assert told.cut == 5
    with pytest.raises(Fault, match=r"population\.margin"):
        home.weights([home.Margin("zone", np.array([7]), np.array([1.0]))])


def test_weighting_takes_the_bias_of_a_panel_away() -> None:
    """A panel with 8 % of one half of the town and 2 % of the other; the halves visit different places."""
    random = np.random.default_rng(5)
    truth = np.array([30_000, 30_000])
    zone = np.repeat([0, 1], [int(50_000 * 0.08), int(50_000 * 0.02)])
    goes = random.random(zone.size) < 0.6
    raw = np.bincount(zone[goes], minlength=2) * 100_000 / zone.size
    told = home.weights([home.Margin("zone", zone, np.array([50e3, 50e3]))])
    weighed = np.bincount(zone[goes], told.weight[goes], minlength=2)
    assert abs(raw / truth - 1).max() > 0.5
    assert abs(weighed / truth - 1).max() < 0.07


# --- counts and protection ----------------------------------------------------------------------------


def test_counts_by_hand() -> None:
    route = [
        ("a", "2026-03-02T09:00", "2026-03-02T10:00", 0), ("a", "2026-03-02T12:00", "2026-03-02T13:00", 0),
        ("b", "2026-03-02T09:00", "2026-03-02T09:30", 0), ("b", "2026-03-03T09:00", "2026-03-03T09:30", 2),
    ]  # fmt: skip
    found, dates = seen(route), days_between("2026-03-02", "2026-03-03")
    weights = np.array([10.0, 20.0])
    told = {
        m: home.counted(found, places().ids, dates, m, weights=weights).value[[0, 2]].tolist()
        for m in ("arrivals", "people", "dwell")
    }
    assert told == {
        "arrivals": [[40, 0], [0, 20]], "people": [[30, 0], [0, 20]], "dwell": [[1800, 0], [0, 600]]
    }  # fmt: skip


def test_a_person_counts_at_few_places_and_for_few_arrivals() -> None:
    route = [
        ("a", f"2026-03-02T{10 + n}:00", f"2026-03-02T{10 + n}:{30 if n < 5 else 40}", n)
        for n in range(6)
    ]
    bounds = home.Bounds(places=2, arrivals=1, minutes=35)
    dates = days_between("2026-03-02", "2026-03-02")
    told = home.counted(seen(route), places().ids, dates, "dwell", bounds=bounds)
    assert sorted(told.value.reshape(-1).tolist()) == [0, 0, 0, 0, 30, 35]
    assert told.value[5, 0] == 35  # the longest, of which 35 minutes count


def test_sampling_error_covers_what_a_panel_misses() -> None:
    random = np.random.default_rng(7)
    true, rate, inside = 4000, 0.05, 0
    for _ in range(200):
        members = int(random.binomial(true, rate))
        told = raw_days(np.array([[members]]), 1 / rate)
        inside += abs(float(told.value[0, 0]) - true) <= 1.96 * float(told.deviation[0, 0])
    assert 180 <= inside <= 199


def test_noise_follows_its_law() -> None:
    """Discrete Laplace at epsilon 0.5: P(0) and the variance, to four standard errors with 200,000 draws."""
    draws = discrete_laplace(0.5, 200_000, SeededEntropy("law"))
    ratio = np.exp(-0.5)
    assert abs((draws == 0).mean() - (1 - ratio) / (1 + ratio)) < 4 * 0.001
    assert draws.var() == pytest.approx(2 * ratio / (1 - ratio) ** 2, rel=0.03)
    assert abs(draws.mean()) < 4 * np.sqrt(draws.var() / draws.size)


def raw_days(people: np.ndarray, weight: float, places_a_day: int = 3) -> home.PlaceDays:
    """Counts of members of one weight each."""
    return home.PlaceDays(
        tuple(f"p{n}" for n in range(people.shape[0])), DAY0 + np.arange(people.shape[1]), people * weight,
        people, "people", weight, weight, home.Bounds(places=places_a_day), weight - 1,
    )  # fmt: skip


def test_few_people_are_not_told_and_many_are_told_with_noise() -> None:
    people = np.repeat([[0], [20], [5000]], 1000, axis=1)
    raw = raw_days(people, 20.0)
    told = home.protect(raw, home.Protection(k=20, epsilon=1.0), SeededEntropy("k"))
    shown = np.isfinite(told.value).mean(axis=1)
    assert shown[0] <= 0.004
    assert shown[1] <= 0.02
    assert shown[2] == 1.0
    off = told.value[2] - raw.value[2]
    assert off.std() == pytest.approx(told.noise, rel=0.15)
    assert set(np.unique(told.people[2])) == {20}  # not the true number behind it
    assert told.deviation[2, 0] > raw.deviation[2, 0]


def test_a_neighbouring_day_cannot_be_told_apart() -> None:
    """One person more or less at one place: each outcome at most exp(epsilon) more likely, in 60,000 draws."""
    rules, n = home.Protection(k=5, epsilon=1.0, sure=0.6), 60_000
    outcomes = []
    for people, seed in ((5, "without"), (6, "with")):
        raw = raw_days(np.full((1, n), people), 1.0, 1)
        value = home.protect(raw, rules, SeededEntropy(seed)).value.reshape(-1)
        outcomes.append(np.histogram(np.nan_to_num(value, nan=-1.0), np.arange(-1.5, 40, 1))[0])
    often = (outcomes[0] >= 1000) & (outcomes[1] >= 1000)
    assert often.sum() >= 5
    assert np.abs(np.log(outcomes[0][often] / outcomes[1][often])).max() <= 1.0 + 0.15


def test_protection_has_limits() -> None:
    with pytest.raises(Fault, match=r"protection\.limits"):
        home.Protection(k=1)


# --- cells --------------------------------------------------------------------------------------------


def grid(side: int = 8) -> tuple[np.ndarray, np.ndarray]:
    lat, lon = np.meshgrid(
        30 + np.arange(side) * 0.002, 120 + np.arange(side) * 0.002, indexing="ij"
    )
    return lat.reshape(-1), lon.reshape(-1)


def test_a_place_is_a_mix_of_at_least_five_cells_and_the_nearest_counts_most() -> None:
    lat, lon = grid()
    told = home.nearness(np.array([30.0041]), np.array([120.0041]), lat, lon, 200.0)
    assert (told.weight[0] > 0).sum() >= 5
    assert told.weight[0, 0] == told.weight[0].max()
    assert told.weight.sum() == pytest.approx(1.0)
    assert np.allclose(told.applied(np.full((64, 3), 7.0)), 7.0)
    with pytest.raises(Fault, match=r"cells\.few"):
        home.nearness(lat[:1], lon[:1], lat[:4], lon[:4], 200.0)


def test_fitted_weights_find_the_cells_that_a_place_follows() -> None:
    random = np.random.default_rng(8)
    lat, lon = grid()
    dates = days_between("2026-01-01", "2026-03-31")
    cells = 500 * np.exp(random.normal(0, 0.3, (64, dates.size)))
    start = home.nearness(np.array([30.0041]), np.array([120.0041]), lat, lon, 200.0)
    true = np.array([0.05, 0.6, 0.05, 0.05, 0.2, 0.05, 0.0, 0.0])
    counts = (
        (true @ cells[start.cell[0]])[None] * 3 * np.exp(random.normal(0, 0.03, (1, dates.size)))
    )
    names = [f"c{n}" for n in range(64)]
    told = from_matrix(["p"], dates, counts)
    learnt = home.fitted(
        start, from_matrix(names, dates, cells), told, dates[-1], dates[:60], hold=0.02
    )
    assert learnt.fitted.tolist() == [True]
    assert (learnt.weight[0, :5] >= 0.019).all()
    later = slice(60, None)

    def error(weights: home.CellWeights) -> float:
        mixed = weights.applied(cells)[0, later]
        ratio = np.log(counts[0, later] / mixed)
        return float(np.std(ratio))

    assert error(learnt) < 0.5 * error(start)


def test_unknown_cells_are_left_out_until_fewer_than_five_are_known() -> None:
    lat, lon = grid()
    told = home.nearness(np.array([30.0041]), np.array([120.0041]), lat, lon, 200.0, nearest=8)
    cells = np.full((64, 2), 7.0)
    cells[told.cell[0, :3], 0] = np.nan
    cells[told.cell[0, :4], 1] = np.nan
    mixed = told.applied(cells)
    assert mixed[0, 0] == pytest.approx(7.0)
    assert np.isnan(mixed[0, 1])


# --- all together -------------------------------------------------------------------------------------


def test_from_pings_to_a_feed() -> None:
    route = [(f"d{n:03}", "2026-03-02T12:00", "2026-03-02T13:00", 1) for n in range(200)]
    found = home.qualified(seen(route), clause(minimum_stay=10))
    raw = home.counted(
        found,
        places().ids,
        days_between("2026-03-02", "2026-03-02"),
        "people",
        weights=np.full(200, 25.0),
    )
    told = home.protect(raw, home.Protection(), SeededEntropy("all")).feed("panel", lateness=2)
    assert told.known("2026-03-04", [DAY0])[1, 0] == pytest.approx(5000, abs=2500)
    assert np.isnan(told.known("2026-03-03", [DAY0])).all()
    assert len(told) == 1


@pytest.mark.slow
def test_a_million_pings_take_seconds() -> None:
    random = np.random.default_rng(1)
    rows = 1_000_000
    table = pa.table({
        "device": np.char.add("d", random.integers(0, 4000, rows).astype(str)),
        "at": pa.array((1_772_323_200 + random.integers(0, 28 * 86_400, rows)).astype("datetime64[s]")),
        "lat": 30 + random.random(rows) * 0.02, "lon": 120 + random.random(rows) * 0.02,
    })  # fmt: skip
    home.stays(home.read_pings(table.slice(0, 1000)))  # compiled
    started = time.perf_counter()
    found = home.visits(home.stays(home.read_pings(table)), places(), zone=ZONE)
    home.counted(found, places().ids, days_between("2026-03-01", "2026-03-28"), "people")
    assert time.perf_counter() - started < 20
