"""A node's crowd packages: made, listed, renewed, removed, and resolved into the dataset that a job reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from hanse.catalog import Dataset, Package, RowRequest, parse_package, read_rows
from hanse.catalog.datasets import HashChain, PackageSource
from hanse.catalog.package_rows import MOST_PEOPLE
from hanse.catalog.packages import (
    Provenance,
    band,
    data_digest,
    id_file_digest,
    members_of,
    settled,
)
from hanse.clock import Clock
from hanse.errors import Fault, Refusal
from hanse.ledger import Ledger
from hanse.node.storage.crowds import HELD, StoredCrowd
from hanse.node.storage.store import Store

Document = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """A version that was made, and how many people are in it now, roughly; the exact number is not told."""

    package: Package
    roughly: str


class CrowdShelf:
    """The packages of one node. ``dataset`` gives a registered dataset by name."""

    def __init__(
        self, store: Store, ledger: Ledger, clock: Clock, dataset: Callable[[str], Dataset]
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._dataset = dataset

    def create(self, document: Document) -> Made:
        """Check a definition, read it once, and keep it as the name's next version.

        ``document``: `Package` without version, created and provenance. Raises `Fault` ``crowd.malformed``,
        ``crowd.filter``, ``crowd.empty``, what reading raises, `Refusal` ``crowd.name`` for a dataset's name.
        """
        now = self._clock.now()
        name = str(document.get("name"))
        if self._store.datasets.get(name) is not None:
            raise Refusal("crowd.name", f"there is a dataset {name!r}; contracts could not tell them apart",
                          remedy="give the package another name", where=f"crowd {name}")  # fmt: skip
        package = parse_package(
            {**document, "version": self._store.crowds.next_version(name), "created": now,
             "provenance": {"made_of": "", "at": now}}
        )  # fmt: skip
        of = None if package.events is None else self._dataset(package.events.of)
        package = completed(package, of, self._registered(package), now)
        roughly = band(_people(members_of(package, of, now.date())))
        self._keep(package, "created")
        return Made(package, roughly)

    def renew(self, name: str, expires: date, evidence: str | None = None) -> Made:
        """Let the newest version serve until the day before ``expires``; the version stays what it is.

        Raises `Refusal` ``crowd.unknown``, ``crowd.expires`` unless the new date is later than today.
        """
        found = self.newest(name)
        today = self._clock.now().date()
        if expires <= today:
            raise Refusal("crowd.expires", "the new date of expiry is not in the future",
                          remedy=f"give a day after {today}", where=f"crowd {name}")  # fmt: skip
        changed: Document = {"expires": expires}
        if evidence is not None:
            changed["evidence"] = evidence
        package = parse_package({**found.model_dump(), **changed})
        roughly = band(_people(self._members(package, today)))
        self._keep(package, "renewed")
        return Made(package, roughly)

    def remove(self, name: str) -> int:
        """No job uses the package any more; its versions stay listed as removed. How many these were."""
        count = self._store.crowds.remove(name)
        if not count:
            raise self._unknown(name)
        self._ledger.append("crowd", {"name": name, "removed": True})
        return count

    def newest(self, name: str) -> Package:
        """The version that jobs use; `Refusal` ``crowd.unknown`` naming those there are."""
        stored = self._store.crowds.newest(name)
        if stored is None:
            raise self._unknown(name)
        return parse_package(stored.package)

    def names(self) -> tuple[str, ...]:
        """Packages that jobs can use, expired ones included."""
        return tuple(dict.fromkeys(c.name for c in self._store.crowds.all() if c.state == HELD))

    def versions(self, name: str | None = None) -> list[tuple[StoredCrowd, Package]]:
        """All versions ever made (of ``name``), the newest first, removed ones included."""
        found = [(c, parse_package(c.package)) for c in self._store.crowds.all(name)]
        if name is not None and not found:
            raise self._unknown(name)
        return found

    def roughly(self, name: str) -> str:
        """How many people are in the package now, as a band. Raises what `dataset` raises."""
        return band(_people(self.dataset(name)))

    def dataset(self, name: str) -> Dataset:
        """The package as the dataset that jobs read now.

        Raises `Refusal` ``crowd.unknown``, ``crowd.expired``, ``crowd.changed``.
        """
        return self._members(self.newest(name), self._clock.now().date())

    def clause(self, name: str) -> Dataset:
        """The package as contracts name it, whether or not it expired; not for reading."""
        package = self.newest(name)
        return self._members(package, min(self._clock.now().date(), package.created.date()))

    def _members(self, package: Package, today: date) -> Dataset:
        of = None if package.events is None else self._dataset(package.events.of)
        return members_of(package, of, today)

    def _registered(self, package: Package) -> datetime | None:
        stored = self._store.datasets.get(package.events.of) if package.events else None
        return None if stored is None else stored.added

    def _keep(self, package: Package, event: str) -> None:
        self._store.crowds.put(package.name, package.version, package.model_dump(mode="json"))
        self._ledger.append(
            "crowd",
            {"name": package.name, "version": package.version, "event": event,
             "made_of": package.provenance.made_of, "legal_basis": package.legal_basis,
             "expires": package.expires.isoformat()},
        )  # fmt: skip

    def _unknown(self, name: str) -> Refusal:
        known = ", ".join(self.names()) or "none"
        return Refusal("crowd.unknown", f"there is no crowd package {name[:64]!r}",
                       remedy=f"make it with 'hanse crowd create' (there are: {known})",
                       where=f"crowd {name[:64]}")  # fmt: skip


def completed(
    package: Package, of: Dataset | None, registered: datetime | None, now: datetime
) -> Package:
    """The package with its time column settled and its provenance written; ``of`` is its filter's dataset."""
    if package.events is not None and of is not None:
        events = settled(package.events, of)
        made = Provenance(
            made_of=f"dataset {of.name}", registered=registered, digest=data_digest(of), at=now
        )
        return package.model_copy(update={"events": events, "provenance": made})
    if package.listed is None:
        raise Fault("crowd.malformed", "the package says neither events nor listed")
    made = Provenance(
        made_of=f"file {package.listed.path.name}", digest=id_file_digest(package.listed), at=now
    )
    return package.model_copy(update={"provenance": made})


def count_members(dataset: Dataset) -> int:
    """How many people are in a package now: for capacities and bands, never to be shown as it is."""
    first = dataset.ids[0]
    chain: HashChain = "md5+sha256" if first.format in ("md5", "md5+sha256") else "sha256"
    request = RowRequest(id_type=first.type, chain=chain, capacity=MOST_PEOPLE, keep_all=True)
    return read_rows(dataset, request).report.people


def _people(dataset: Dataset) -> int:
    people = count_members(dataset)
    if people == 0:
        of = dataset.source.of.name if isinstance(dataset.source, PackageSource) else dataset.name
        raise Fault("crowd.empty", f"nobody is in the crowd package {dataset.name!r}",
                    remedy=f"check its conditions and its period against 'hanse dataset show {of}'",
                    where=f"crowd {dataset.name}")  # fmt: skip
    return people
