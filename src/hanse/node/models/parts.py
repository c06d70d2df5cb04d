"""A party's parts of models: kept in the node's store, signed with its key, with a card each; exported, ended.

A part is a JSON document: whose it is, the training that made it, the block, the card. Nobody holds the other
parts, so nobody can run or sell the model alone. A part is gone from the store when it is deleted or expires; a
note of what it was stays.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import func, select

from hanse.clock import Clock
from hanse.contracts import ModelNote
from hanse.errors import Refusal
from hanse.learn.jobs.blocks import damaged
from hanse.ledger import Ledger
from hanse.node.storage import tables
from hanse.node.storage.database import Database
from hanse.node.storage.rows import from_text, matches, to_text
from hanse.wire.codec import digest

FORMAT = "hanse-model-v1"
PREFIX = b"hanse-model-v1|"
HELD, DELETED, EXPIRED = "held", "deleted", "expired"
Document = dict[str, Any]


@dataclass(frozen=True)
class StoredModel:
    """A part as it is kept: ``version`` counts the trainings of its name here, ``document`` is None if gone."""

    job: str
    name: str
    version: int
    state: str
    note: Document
    document: Document | None

    @property
    def expires(self) -> datetime:
        return datetime.fromisoformat(str(self.note["expires"]))

    @property
    def made(self) -> datetime:
        return datetime.fromisoformat(str(self.note["made"]))

    def contract_note(self) -> ModelNote:
        """For the decision whether it may be used."""
        state = DELETED if self.state == DELETED else HELD  # of an expired one the date speaks
        return ModelNote(
            self.name, self.job, str(self.note["contract"]), str(self.note["clause"]), self.made,
            self.expires, state,
        )  # fmt: skip


class Models(Protocol):
    """Where parts are kept: a node's database, or memory in a rehearsal."""

    def put(self, job: str, name: str, note: Document, document: Document) -> StoredModel:
        """Keep a part; its version follows from those of its name."""
        ...

    def all(self) -> list[StoredModel]:
        """By name and version."""
        ...

    def end(self, job: str, state: str) -> None:
        """Forget the document; the note stays."""
        ...


