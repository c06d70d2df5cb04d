"""Crowd packages and qualifications of a rehearsal: what `Federation.crowd` and `.qualification` made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from hanse.catalog import Dataset, EventFilter, Package, Profile, parse_package
from hanse.catalog.packages import members_of, room_for
from hanse.contracts import Qualification
from hanse.errors import Fault, HanseError
from hanse.node.crowds import completed, count_members
from hanse.problems import refusal
from hanse.rehearsal.description import Described
from hanse.rehearsal.questions import source


class Crowds:
    """The newest version of every package, and the qualifications that the contract will name."""

    def __init__(self) -> None:
        self._packages: dict[str, tuple[Package, Dataset | None]] = {}
        self._qualifications: dict[tuple[str, str], dict[str, Any]] = {}

    def of(self, name: str) -> Package | None:
        """The newest version called ``name``."""
        found = self._packages.get(name)
        return None if found is None else found[0]

    def make(self, document: Mapping[str, Any], of: Dataset | None, now: datetime) -> Package:
        """The next version of a package, its definition checked; ``of`` is its filter's dataset."""
        name = str(document["name"])
        held = self.of(name)
        package = parse_package(
            {**document, "version": 1 if held is None else held.version + 1, "created": now,
             "expires": document["expires"] or now.date() + timedelta(days=365),
             "provenance": {"made_of": "", "at": now}}
        )  # fmt: skip
        return completed(package, of, None, now)

    def keep(self, package: Package, of: Dataset | None) -> None:
        """Let questions use this version."""
        self._packages[package.name] = package, of

    def renewed(self, name: str, expires: date | str) -> Package:
        """The newest version, serving longer."""
        if name not in self._packages:
            raise Fault("crowd.unknown", f"there is no crowd package {name!r}",
                        remedy="make it with crowd(...)")  # fmt: skip
        package, of = self._packages[name]
        package = parse_package({**package.model_dump(), "expires": expires})
        self._packages[name] = package, of
        return package

    def described(
        self, package: Package, of: Dataset | None, party: str, today: date, capacity: int | None
    ) -> Described:
        """The package as a dataset without columns, and its clause."""
        dataset = members_of(package, of, today)
        clause = {
            "name": package.name,
            "provider": party,
            "capacity": capacity or room_for(count_members(dataset)),
            "slots": 1,
            "personal": True,
            "legal_basis": package.legal_basis,
            "evidence": package.evidence,
            "columns": [],
        }
        unseen = Profile(dataset=package.name, rows=0, ids={}, columns={}, withdrawn=0)
        return Described(party, dataset, unseen, clause)

    def resolved(self, datasets: Mapping[str, Described], today: date) -> Mapping[str, Described]:
        """``datasets``, a package among them read as it is ``today`` when somebody asks for it."""
        return _Resolved(self._packages, datasets, today)

    def qualify(
        self, name: str, dataset: str, where: Mapping[str, Any], title: str
    ) -> Qualification:
        """The next version of a qualification."""
        before = self._qualifications.get((name, dataset), {})
        tests = [
            c.model_dump(mode="json", exclude_none=True) for c in source(dataset, where=where).where
        ]
        made = {"name": name, "version": before.get("version", 0) + 1, "dataset": dataset,
                "title": title, "where": tests}  # fmt: skip
        self._qualifications[name, dataset] = made
        try:
            return Qualification.model_validate_json(json.dumps(made))
        except ValidationError as error:
            raise refusal("contract.malformed", "the qualification", error, made) from error

    def qualifications(self) -> list[dict[str, Any]]:
        """The contract's clauses."""
        return list(self._qualifications.values())


class _Resolved(Mapping[str, Described]):
    """Datasets by name. Looking up a package that expired or changed raises its party's `Refusal`."""

    def __init__(
        self, packages: Mapping[str, tuple[Package, Dataset | None]],
        datasets: Mapping[str, Described], today: date,
    ) -> None:  # fmt: skip
        self._packages = packages
        self._datasets = datasets
        self._today = today

    def __getitem__(self, name: str) -> Described:
        found = self._datasets[name]
        if name not in self._packages:
            return found
        package, of = self._packages[name]
        try:
            dataset = members_of(package, of, self._today)
        except HanseError as error:
            error.where = f"{found.provider}: {error.where}"
            raise
        return Described(found.provider, dataset, found.profile, found.clause)

    def __iter__(self) -> Iterator[str]:
        return iter(self._datasets)

    def __len__(self) -> int:
        return len(self._datasets)


def filter_of(
    of: str, where: Mapping[str, Any] | None, *, at_least: int, starts: date | str | None,
    ends: date | str | None, days: int | None,
) -> EventFilter:  # fmt: skip
    """A package's filter from the words of `source`."""
    conditions: list[dict[str, Any]] = []
    for c in source(of, where=where).where:
        if c.at_least is not None and c.at_most is not None:
            conditions.append({"column": c.column, "between": (c.at_least, c.at_most)})
        elif c.one_of is not None:
            conditions.append({"column": c.column, "among": c.one_of})
        else:
            conditions.append(c.model_dump(exclude_none=True))
    fields = {"of": of, "where": conditions, "at_least": at_least, "starts": starts, "ends": ends,
              "days": days}  # fmt: skip
    try:
        return EventFilter.model_validate(fields)
    except ValidationError as error:
        raise refusal("crowd.malformed", "the crowd", error, fields) from error
