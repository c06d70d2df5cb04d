"""Where target groups are: people of a crowd per place, against the crowd's share everywhere, and never who.

 1. plan      the places of a public list that may be asked about, areas that they make up, the price of each level
 2. program   each provider that knows where people are says it in two permutations that no seat can read
 3. align     the providers' rows into anonymous people                                     (room `align`)
 4. tell      which people are of the base, and of each target group: bits that nobody sees
 5. count     people of each kind everywhere, and at each place, in shares           (`align.programs`)
 6. add up    places to districts, cells, cities, before any noise
 7. release   noise per area; base and target people from k on                              (room `gate`)

Reveals: to recipients, the noised counts that reach the threshold; to seats, what `align` reveals, and how many
rows and places are declared; to nobody: who is at which place, how many rows a place has. Assumes: semi-honest
seats, honest majority. A person counts at up to `slots` places, whatever its provider programs, so moves a level's
counts by at most twice that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hanse.align import Aligned, JoinPolicy, Layout, dummies_per_provider
from hanse.align.programs import Placement, counts_by_place
from hanse.contracts import Contract, Library, Use
from hanse.engine.boolean import and_, one_hot
from hanse.engine.count import count_rows
from hanse.engine.session import Session
from hanse.engine.shares import Bits, Ring, join_elements, join_planes
from hanse.errors import Refusal
from hanse.gate.plan import Block, ReleasePlan, Sums
from hanse.measure.algebra import Crowd, Expression
from hanse.measure.fields import CrowdField
from hanse.measure.people import Planner, members
from hanse.measure.questions import (
    Source,
    capacities,
    column_of,
    condition_uses,
    conditions_of,
    dataset_of,
    time_column,
)
from hanse.places.concentration.areas import PlaceList, place_list
from hanse.places.concentration.questions import LEVELS, ConcentrationQuestion, Level, Whereabouts

OVERALL_SHARE = 0.05  # of epsilon, for the people everywhere: few figures, all large
MOST_APART = 3  # up to so many targets people are counted by the set of targets they are in
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Whereabout:
    """Planned whereabouts: who has them, in which column, over which places."""

    asked: Whereabouts
    name: str
    provider: str
    time: str
    places: PlaceList

    def program(self, level: Level) -> str:
        """The program that counts this level. One place each: all levels are sums of places."""
        return self.name if self.asked.slots == 1 else f"{self.name}-{level}"


@dataclass(frozen=True)
class Breakdown:
    """One level of one kind of whereabouts: ``area`` [places] is each place's area, ``first`` its first output."""

    at: Whereabout
    level: Level
    names: tuple[str, ...]
    area: Index = field(repr=False)
    slots: int
    first: int

    def outputs(self, kinds: int) -> slice:
        """Where the level's outputs are: for each area the base, then each target."""
        return slice(self.first, self.first + len(self.names) * kinds)


@dataclass(frozen=True)
class ConcentrationPlan:
    """Everything that follows from the question and the contract.

    Cells and outputs: first everybody, then every breakdown, area by area. ``kinds`` [1 + targets, columns] says
    which columns make up the base and each target.
    """

    question: ConcentrationQuestion
    base: Expression
    targets: tuple[Expression, ...]
    kinds: NDArray[np.bool_] = field(repr=False)
    whereabouts: tuple[Whereabout, ...]
    breakdowns: tuple[Breakdown, ...]
    placements: dict[str, tuple[Placement, ...]]
    providers: tuple[str, ...]
    layouts: dict[str, Layout]
    capacities: dict[str, int]
    dummies: int  # rows that the seats add to each table
    uses: tuple[Use, ...]
    release: ReleasePlan

    @property
    def columns(self) -> int:
        return int(self.kinds.shape[1])

    @property
    def apart(self) -> bool:
        """Whether the columns share nobody: sets of targets, not targets."""
        return self.columns != len(self.targets) + 1 or self.columns == 2

    @property
    def fields(self) -> tuple[CrowdField, ...]:
        """The crowds that the base and the targets are made of."""
        crowds = (self.base, *self.targets)
        return tuple(dict.fromkeys(f for crowd in crowds for f in crowd.fields()))

    def keep(self, mask: int) -> bool:
        """People who may be of the base."""
        known = {p for i, p in enumerate(self.providers) if mask >> i & 1}
        return self.base.possible(known)


