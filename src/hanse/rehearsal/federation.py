"""A federation in one process: several parties' tables, one contract, real gates, questions and answers.

    with Federation(k=100) as fed:
        fed.dataset("exposures", "media", "exposures.parquet", id="household", time="seen_at")
        fed.dataset("baskets", "retailer", baskets, id="household", time="bought_at")
        answer = fed.funnel([("exposed", "exposures"), ("paid", "baskets", 30)], "2026-01-01", "2027-01-01")
    print(answer, answer.explain())

The roles run the code that nodes run, in threads, over an in-memory hall; every party has keys, a gate and a
ledger of its own. **It protects nothing**: all data lies in one process. With ``seed`` even the noise can be
repeated by anybody who knows the seed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from types import TracebackType
from typing import Any, Literal, Self

from hanse.catalog import Dataset, IdColumn, IdFile, Package, Profile
from hanse.catalog.datasets import IdFormat
from hanse.catalog.gazetteers import Gazetteer
from hanse.clock import Clock, ManualClock, SystemClock
from hanse.contracts import Bundle, Contract, Qualification
from hanse.entropy import Entropy, SeededEntropy, SystemEntropy
from hanse.errors import Fault
from hanse.measure import FunnelResult, Segment
from hanse.rehearsal.agreement import Budget, Member, Terms, agreed
from hanse.rehearsal.answer import Answer
from hanse.rehearsal.asking import Question, World, ask, preview
from hanse.rehearsal.crowds import Crowds, filter_of
from hanse.rehearsal.description import Column, Columns, Described, clause_of, described
from hanse.rehearsal.lists import Lists
from hanse.rehearsal.models import Model, clause
from hanse.rehearsal.previewing import Preview
from hanse.rehearsal.questions import StageLike, TimeUnit, funnel_parameters
from hanse.rehearsal.tables import Spool, Table
from hanse.rehearsal.verbs import Verbs, split
from hanse.wire import Tap

_PARTY = re.compile("[a-z0-9-]{3,64}")
_SEATS = 3
# What `ask` takes beside a question.
_OPTIONS = ("epsilon", "noise", "recipients", "analyst", "roster")
_FIRST_DAY = datetime(2026, 1, 1, 12, tzinfo=UTC)  # of seeded rehearsals, so that they repeat


class Federation(Verbs):
    """N parties over their own tables in one process. See the module for an example.

    ``k``, ``epsilon_budget`` (per provider, towards recipients), ``epsilon_per_query``, ``join_epsilon`` (what an
    alignment shows the seats), ``join_budget``, ``similar_questions`` and ``period`` go into the contract; a node
    would refuse the same. ``id_type`` is what people are joined on: "phone" and "email" are normalised, other names
    are opaque.
    The seats are held by the first three parties, or ``seats``; "neutral-1" and so on fill up what is missing.
    ``seed`` makes a rehearsal repeatable, noise included: **a seeded run protects nothing**. ``tap`` is shown every
    message and may change it, drop it (None) or raise; ``patience`` is how many seconds a role waits for a message.
    """

    def __init__(
        self,
        *,
        k: int = 100,
        epsilon_budget: float = 10.0,
        epsilon_per_query: float | None = None,
        join_epsilon: float = 0.1,
        join_budget: float = 3.0,
        roster_days: int = 31,
        similar_questions: int = 10,
        period: Literal["contract", "month"] = "contract",
        id_type: str = "person",
        slots: int = 4,
        seats: Sequence[str] = (),
        seed: str | int | None = None,
        clock: Clock | None = None,
        tap: Tap | None = None,
        patience: float = 60.0,
        progress: Callable[[str, str, float], None] = lambda _role, _step, _share: None,
    ) -> None:
        per_query = min(4.0, epsilon_budget) if epsilon_per_query is None else epsilon_per_query
        self._terms = Terms(
            k, float(per_query), float(epsilon_budget), float(join_epsilon), float(join_budget),
            period, id_type, tuple(seats), roster_days, similar_questions,
        )  # fmt: skip
        self._slots = slots
        self._seed = None if seed is None else str(seed)
        self.clock = clock or (SystemClock() if seed is None else ManualClock(_FIRST_DAY))
        self.tap = tap
        self.patience = patience
        self._progress = progress
        self._spool = Spool()
        self._lists = Lists()
        self._crowds = Crowds()
        self._models: dict[str, dict[str, Any]] = {}  # clauses by name
        self._members: dict[str, Member] = {}
        self._datasets: dict[str, Described] = {}
        self._bundle: Bundle | None = None
        self._versions = 0
        self._jobs = 0
        self._answers: dict[str, Answer[Any]] = {}
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._closed = True

    def __repr__(self) -> str:
        datasets = ", ".join(f"{d.provider}: {n}" for n, d in self._datasets.items())
        return f"<Federation {datasets or 'without datasets'}>"

    # --- who brings what ------------------------------------------------------------------------

    def dataset(
        self,
        name: str,
        party: str,
        table: Table,
        *,
        id: str | IdColumn,
        time: str | Column | None = None,
        columns: Columns = (),
        id_format: IdFormat = "plain",
        region: str | None = None,
        capacity: int | None = None,
        slots: int | None = None,
    ) -> Profile:
        """Register ``party``'s table and put it into the contract; what was found comes back.

        ``table``: a path, an Arrow table, a pandas or polars frame, or {column: values}. ``id`` names the column
        that identifies people, ``time`` the one that orders events. ``columns`` are further ones that
        questions may use: a list, or {name in the contract: source column or `Column`}. Kinds follow from the
        data's types, lists of values and sizes from the data; give a `Column` where that is wrong.
        ``capacity`` is the declared number of people, ``slots`` how many events a person keeps
        (spread over the period). Raises `Fault`.
        """
        self._open()
        self._check_names(name, party)
        if isinstance(id, IdColumn):
            chosen = id
        else:
            chosen = IdColumn(column=id, type=self._terms.id_type, format=id_format, region=region)
        path = self._spool.path_of(table, name)
        found = described(
            name, party, path, (chosen,), time, columns,
            capacity=capacity, slots=slots or self._slots,
        )  # fmt: skip
        return self._add(found)

    def places(
        self, name: str, table: Table | Gazetteer, *, excluded: Sequence[str] = ()
    ) -> Gazetteer:
        """Agree on a public list of places, which all parties hold; columns of kind "place" refer to it by name.

        ``table``: a path or table with the columns id, name, type, lat, lon, and perhaps h3, district, city.
        ``excluded`` are types of places that are refused besides the sensitive ones. Raises `Fault`.
        """
        self._open()
        found = self._lists.add(name, table, excluded)
        self._bundle = None
        return found

    def register(
        self, party: str, dataset: Dataset, *, order: str | None = None,
        capacity: int | None = None, slots: int | None = None,
        values: Mapping[str, Sequence[str]] | None = None, maxima: Mapping[str, int] | None = None,
        gazetteers: Mapping[str, str] | None = None,
    ) -> Profile:  # fmt: skip
        """Register a `hanse.catalog.Dataset` as it is: several id types, withdrawals, offline exposures.

        ``order`` is the time column that orders events (by default the first); ``gazetteers`` says which list
        of places each place column refers to.
        """
        self._open()
        self._check_names(dataset.name, party)
        found = clause_of(
            dataset, party, order=order, capacity=capacity, slots=slots or self._slots,
            values=values or {}, maxima=maxima or {}, gazetteers=gazetteers or {},
        )  # fmt: skip
        return self._add(found)

    def crowd(
        self,
        name: str,
        party: str,
        *,
        of: str | None = None,
        where: Mapping[str, Any] | None = None,
        at_least: int = 1,
        starts: date | str | None = None,
        ends: date | str | None = None,
        days: int | None = None,
        ids: Table | None = None,
        id: str | IdColumn = "id",
        expires: date | str | None = None,
        purpose: str = "a rehearsal",
        evidence: str = "a rehearsal: not kept",
        capacity: int | None = None,
    ) -> Package:
        """Make a crowd package of ``party`` and put it into the contract, as a dataset without columns.

        Either ``of`` a dataset of the party: people with ``at_least`` rows that meet ``where`` (as in `source`),
        within [``starts``, ``ends``) or the last ``days`` before a run. Or ``ids``: a table whose column ``id``
        holds ids. The same name again makes the next version, and a question over it a new question. It
        serves until the day before ``expires`` (a year from now); then its party refuses.
        """
        self._open()
        held = self._crowds.of(name)
        if held is None or self._datasets[name].provider != party:
            self._check_names(name, party)
        if isinstance(id, str):
            id = IdColumn(column=id, type=self._terms.id_type)
        under = None if of is None else self._datasets.get(of)
        if of is not None and (under is None or under.provider != party):
            raise Fault("rehearsal.dataset", f"{party} has no dataset {of!r} to make a crowd of",
                        remedy="give dataset(...) first; crowds are made of one's own data")  # fmt: skip
        events = None if of is None else filter_of(
            of, where, at_least=at_least, starts=starts, ends=ends, days=days
        )  # fmt: skip
        listed = None if ids is None else IdFile(
            path=self._spool.path_of(ids, f"{name}-{(held.version if held else 0) + 1}"), ids=(id,)
        )  # fmt: skip
        rows = None if under is None else under.dataset
        package = self._crowds.make(
            {"name": name, "events": events, "listed": listed, "purpose": purpose, "evidence": evidence,
             "expires": expires}, rows, self.clock.now(),
        )  # fmt: skip
        found = self._crowds.described(package, rows, party, self.clock.now().date(), capacity)
        self._crowds.keep(package, rows)
        if name in self._datasets and self._datasets[name].clause == found.clause:
            self._datasets[name] = found  # the contract need not change
        else:
            self._add(found)
        return package

    def renew(self, name: str, expires: date | str) -> Package:
        """Let a crowd package serve until the day before ``expires``; its version stays what it is."""
        self._open()
        return self._crowds.renewed(name, expires)

    def qualification(
        self, name: str, dataset: str, where: Mapping[str, Any], *, title: str = ""
    ) -> Qualification:
        """Agree when an event of ``dataset`` counts as ``name`` ("viewable", "real visit"); again: a new version.

        ``where`` is as in `source`. Questions say ``qualified="viewable"`` beside the dataset.
        """
        self._open()
        made = self._crowds.qualify(name, dataset, where, title or name)
        self._bundle = None
        return made

    def model(
        self,
        name: str,
        kind: str,
        *,
        target: str,
        features: Mapping[str, Sequence[str]],
        **terms: Any,
    ) -> Model:
        """Agree on a model: ``target`` is "dataset.column", ``features`` the columns that each dataset brings.

        ``terms`` are fields of the contract's clause (`hanse.contracts.models.ModelClause`), such as alignment,
        metrics, scores, least_rows; metrics and scores go to the target's party unless they say otherwise.
        """
        self._open()
        owner = self._datasets.get(target.partition(".")[0])
        told = (
            {"metrics": [owner.provider], "scores": [owner.provider]} if owner is not None else {}
        )
        self._models[name] = clause(name, kind, target, features, {**told, **terms})
        self._bundle = None
        self.bundle  # noqa: B018 - what cannot be agreed on is refused here
        return Model(self, name)

    def _check_names(self, name: str, party: str) -> None:
        if not _PARTY.fullmatch(party):
            raise Fault("rehearsal.party", f"{party!r} cannot be a party's name",
                        remedy="use 3 to 64 small letters, digits and hyphens")  # fmt: skip
        if name in self._datasets:
            raise Fault("rehearsal.dataset", f"there is a dataset {name!r} already",
                        remedy="give this one another name")  # fmt: skip

    def _add(self, found: Described) -> Profile:
        self.party(found.provider)
        self._datasets[found.dataset.name] = found
        self._bundle = None
        return found.profile

    # --- parties, contract ----------------------------------------------------------------------

    def party(self, name: str) -> Member:
        """The party called ``name``; it joins if it is new.

        Set ``signs`` to False or ``suspended`` to True to rehearse its refusal, and read its ``ledger``.
        """
        if name not in self._members:
            self._members[name] = Member(name, self._entropy(f"key|{name}").take(32), self.clock)
            self._bundle = None
        return self._members[name]

    @property
    def parties(self) -> tuple[str, ...]:
        """All parties, neutral seats included."""
        self.bundle  # noqa: B018 - the neutral parties come with the contract
        return tuple(self._members)

    @property
    def contract(self) -> Contract:
        """The contract of the next question; ``fed.contract.to_toml()`` is a draft for a real one."""
        return self.bundle.contract

    @property
    def bundle(self) -> Bundle:
        """The contract and its signatures. A dataset more makes a new version; spent budgets stay spent."""
        signing = {name for name, member in self._members.items() if member.signs}
        if self._bundle is None or set(self._bundle.signatures) != signing:
            if not self._datasets:
                raise Fault("rehearsal.empty", "the federation has no dataset yet",
                            remedy="add some with dataset(...)")  # fmt: skip
            seats = list(self._terms.seats or list(self._members)[:_SEATS])
            number = 1
            while len(seats) < _SEATS:
                seats.append(f"neutral-{number}")
                number += 1
            for seat in seats:
                self.party(seat)
            self._versions += 1
            terms = replace(self._terms, seats=tuple(seats))
            self._bundle = agreed(
                terms, self._versions, self._members, list(self._datasets.values()), self.clock,
                self._lists.clauses(), self._crowds.qualifications(), list(self._models.values()),
            )  # fmt: skip
        return self._bundle

    def budgets(self) -> tuple[Budget, ...]:
        """What is spent and what is allowed, for every provider, towards recipients and towards the seats."""
        contract = self.contract
        return tuple(b for p in contract.providers for b in self._members[p].budgets(contract))

    # --- asking ---------------------------------------------------------------------------------

    def funnel(
        self,
        stages: Sequence[StageLike],
        starts: date | str,
        ends: date | str,
        *,
        ordered: bool = True,
        by: str | Segment | None = None,
        merge: Mapping[str, Sequence[str]] | None = None,
        compare_with: str | None = None,
        time_unit: TimeUnit = "minute",
        epsilon: float = 1.0,
        noise: bool = True,
        recipients: Sequence[str] = (),
        analyst: str = "",
        roster: str = "",
    ) -> Answer[FunnelResult]:
        """People per stage: (name, dataset), (name, dataset, within_days), or `stage(...)` for more.

        ``starts`` and ``ends`` bound the events (the end is exclusive). ``by`` breaks down by "dataset.column",
        ``merge`` joins its values: {"under 45": ["19-24", "25-44"]}. ``compare_with`` names a dataset of
        people who could have been exposed: the second arm. For the rest see `ask`.
        """
        parameters = funnel_parameters(
            stages, starts, ends, ordered=ordered, by=by, merge=merge,
            compare_with=compare_with, time_unit=time_unit,
        )  # fmt: skip
        return self.ask(
            "funnel", parameters, epsilon=epsilon, noise=noise, recipients=recipients,
            analyst=analyst, roster=roster,
        )  # fmt: skip

    def ask(
        self,
        computation: str,
        parameters: Mapping[str, Any],
        *,
        epsilon: float = 1.0,
        noise: bool = True,
        recipients: Sequence[str] = (),
        analyst: str = "",
        roster: str = "",
    ) -> Answer[Any]:
        """Ask for any computation of the menu, as a node would be asked.

        ``analyst`` (by default the party that came first) asks; ``recipients`` (by default the analyst) learn the
        result. ``noise=False`` leaves the noise out, nothing else: threshold, price and budgets are as they
        would be. Only a rehearsal can do that. ``roster`` names an alignment that is made once and used by later
        questions (docs/guide/daily.md). Raises the first refusal or failure of any party.
        """
        world = self.world()
        asker = analyst or next(iter(self._members))
        self.next_job()
        question = Question(
            computation, dict(parameters), float(epsilon), asker, tuple(recipients) or (asker,),
            self._jobs, roster,
        )  # fmt: skip
        answer = ask(world, question, self._answers, noise=noise)
        self._answers[answer.job.request.job_hash] = answer
        return answer

    def preview(
        self,
        computation: str,
        parameters: Mapping[str, Any],
        *,
        epsilon: float = 1.0,
        analyst: str = "",
    ) -> Preview:
        """What a question would cost and show: price, noise, thresholds, budgets, questions almost the same.

        Nothing is computed and nothing is spent. Raises the refusal that the question would meet.
        """
        world = self.world()
        asker = analyst or next(iter(self._members))
        question = Question(
            computation, dict(parameters), float(epsilon), asker, (asker,), self._jobs + 1
        )
        return Preview(preview(world, question))

    def next_job(self) -> int:
        """The number of the next job of this rehearsal."""
        self._jobs += 1
        return self._jobs

    def world(self) -> World:
        """All that a job meets now."""
        self._open()
        datasets = self._crowds.resolved(self._datasets, self.clock.now().date())
        return World(
            self.bundle, self._members, datasets, self._spool, self.clock, self._entropy, self.tap,
            self.patience, self._progress, self._lists.library(),
        )  # fmt: skip

    def _asked(self, computation: str, words: Mapping[str, Any]) -> Answer[Any]:
        question, options = split(words, _OPTIONS)
        return self.ask(computation, question, **options)

    def _entropy(self, purpose: str) -> Entropy:
        """A source of its own for every purpose, so that threads cannot change what a seed gives."""
        if self._seed is None:
            return SystemEntropy()
        return SeededEntropy(f"hanse-rehearsal|{self._seed}|{purpose}")

    def _open(self) -> None:
        if self._closed:
            raise Fault("rehearsal.closed", "the federation is closed",
                        remedy="ask inside the `with` block")  # fmt: skip
