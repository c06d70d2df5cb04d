"""Columns that stay with their holder: the same trees, and messages that say nothing of labels or columns."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from hanse.engine.lattice import Public, encrypt
from hanse.entropy import SeededEntropy
from hanse.errors import Foul, HanseError
from hanse.gate.record import Record
from hanse.places.crowd.federation import Federation, gather
from hanse.places.crowd.hidden import Bounds, Hidden, Holder
from hanse.places.crowd.trees import BINS, LEAST, Open, TreeSettings, binned, boost, group_ends
from hanse.wire import Frame, Hall

PLACES, OWNERS = 150, 3
SETTINGS = TreeSettings(trees=4, depth=2, column_share=0.7, row_share=1.0, clip=1.0)
JOB = b"a job of the tests".ljust(32, b".")


def city(seed: int = 4):
    """(columns of two holders, public columns, labels, rows of each owner)."""
    chance = np.random.default_rng(seed)
    map_, operator = chance.normal(size=(PLACES, 3)), chance.normal(size=(PLACES, 2))
    public = chance.normal(size=(PLACES, 2))
    label = (
        map_[:, 0] + 0.7 * operator[:, 1] + 0.3 * public[:, 0] + 0.3 * chance.normal(size=PLACES)
    )
    whose = chance.integers(0, OWNERS, PLACES)
    rows = [(whose == number) & (np.arange(PLACES) < 130) for number in range(OWNERS)]
    return [binned([t]).codes for t in (map_, operator)], binned([public]).codes, label, rows


class Crooked(Hidden):
    """An owner that names another bin of the same column than all agreed on; the holder had offered it, too."""

    def counts(self, nodes, count, columns):
        found = super().counts(nodes, count, columns)
        self.ends = {int(c): np.flatnonzero(group_ends(found)[0, n]) for n, c in enumerate(columns)}
        return found

    def right(self, column, last):
        return super().right(column, next((int(e) for e in self.ends[column] if e != last), last))


def hidden_run(tap=None, label=None, break_owner=False):
    """(what each owner is told, records): three owners, two holders, a thread each."""
    held, public, truth, rows = city()
    truth = truth if label is None else label
    names = [f"owner {i}" for i in range(OWNERS)] + ["map", "operator"]
    hall = Hall(len(names), names=tuple(names), tap=tap, patience=20.0)
    records = [Record() for _ in range(OWNERS)]
    errors: list[BaseException] = []

    def serve(number: int) -> None:
        try:
            entropy = SeededEntropy(f"holder {number}")
            Holder(hall.channel(OWNERS + number), range(OWNERS), held[number], JOB, entropy,
                   Bounds(SETTINGS.trees, SETTINGS.depth)).serve()  # fmt: skip
        except HanseError as error:
            errors.append(error)
            hall.fail(error)

    def part(number: int):
        def work(end: Federation):
            kind = Crooked if break_owner and number == 1 else Hidden
            columns = kind(hall.channel(number), [(3, "map"), (4, "operator")], names[number], public, JOB,
                           SeededEntropy(f"owner {number}"), records[number])  # fmt: skip
            told = boost(end, columns, truth, rows[number], SETTINGS, "level", 5).told
            columns.end()
            return told

        return work

    threads = [threading.Thread(target=serve, args=(i,), daemon=True) for i in range(2)]
    for thread in threads:
        thread.start()
    try:
        told = gather([part(i) for i in range(OWNERS)])
    except HanseError as error:
        raise errors[0] if errors else error from None
    for thread in threads:
        thread.join(20)
    if errors:
        raise errors[0]
    return told, records


def open_run():
    held, public, label, rows = city()
    codes = np.concatenate([public, *held], axis=1)
    whole = np.logical_or.reduce(rows)
    return gather([lambda end: boost(end, Open(codes), label, whole, SETTINGS, "level", 5).told])[0]


def test_hidden_columns_grow_the_trees_that_open_ones_do():
    told, _ = hidden_run()
    plain = open_run()
    assert np.allclose(told[0], told[1])
    assert np.allclose(told[0], told[2])
    assert np.abs(told[0] - plain).max() < 0.01  # the lattice's noise moves no leaf by more
    assert np.corrcoef(plain, city()[2])[0, 1] > 0.5


def test_nothing_an_owner_sends_depends_on_its_labels_in_a_way_that_shows():
    """What goes to holders: ciphertext bodies and keys look uniform; the rest is nodes, columns and splits."""
    sent: list[Frame] = []

    def tap(frame: Frame) -> Frame:
        if frame.source < OWNERS:
            sent.append(frame)
        return frame

    hidden_run(tap)
    kinds = {frame.step.split(".")[-1] for frame in sent if not frame.step.split(".")[-1].isdigit()}
    assert kinds == {"body", "key", "nodes", "shape", "columns", "split"}
    bodies = np.concatenate([f.body.reshape(-1) for f in sent if f.step.endswith(".body")])
    bits = np.unpackbits(bodies.view(np.uint8)).mean()
    # n bits at one half: a deviation of 5 standard errors has probability 6e-7
    assert abs(bits - 0.5) < 5 * 0.5 / np.sqrt(bodies.size * 32)
    label = city()[2]
    numbers = [f.body for f in sent if isinstance(f.body, np.ndarray) and f.body.dtype.kind == "f"]
    assert not numbers
    assert all(label.tobytes() not in np.asarray(f.body).tobytes() for f in sent)


def test_nothing_a_holder_sends_holds_a_column():
    sent: list[Frame] = []

    def tap(frame: Frame) -> Frame:
        if frame.source >= OWNERS:
            sent.append(frame)
        return frame

    _, records = hidden_run(tap)
    steps = [f.step.split(".")[-1] for f in sent]
    assert {s for s in steps if not s.isdigit()} == {"columns", "counts", "sums", "body", "right"}
    held = city()[0]
    for frame in sent:
        blob = np.asarray(frame.body).tobytes()
        assert not any(
            codes[:, k].tobytes() in blob for codes in held for k in range(codes.shape[1])
        )
    assert all("sums of gradients" in opening.what for opening in records[0].openings)
    assert all(opening.to == ("owner 0",) for opening in records[0].openings)


def test_owners_that_name_different_splits_are_found_out():
    with pytest.raises(Foul, match="different splits"):
        hidden_run(break_owner=True)


def test_groups_of_bins_hold_enough_places_on_both_sides():
    counts = np.array([[[5, 10, 8, 30, 3, 2, 40, 1, 0, 0]]])
    ends = group_ends(counts)
    assert ends[0, 0].tolist() == [
        False,
        False,
        True,
        True,
        False,
        False,
        False,
        False,
        False,
        False,
    ]
    up_to = counts.cumsum(axis=2)[ends]
    assert (np.diff(np.r_[0, up_to]) >= LEAST).all()
    assert counts.sum() - up_to[-1] >= LEAST


def crooked(*asks):
    """The error with which a holder of two columns answers the ``asks`` of one owner, or what it told."""
    codes = np.ascontiguousarray(city()[0][0][:, :2])
    hall, found = Hall(2, names=("owner", "map"), patience=5.0), []

    def serve() -> None:
        try:
            bounds = Bounds(trees=2, depth=2)
            Holder(hall.channel(1), [0], codes, JOB, SeededEntropy("holder"), bounds).serve()
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=serve, daemon=True)
    channel = hall.channel(0)
    thread.start()
    counter = iter(range(10_000))
    _, begin = encrypt(Public(JOB, PLACES), np.zeros((1, PLACES), np.int64), SeededEntropy("owner"))
    for kind, *rest in [*asks, ("end",)]:
        step = f"ask.{next(counter)}"
        number = ("begin", "count", "sums", "right", "end").index(kind)
        channel.send(1, step, np.array([number], np.int64))
        if kind == "begin":
            channel.send(1, f"{step}.body", begin.body)
            channel.send(1, f"{step}.key", begin.key)
        elif kind == "count":
            nodes, count, columns = rest
            channel.send(1, f"{step}.nodes", np.asarray(nodes, np.int64))
            channel.send(1, f"{step}.shape", np.array([count, len(columns)], np.int64))
            channel.send(1, f"{step}.columns", np.asarray(columns, np.int64))
        elif kind == "right":
            channel.send(1, f"{step}.split", np.array(rest, np.int64))
    thread.join(10)
    assert len(found) < 2
    if found:
        return found[0]
    assert channel.receive(1, "columns", np.dtype("<i8"), (1,))[0] == 2
    return channel


ALL = np.zeros(PLACES, np.int64)
ONE = np.where(np.arange(PLACES) == 7, 0, -1)  # a node of one place


def split_offered():
    counts = Open(city()[0][0]).counts(ALL, 1, np.array([0]))
    return int(np.flatnonzero(group_ends(counts)[0, 0])[0])


@pytest.mark.parametrize(
    ("asks", "code"),
    [
        ([("right", 0, 4)], "crowd.asked"),  # before any tree
        ([("begin",), ("sums",)], "crowd.asked"),
        ([("begin",), ("count", ALL, 1, [0]), ("right", 0, 0)], "crowd.split"),  # a bin of few
        ([("begin",), ("count", ALL, 1, [0]), ("right", 1, split_offered())], "crowd.split"),
        ([("begin",)] * 3, "crowd.asked"),
        ([("begin",), *[("count", ALL, 1, [0])] * 3], "crowd.asked"),
        ([("begin",), ("count", ALL, 1, [0]), *[("right", 0, split_offered())] * 4], "crowd.asked"),
        ([("begin",), ("count", ALL, 1, [0]), ("sums",), ("sums",)], "crowd.asked"),
        ([("begin",), ("count", ALL, 1, [0] * 100_000)], "crowd.nodes"),
        ([("begin",), ("count", ALL, 1, [0, 0])], "crowd.nodes"),
        ([("begin",), ("count", np.arange(PLACES), PLACES, [0, 1])], "crowd.nodes"),
        ([("begin",), ("count", ALL - 2, 1, [0])], "crowd.nodes"),
    ],
)  # fmt: skip
def test_an_owner_that_asks_for_more_than_trees_need_is_refused(asks, code):
    found = crooked(*asks)
    assert isinstance(found, Foul), found
    assert found.code == code


def test_nothing_is_told_of_a_node_of_few_places():
    channel = crooked(("begin",), ("count", ONE, 1, [0, 1]))
    counts = channel.receive(1, "ask.1.counts", np.dtype("<i8"), (1, 2, BINS + 1))
    assert not counts.any()
    channel = crooked(("begin",), ("count", ALL, 1, [0, 1]))
    counts = channel.receive(1, "ask.1.counts", np.dtype("<i8"), (1, 2, BINS + 1))
    assert (counts.sum(axis=2) == PLACES).all()


@pytest.mark.parametrize("width", [-1, 0, 65, 10**12])
def test_a_holder_that_announces_columns_without_end_is_named(width):
    hall = Hall(2, names=("owner", "map"), patience=5.0)
    hall.channel(1).send(0, "columns", np.array([width], np.int64))
    with pytest.raises(Foul, match="map says") as found:
        Hidden(
            hall.channel(0), [(1, "map")], "owner", city()[1], JOB, SeededEntropy("owner"), Record()
        )
    assert found.value.code == "crowd.columns"


@pytest.mark.parametrize("wrong", [-5, 10**15])
def test_a_holder_that_counts_what_is_not_there_is_named(wrong):
    hall, public = Hall(2, names=("owner", "map"), patience=5.0), city()[1]
    holder = hall.channel(1)
    holder.send(0, "columns", np.array([1], np.int64))
    columns = Hidden(
        hall.channel(0), [(1, "map")], "owner", public, JOB, SeededEntropy("owner"), Record()
    )
    counts = np.zeros((1, 1, BINS + 1), np.int64)
    counts[0, 0, :2] = wrong, PLACES - wrong
    holder.send(0, "ask.0.counts", counts)
    with pytest.raises(Foul, match="map counts") as found:
        columns.counts(ALL, 1, np.array([public.shape[1]]))
    assert found.value.code == "crowd.bins"