def plan(
    question: ConcentrationQuestion,
    contract: Contract,
    library: Library,
    *,
    epsilon: float,
    noise: bool = True,
) -> ConcentrationPlan:
    """The plan, or a `Refusal` that names what the contract does not have or nobody may ask."""
    planner = Planner(contract, question.starts, question.ends)
    targets = tuple(planner.expression(crowd) for _, crowd in sorted(question.targets.items()))
    base = planner.expression(question.base or _everybody(question))
    where = tuple(
        _whereabout(contract, library, question, number, planner)
        for number in range(len(question.at))
    )
    _check_sites(question, where)
    apart = len(targets) <= MOST_APART
    kinds = _sets(len(targets)) if apart else np.eye(len(targets) + 1, dtype=np.bool_)
    breakdowns, placements = _breakdowns(question, where, len(targets) + 1)
    providers, layouts, rows = _laid_out(contract, planner, where)
    release = _release(question, breakdowns, kinds, apart, epsilon, contract.privacy.k, noise)
    policy = JoinPolicy(contract.join.epsilon, contract.join.delta)
    return ConcentrationPlan(
        question, base, targets, kinds, where, breakdowns, placements, providers, layouts, rows,
        dummies_per_provider(len(providers), policy), planner.used(), release,
    )  # fmt: skip


def _everybody(question: ConcentrationQuestion) -> Crowd:
    """Everybody known to the targets' datasets."""
    datasets = dict.fromkeys(
        leaf.dataset for _, crowd in sorted(question.targets.items()) for leaf in crowd.leaves()
    )
    leaves = tuple(Crowd(dataset=name) for name in datasets)
    return leaves[0] if len(leaves) == 1 else Crowd(any_of=leaves)


def _whereabout(
    contract: Contract, library: Library, question: ConcentrationQuestion, number: int,
    planner: Planner,
) -> Whereabout:  # fmt: skip
    asked = question.at[number]
    dataset = dataset_of(contract, asked.dataset)
    column = column_of(contract, asked.dataset, asked.column)
    at = f"dataset {asked.dataset}, column {asked.column}"
    if column.kind != "place" or column.gazetteer is None:
        raise Refusal("contract.purpose", f"column {column.name!r} is a {column.kind}, not a place",
                      remedy='ask for a column of kind "place"', where=at)  # fmt: skip
    planner.uses.append(Use(dataset=dataset.name, purpose="membership"))
    planner.uses.append(Use(dataset=dataset.name, column=column.name, purpose="place"))
    source = Source(dataset=dataset.name, where=asked.where, qualified=asked.qualified)
    planner.uses += condition_uses(contract, source)
    where = conditions_of(contract, source)
    asked = asked.model_copy(update={"where": where, "qualified": None})
    time = ""
    if any(c.kind == "time" for c in dataset.columns):
        time = time_column(contract, dataset.name).name
        planner.uses.append(Use(dataset=dataset.name, column=time, purpose="order"))
    elif asked.slots > 1:
        raise Refusal("contract.time", f"dataset {dataset.name!r} has no time column, so nobody's visits are dated",
                      remedy="ask with slots = 1, or agree on a time column", where=at)  # fmt: skip
    clause = contract.gazetteer(column.gazetteer)
    excluded = clause.excluded if clause is not None else ()
    gazetteer = library.gazetteer(contract, column.gazetteer)
    places = place_list(gazetteer, excluded, question.places, question.types, at)
    return Whereabout(asked, f"places{number}", dataset.provider, time, places)


def _check_sites(question: ConcentrationQuestion, where: tuple[Whereabout, ...]) -> None:
    """Sites that are compared or priced must be among the places asked about."""
    named = [*question.compare, *(question.sites.prices if question.sites is not None else ())]
    for w in where:
        known = set(w.places.chosen.tolist())
        position = w.places.gazetteer.position
        for site in named:
            if position.get(site) not in known:
                raise Refusal(
                    "places.unknown",
                    f"the site {site!r} is not among the places asked about ({w.asked.name})",
                    remedy="name sites by their ids; sensitive places cannot be sites",
                )


def _sets(targets: int) -> NDArray[np.bool_]:
    """[1 + targets, 2**targets]: column c is the people in exactly the targets of its bits."""
    columns = np.arange(1 << targets)
    rows = [np.ones_like(columns, np.bool_), *((columns >> t & 1) == 1 for t in range(targets))]
    return np.array(rows, np.bool_)