class SqlModels:
    """In the node's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, job: str, name: str, note: Document, document: Document) -> StoredModel:
        table = tables.models
        with self._database.writing() as connection:
            last = connection.execute(
                select(func.coalesce(func.max(table.c.version), 0)).where(table.c.name == name)
            ).scalar_one()
            version = int(last) + 1
            connection.execute(
                table.insert().values(
                    job=job, name=name, version=version, state=HELD, note=to_text(note),
                    document=to_text(document),
                )
            )  # fmt: skip
        return StoredModel(job, name, version, HELD, note, document)

    def all(self) -> list[StoredModel]:
        table = tables.models
        with self._database.reading() as connection:
            rows = connection.execute(select(table).order_by(table.c.name, table.c.version))
            return [
                StoredModel(row.job, row.name, row.version, row.state, from_text(row.note),
                            None if row.document is None else from_text(row.document))
                for row in rows
            ]  # fmt: skip

    def end(self, job: str, state: str) -> None:
        table = tables.models
        changed = table.update().where(*matches(table, {"job": job}))
        with self._database.writing() as connection:
            connection.execute(changed.values(state=state, document=None))


class MemoryModels:
    """In memory, for rehearsals."""

    def __init__(self) -> None:
        self._kept: dict[str, StoredModel] = {}
        self._lock = threading.Lock()

    def put(self, job: str, name: str, note: Document, document: Document) -> StoredModel:
        with self._lock:
            version = 1 + sum(one.name == name for one in self._kept.values())
            found = self._kept[job] = StoredModel(job, name, version, HELD, note, document)
            return found

    def all(self) -> list[StoredModel]:
        with self._lock:
            return sorted(self._kept.values(), key=lambda one: (one.name, one.version))

    def end(self, job: str, state: str) -> None:
        with self._lock:
            self._kept[job] = replace(self._kept[job], state=state, document=None)


class ModelShelf:
    """One party's models in use: signing, checking, finding, ending; every change is in the ledger."""

    def __init__(
        self, party: str, models: Models, ledger: Ledger, key: Ed25519PrivateKey, clock: Clock
    ) -> None:
        self.party = party
        self._models = models
        self._ledger = ledger
        self._key = key
        self._clock = clock

    def keep(
        self, note: ModelNote, block: Mapping[str, Any], card: Mapping[str, Any],
        opening: Mapping[str, Any] | None = None,
    ) -> StoredModel:  # fmt: skip
        """Sign and keep a part that a training made.

        ``opening`` opens this party's commitment to an auditor; it stays beside the part, and is never exported.
        """
        facts = {
            "contract": note.contract, "clause": note.clause,
            "made": note.made.isoformat(), "expires": note.expires.isoformat(),
            "kind": str(card.get("kind", "")),
        }  # fmt: skip
        content: Document = {
            "format": FORMAT, "party": self.party, "model": note.name, "job": note.job, **facts,
            "block": dict(block), "card": dict(card),
        }  # fmt: skip
        signature = self._key.sign(PREFIX + bytes.fromhex(digest(content))).hex()
        kept = {**facts, **({"opening": dict(opening)} if opening else {})}
        stored = self._models.put(note.job, note.name, kept, {**content, "signature": signature})
        self._note(stored, "kept", digest(content))
        return stored

    def all(self) -> list[StoredModel]:
        """Every part that is or was here; those whose time is over are ended first."""
        self.end_expired()
        return self._models.all()

    def find(self, name: str) -> StoredModel:
        """The newest part held under a name, or the one whose job starts with ``name`` (6 digits or more).

        `Refusal` ``model.unknown`` naming those there are.
        """
        known = self.all()
        named = [m for m in known if m.name == name]
        held = [m for m in named if m.state == HELD]
        by_job = [m for m in known if len(name) >= 6 and m.job.startswith(name)]
        found = (held or named)[-1:] or (by_job if len(by_job) == 1 else [])
        if not found:
            names = ", ".join(sorted({m.name for m in known})) or "none"
            raise Refusal("model.unknown", f"{self.party} holds no part of a model {name[:64]!r}",
                          remedy=f"see 'hanse model list' (there are: {names})", where=self.party)  # fmt: skip
        return found[0]

    def note(self, job: str) -> ModelNote | None:
        """What there is of the model that ``job`` made, for the gate."""
        found = next((m for m in self.all() if m.job == job), None)
        return None if found is None else found.contract_note()

    def document(self, job: str) -> Document:
        """A part, its signature checked. `Refusal` ``model.missing``, `Fault` ``model.damaged``."""
        found = next((m for m in self.all() if m.job == job), None)
        if found is None or found.document is None:
            gone = "" if found is None else f"; it is {found.state}"
            raise Refusal("model.missing", f"{self.party} holds no part of model {job[:12]}{gone}",
                          remedy="train it again, or use another one", where=self.party)  # fmt: skip
        check_signed(found.document, self._key.public_key())
        return found.document

    def delete(self, name: str, reason: str) -> StoredModel:
        """Forget this party's part; without it the model can never score again."""
        found = self.find(name)
        if found.state != HELD:
            raise Refusal("model.missing", f"the part of {found.name!r} is {found.state} already",
                          remedy="see 'hanse model list'", where=self.party)  # fmt: skip
        self._models.end(found.job, DELETED)
        self._note(found, "deleted", reason=reason[:500])
        return found

    def end_expired(self) -> list[StoredModel]:
        """Delete the parts whose time is over; which these were."""
        now = self._clock.now()
        over = [m for m in self._models.all() if m.state == HELD and now >= m.expires]
        for one in over:
            self._models.end(one.job, EXPIRED)
            self._note(one, "expired")
        return over

    def exported(self, name: str) -> Document:
        """This party's own part with its signature, to be written to a file; noted in the ledger."""
        found = self.find(name)
        document = self.document(found.job)
        self._note(found, "exported")
        return document

    def audited(self, model: StoredModel, fits: bool) -> None:
        """Write down that this party's rows were compared with what it had committed to."""
        self._note(model, "audited: the rows fit" if fits else "audited: the rows do not fit")

    def _note(self, model: StoredModel, what: str, content: str = "", reason: str = "") -> None:
        body: Document = {
            "model": model.name,
            "job": model.job,
            "version": model.version,
            "action": what,
        }
        body |= {"digest": content} if content else {}
        body |= {"reason": reason} if reason else {}
        self._ledger.append("model", body)


def check_signed(document: Mapping[str, Any], key: Ed25519PublicKey) -> None:
    """`Fault` ``model.damaged`` unless the document carries its party's signature."""
    content = {name: value for name, value in document.items() if name != "signature"}
    try:
        message = PREFIX + bytes.fromhex(digest(content))
        key.verify(bytes.fromhex(str(document["signature"])), message)
    except (InvalidSignature, KeyError, ValueError) as error:
        raise damaged("its signature does not fit") from error


def at(moment: datetime) -> str:
    """A moment as documents have it."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")
