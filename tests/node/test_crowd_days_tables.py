"""Places that nobody counts: trees over tables that stay with their holders, between nodes under a contract."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crowd_federation import NAMES, CrowdFederation, clause, feeds

from hanse.engine.shares import octets
from hanse.errors import Refusal
from hanse.node.faces import crowd_days, facade
from hanse.places.city import Views, Wish
from hanse.places.crowd.federation import Alone
from hanse.places.crowd.newcomers import public_columns
from hanse.places.crowd.trees import Open, binned
from hanse.places.daily import run, state, tables
from hanse.places.daily.reading import calendar_of, ground_of
from hanse.places.feeds.feed import days_between
from hanse.wire import Frame

PLACES, BACK = 180, 12
WISH = Wish(
    places=PLACES, people=0, days=300, seed=3, kinds=("supermarket",), views=Views(counted=1.0)
)
SITE_COLUMNS = [
    {"name": "place", "kind": "place", "uses": ["place"], "gazetteer": "city"},
    {"name": "tills", "kind": "number", "uses": ["feature"]},
    {"name": "parking", "kind": "number", "uses": ["feature"]},
]
Sent = tuple[str, str, Frame]  # from, to
TABLES = [
    {"dataset": "app", "place": "place", "date": "day", "reported": "told", "values": ["people"]},
    {"dataset": "sites", "place": "place", "values": ["tills", "parking"]},
]


def never(number: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Every third place has no counter."""
    return number % 3 == 2


def sites(made: Any) -> pa.Table:
    """What the operator knows of each store besides: tills by its size, parking by nothing."""
    chance = np.random.default_rng(8)
    size = np.nanmean(np.where(made.is_open, made.truth, np.nan), axis=1)
    tills = size / 90 * np.exp(chance.normal(0, 0.25, size.size))
    return pa.table(
        {
            "place": list(made.places.ids),
            "tills": tills,
            "parking": chance.uniform(5, 50, size.size),
        }
    )


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrowdFederation]:
    made = CrowdFederation.found(tmp_path_factory.mktemp("tables"), WISH)
    counted = feeds(made.made)["counted"]
    made.give("counted", counted.where(~never(counted.place)))
    pq.write_table(sites(made.made), made.source("sites"))
    with made["operator"].office() as office:
        office.register_dataset({
            **made.described("mobiles"), "name": "sites", "source": {"path": str(made.source("sites"))},
            "columns": [{"name": c["name"], "column": c["name"], "kind": c["kind"]} for c in SITE_COLUMNS],
        })  # fmt: skip
    with made.run():
        yield made


def agreed(nodes: CrowdFederation, **changes: Any) -> str:
    """A contract with tables."""
    datasets = [*nodes.terms()["datasets"],
                {"name": "sites", "provider": "operator", "capacity": 1000, "slots": 1, "personal": False,
                 "columns": SITE_COLUMNS}]  # fmt: skip
    return nodes.contract(datasets=datasets, crowds=[clause(**({"tables": TABLES} | changes))])


def columns_of(nodes: CrowdFederation, contract: str) -> dict[str, Any]:
    """Each holder's columns as bins [places, columns], read as it reads them."""
    terms = nodes["maps"].running.office.bundle(contract).contract
    crowd = terms.crowds[0]
    calendar = calendar_of(crowd, nodes.day(BACK))
    found = {}
    for table in crowd.tables:
        name = terms.dataset(table.dataset).provider
        dataset = nodes[name].running.office.dataset(table.dataset)
        made = tables.bins_at_home(dataset, table, ground_of(nodes.made.places), calendar,
                                   calendar.days[crowd.history_days])  # fmt: skip
        found[name] = made.codes
    return found


@contextmanager
def tapped(nodes: CrowdFederation) -> Iterator[list[Sent]]:
    """Every frame that leaves a node, with who sends it to whom."""
    frames: list[Sent] = []
    for name, member in nodes.members.items():

        def tap(to: str, frame: Frame, name: str = name) -> Frame:
            frames.append((name, to, frame))
            return frame

        member.running.exchange.tap = tap
    try:
        yield frames
    finally:
        for member in nodes.members.values():
            member.running.exchange.tap = None