def _breakdowns(
    question: ConcentrationQuestion, where: tuple[Whereabout, ...], kinds: int
) -> tuple[tuple[Breakdown, ...], dict[str, tuple[Placement, ...]]]:
    """Levels in order, with the programs that count them."""
    found: list[Breakdown] = []
    programs: dict[str, dict[str, Placement]] = {}
    first = kinds
    for w in where:
        for level in (x for x in LEVELS if x in question.levels):
            names, area = w.places.areas(level)
            slots = min(w.asked.slots, len(names))
            found.append(Breakdown(w, level, names, area, slots, first))
            first += len(names) * kinds
            name = w.program(level)
            places = len(w.places) if w.asked.slots == 1 else len(names)
            programs.setdefault(w.provider, {})[name] = Placement(name, slots, places)
    return tuple(found), {p: tuple(wanted.values()) for p, wanted in programs.items()}


def _laid_out(
    contract: Contract, planner: Planner, where: tuple[Whereabout, ...]
) -> tuple[tuple[str, ...], dict[str, Layout], dict[str, int]]:
    """Layouts of all providers; one that only knows where people are sends nothing but its ids."""
    _, layouts, _ = planner.laid_out()
    for w in where:
        layouts.setdefault(w.provider, Layout.pack([]))
    layouts = dict(sorted(layouts.items()))
    return tuple(layouts), layouts, capacities(contract, layouts, planner.used())


def _release(
    question: ConcentrationQuestion, breakdowns: tuple[Breakdown, ...], kinds: NDArray[np.bool_],
    apart: bool, epsilon: float, k: int, noise: bool,
) -> ReleasePlan:  # fmt: skip
    """A block for everybody, and one for each level of each kind of whereabouts."""
    columns = int(kinds.shape[1])
    times = 1 if apart else columns  # columns that one person may be in
    given = question.shares or dict.fromkeys(question.levels, 1.0)
    whole = sum(given[b.level] for b in breakdowns)
    blocks = [Block(columns, OVERALL_SHARE, 2 * times)]
    sums = [_sums(kinds, 1)]
    for b in breakdowns:
        share = (1 - OVERALL_SHARE) * given[b.level] / whole
        blocks.append(Block(len(b.names) * columns, share, 2 * b.slots * times))
        sums.append(_sums(kinds, len(b.names)))
    return ReleasePlan(Sums.stacked(sums), epsilon, k, noise, tuple(blocks))


def _sums(kinds: NDArray[np.bool_], areas: int) -> Sums:
    """Base and targets of each area, from its columns."""
    rows, members_ = np.nonzero(kinds)
    counts = np.bincount(rows, minlength=kinds.shape[0])
    starts = np.cumsum(counts) - counts
    number = np.arange(areas)[:, None]
    return Sums(
        (members_[None, :] + number * kinds.shape[1]).reshape(-1).astype(np.int64),
        (starts[None, :] + number * members_.size).reshape(-1).astype(np.int64),
        areas * int(kinds.shape[1]),
    )


# --- at the seats -------------------------------------------------------------------------------------


def compute(s: Session, people: Aligned, p: ConcentrationPlan) -> Ring:
    """Steps 4 to 6: the cells, everybody's and then area by area."""
    columns = _columns(s, people, p)
    found = [count_rows(s, columns, "everybody")]
    per_program: dict[str, Ring] = {}
    for provider, wanted in p.placements.items():
        names = [w.name for w in wanted]
        sums = counts_by_place(s, people, provider, names, columns, f"at.{provider}")
        per_program.update(zip(names, sums, strict=True))
    for b in p.breakdowns:
        counted = per_program[b.at.program(b.level)]
        summed = b.at.asked.slots == 1 and b.level != "place"
        found.append((_added(counted, b.area, len(b.names)) if summed else counted).reshape(-1))
    return join_elements(found)


def _columns(s: Session, people: Aligned, p: ConcentrationPlan) -> Bits:
    """Planes [columns, words]: people of the base by the set of targets, or the base and each target in it."""
    base = members(s, people, p.base, "base")
    words = base.shape[-1]
    base = base.reshape(1, words)
    wanted = join_planes(
        [members(s, people, t, f"target.{i}").reshape(1, words) for i, t in enumerate(p.targets)]
    )
    inside = and_(s, wanted, base, "inside")
    if not p.apart:
        return join_planes([base, inside])
    sets = one_hot(s, inside, p.columns, "sets")
    none = base  # one_hot counts those outside the base as in no target
    for number in range(1, p.columns):
        none = none ^ sets[number : number + 1]
    return join_planes([none, sets[1:]])


def _added(counts: Ring, area: Index, areas: int) -> Ring:
    """Places [places, columns] added up to areas [areas, columns]."""
    order = np.argsort(area, kind="stable")
    starts = np.searchsorted(area[order], np.arange(areas))
    return Ring(
        np.add.reduceat(counts.left[order], starts), np.add.reduceat(counts.right[order], starts)
    )
