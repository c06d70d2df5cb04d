"""What this node brings to a contract: registered datasets and crowd packages, checked to fit and committed to."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hanse.catalog import Dataset, PackageSource, Profile, parse_dataset, register
from hanse.clock import Clock
from hanse.contracts import Bundle
from hanse.contracts import Dataset as ContractDataset
from hanse.errors import Fault, Refusal
from hanse.ledger import Ledger
from hanse.node.crowds import CrowdShelf
from hanse.node.identity.keys import Identity
from hanse.node.storage.store import Store

Document = dict[str, Any]


class DatasetShelf:
    """The node's datasets, and its crowd packages, which contracts name as they name datasets."""

    def __init__(self, identity: Identity, store: Store, ledger: Ledger, clock: Clock) -> None:
        self._party, self._identity = identity.party, identity
        self._store, self._ledger, self._clock = store, ledger, clock
        self.crowds = CrowdShelf(store, ledger, clock, self.registered)

    def register(self, document: Document) -> Profile:
        """Check, profile and remember a dataset. Raises what `catalog.register` raises."""
        dataset = parse_dataset(document)
        if dataset.name in self.crowds.names():
            raise Refusal("dataset.name", f"there is a crowd package {dataset.name!r}; contracts could not "
                          "tell them apart", remedy="give the dataset another name")  # fmt: skip
        profile = register(dataset)
        registration = {"dataset": dataset.model_dump(mode="json"),
                        "profile": profile.model_dump(mode="json")}  # fmt: skip
        self._store.datasets.put(dataset.name, registration, self._clock.now())
        self._ledger.append(
            "dataset",
            {"name": dataset.name, "classification": dataset.classification,
             "columns": [c.name for c in dataset.columns], "legal_basis": dataset.legal_basis},
        )  # fmt: skip
        return profile

    def get(self, name: str) -> Dataset:
        """A registered dataset, or the members of a crowd package; `Fault` naming those there are.

        `Refusal` ``crowd.expired`` or ``crowd.changed`` for a package that cannot serve now.
        """
        return self.crowds.dataset(name) if name in self.crowds.names() else self.registered(name)

    def registered(self, name: str) -> Dataset:
        """A registered dataset, no package; `Fault` ``dataset.unregistered`` naming those there are."""
        found = self._store.datasets.get(name)
        if found is None:
            known = ", ".join(d.name for d in self._store.datasets.all()) or "none"
            raise Fault(
                "dataset.unregistered",
                f"{self._party} has not registered the dataset {name!r}",
                remedy=f"register it with 'hanse dataset add' under this name (registered: {known})",
                where=f"dataset {name}",
            )
        return parse_dataset(found.registration["dataset"])

    def prepare(self, dataset: ContractDataset, bundle: Bundle) -> str:
        """Check that the contract's dataset is here and fits; its commitment ("" for a database)."""
        return self._commitment(self.fitting(dataset, bundle))

    def fitting(self, dataset: ContractDataset, bundle: Bundle) -> Dataset:
        """The registered dataset, checked to fit the contract's."""
        mine = self.get(dataset.name)
        for column in dataset.columns:
            have = next((c for c in mine.columns if c.name == column.name), None)
            if have is None or have.kind != column.kind:
                found = "missing" if have is None else f"a column of kind {have.kind}"
                raise Fault(
                    "dataset.column",
                    f"column {column.name!r} of {dataset.name!r} is {found} at {self._party}, "
                    f"the contract says {column.kind}",
                    remedy="register the dataset again with this column, or agree on the contract",
                    where=f"dataset {dataset.name}, column {column.name}",
                )
        join = bundle.contract.join.id_type
        if all(i.type != join for i in mine.ids):
            raise Fault(
                "dataset.id-type",
                f"{dataset.name!r} has no id column of type {join!r}, on which the contract joins",
                remedy="register the dataset again with such a column",
                where=f"dataset {dataset.name}",
            )
        self._check_capacity(dataset, join)
        return mine

    def _check_capacity(self, dataset: ContractDataset, id_type: str) -> None:
        """A dataset must fit its capacity whatever is asked of it.

        Else a question fails exactly if more people meet it than the capacity, and that is a count.
        """
        found = self._store.datasets.get(dataset.name)
        ids = found.registration["profile"]["ids"] if found is not None else {}
        people = [int(p["distinct"]) for p in ids.values() if p["type"] == id_type]
        if people and min(people) > dataset.capacity:
            raise Fault(
                "catalog.capacity",
                f"dataset {dataset.name!r} was registered with more people than its declared capacity of "
                f"{dataset.capacity}",
                remedy="sign a contract version with a larger capacity, or register a smaller dataset",
                where=f"dataset {dataset.name}",
            )

    def _commitment(self, dataset: Dataset) -> str:
        """A keyed hash of the source's bytes: equal data, equal commitment; tells others nothing else."""
        below = ""
        if isinstance(dataset.source, PackageSource):  # its definition, over all that it is made of
            below = self._commitment(dataset.source.of)
        path = getattr(dataset.source, "path", None)
        if path is None and not below:
            return ""
        secret = self._identity.signing_key.private_bytes(
            Encoding.Raw, PrivateFormat.Raw, NoEncryption()
        )
        mac = hmac.new(
            hashlib.sha256(b"hanse-commitment-v1|" + secret).digest(), digestmod="sha256"
        )
        mac.update(json.dumps(dataset.model_dump(mode="json"), sort_keys=True).encode())
        mac.update(below.encode())
        files = [w.path for w in dataset.withdrawals]
        if dataset.derive is not None:
            files.append(dataset.derive.schedule)
        for file in (*(_files(Path(path)) if path is not None else ()), *files):
            try:
                with Path(file).open("rb") as stream:
                    mac.update(hashlib.file_digest(stream, "sha256").digest())
            except OSError as error:
                raise Fault(
                    "catalog.missing-file",
                    f"a file of dataset {dataset.name!r} cannot be read at {self._party}",
                    remedy=f"{self._party} must put the file back or register the dataset again",
                    where=f"dataset {dataset.name}",
                    detail=str(error),
                ) from error
        return mac.hexdigest()


def _files(path: Path) -> Iterable[Path]:
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file())
    return [path]