def told_of(nodes: CrowdFederation, contract: str, asking: str = "counters") -> run.DayTold:
    """A day as the owner has it, withheld numbers too."""
    found: list[run.DayTold] = []
    real = run.tell
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "tell", lambda *given: found.append(real(*given)) or found[-1])
        nodes.tell(contract, nodes.day(BACK), asking=asking)
    return found[0]


def off(nodes: CrowdFederation, figures: run.Figures) -> float:
    """Root mean square of the log error at places that nobody counts, of all numbers, told or withheld."""
    made = nodes.made
    true = np.where(made.is_open, made.truth, np.nan)[:, -1 - BACK]
    place = np.flatnonzero(never(np.arange(PLACES)) & (true > 0))
    return float(np.sqrt(np.mean(np.log(figures.point[place, 0] / true[place]) ** 2)))


@pytest.fixture(scope="module")
def trained(nodes: CrowdFederation) -> tuple[str, str, list[Sent]]:
    """(a contract whose model was trained, the training, what crossed meanwhile)."""
    contract = agreed(nodes)
    with tapped(nodes) as frames:
        outcome = nodes.train(contract, nodes.day(BACK))
    return contract, outcome.job, frames


def in_one_place(nodes: CrowdFederation, contract: str, held: list[Any]) -> dict[str, Any]:
    """The state of a model with ``held`` columns, after the public ones, in the clear at the owner."""
    terms = nodes["counters"].running.office.bundle(contract).contract
    crowd = terms.crowds[0]
    calendar = calendar_of(crowd, nodes.day(BACK))
    scene = run.Scene(
        crowd, terms.truths[0], ground_of(nodes.made.places), calendar, crowd.history_days
    )
    counted = feeds(nodes.made)["counted"]
    known = run.known(scene, counted.where(~never(counted.place)))
    codes = np.concatenate([binned([public_columns(scene.ground)]).codes, *held], axis=1)
    return run.train(Alone(), scene, known, None, None, Open(codes))[0]


def test_stores_that_nobody_counts(nodes: CrowdFederation, trained: Any) -> None:
    contract, job, _ = trained
    told = told_of(nodes, contract)
    held = never(np.arange(PLACES))
    assert (told.figures.regime[held] == run.NEVER).all()
    with facade.office_of(nodes["maps"].folder) as office:
        rows = crowd_days.figures(office, "shops", nodes.day(BACK), contract)
    marked = {row["place"]: row["regime"] for row in rows}
    names = nodes.made.places.ids
    assert {marked[names[n]] for n in np.flatnonzero(held)} == {"never measured"}
    assert {marked[names[n]] for n in np.flatnonzero(~held)} >= {"history"}
    # With all columns in the clear at one place the trees are the same, up to the noise of the ciphertexts.
    kept = nodes["counters"].running.office.models.document(job)["block"]["prior"]
    plain = in_one_place(nodes, contract, list(columns_of(nodes, contract).values()))["prior"]
    assert np.abs(state.unpacked(kept["mean"]) - state.unpacked(plain["mean"])).max() < 0.02
    public = in_one_place(nodes, contract, [])["prior"]
    size = np.nanmean(
        np.where(nodes.made.is_open, np.log(np.maximum(nodes.made.truth, 1.0)), np.nan), axis=1
    )
    joint, alone = (size[held] - state.unpacked(one["mean"])[held, 0] for one in (kept, public))
    assert joint.std() < 0.7 * alone.std(), "tables of others do not help where nobody counts"
    assert off(nodes, told.figures) < 0.4


def test_no_column_and_no_count_is_in_any_frame(nodes: CrowdFederation, trained: Any) -> None:
    contract, _, frames = trained
    bodies = [octets(f.body).tobytes() for _, _, f in frames if isinstance(f.body, np.ndarray)]
    sent = b"|".join(bodies)
    assert len(sent) > 1_000_000
    for name, codes in columns_of(nodes, contract).items():
        for column in codes.T:
            for shown in (
                column,
                column.astype(np.int64),
                column.astype(np.float64),
                column.astype(np.uint32),
            ):
                assert octets(np.ascontiguousarray(shown)).tobytes() not in sent, name
    held = pq.read_table(nodes.source("sites"))
    for column in ("tills", "parking"):
        values = held[column].to_numpy()
        for shown in (values, np.log(values), np.log1p(values)):
            assert shown[:8].tobytes() not in sent, column
    counted = feeds(nodes.made)["counted"]
    last = np.datetime64(nodes.day(BACK)) - 4
    for row in counted.known(nodes.day(0), days_between(last - 20, last)):
        for shown in (row, np.log(row)) if (row > 0).all() else ():
            assert shown.tobytes() not in sent


def test_who_is_sent_what(nodes: CrowdFederation, trained: Any) -> None:
    """Ciphertexts, nodes and splits to holders; counts, sums and sides of splits to the owner, to nobody else."""
    _, job, frames = trained
    kinds: dict[tuple[str, str], set[str]] = {}
    for sender, reader, frame in frames:
        if re.fullmatch(r"ask\.\d+(\.\w+)?", frame.step) and isinstance(frame.body, np.ndarray):
            kind = frame.step.split(".")[2] if frame.step.count(".") == 2 else "ask"
            kinds.setdefault((sender, reader), set()).add(kind)
    asks, answers = (
        {"ask", "body", "key", "nodes", "shape", "columns", "split"},
        {"counts", "sums", "body", "right"},
    )
    assert set(kinds) == {
        ("counters", "maps"),
        ("counters", "operator"),
        ("maps", "counters"),
        ("operator", "counters"),
    }
    assert kinds["counters", "maps"] | kinds["counters", "operator"] == asks
    assert kinds["maps", "counters"] | kinds["operator", "counters"] == answers
    words = np.concatenate([np.asarray(f.body).reshape(-1) for s, _, f in frames
                            if s == "counters" and re.fullmatch(r"ask\.\d+\.body", f.step)])  # fmt: skip
    ones = np.unpackbits(words.view(np.uint8)).mean()
    # n bits at one half: a deviation of 5 standard errors has probability 6e-7
    assert abs(ones - 0.5) < 5 * 0.5 / np.sqrt(words.size * 32)
    for name in NAMES:
        body = next(e for e in nodes[name].entries("disclosure") if e["job"] == job)
        told = [(o["step"], o["to"]) for o in body["openings"]]
        assert ("tables", ["counters"]) in told, name
        assert ("tables", ["maps", "operator"]) in told, name


def test_a_table_that_is_gone(nodes: CrowdFederation) -> None:
    contract, source = agreed(nodes), nodes.source("sites")
    hidden = source.with_suffix(".away")
    source.rename(hidden)
    try:
        outcome = nodes.train(contract, nodes.day(BACK))
    finally:
        hidden.rename(source)
    assert outcome.result["adopted"]
    office = nodes["operator"].running.office
    said = "\n".join(line.message for line in office.store.jobs.lines(outcome.job, 1))
    assert "sites brings nothing to this job: [catalog.missing-file]" in said
    assert "app: " not in said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([TABLES[0], {**TABLES[1], "dataset": "app"}], "name a dataset twice"),
        ([{**TABLES[1], "values": ["tills", "tills"]}], "name a value twice"),
        ([{**TABLES[1], "values": ["shelves"]}], "has no column 'shelves'"),
        ([{**TABLES[1], "reported": "place"}], "have a day of the report but no day"),
        ([{"dataset": "counted", "place": "place", "values": ["people"]}], "cannot also bring a table"),
        ([TABLES[1], {"dataset": "mobiles", "place": "place", "values": ["people"]}], "brings two tables"),
    ],
)  # fmt: skip
def test_tables_that_no_contract_may_have(nodes: CrowdFederation, given: Any, said: str) -> None:
    with pytest.raises(Refusal) as refused:
        agreed(nodes, tables=given)
    assert said in refused.value.message
