"""Where a party keeps its parts of rosters: on disk at a node, in memory in a rehearsal. Each has an expiry.

A part is plain arrays: "seat" (two factors of every secret order, and the groups) or "order" (a provider's hashed
ids as its rows were). Beside them lies the roster's note. Whoever only asks, or reads, keeps the note alone.
On disk parts are encrypted under a key that follows from the node's own: a copy of the data folder names nobody.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hanse.catalog import Dataset, RowRequest
from hanse.clock import Clock
from hanse.contracts import Contract, JobRequest, RosterNote, note_of, providers_of
from hanse.engine.masks import derive
from hanse.entropy import SystemEntropy
from hanse.errors import HanseError, Refusal
from hanse.node.disk import writing_to
from hanse.node.identity.keys import Identity

SEAT, ORDER = "seat", "order"
FOLDER = "rosters"
_NOTE = "roster.json"
_JOB = re.compile("[0-9a-f]{64}")
_REMEMBERED = timedelta(days=92)  # that there was a roster, after it expired
_PIECE = 1 << 26  # bytes that are encrypted at once
_NONCE = 12
_TAG = 16
Arrays = Mapping[str, np.ndarray]


class Rosters(Protocol):
    """One party's rosters, by the job that made them."""

    def notes(self) -> list[RosterNote]:
        """What there is, the newest last; nothing that cannot be read."""
        ...

    def has(self, job: str, part: str) -> bool:
        """Whether the part is there."""
        ...

    def keep(self, note: RosterNote, part: str = "", arrays: Arrays | None = None) -> None:
        """Keep a part, and the note if there is none yet."""
        ...

    def load(self, job: str, part: str) -> dict[str, np.ndarray] | None:
        """The part, or None if it is not there or damaged."""
        ...

    def remove(self, job: str, *, note: bool = True) -> None:
        """Delete all parts, and the note unless it shall stay to say what the roster was."""
        ...


class MemoryRosters:
    """In memory, for rehearsals."""

    def __init__(self) -> None:
        self._notes: dict[str, RosterNote] = {}
        self._parts: dict[tuple[str, str], Arrays] = {}
        self._lock = threading.Lock()

    def notes(self) -> list[RosterNote]:
        with self._lock:
            return list(self._notes.values())

    def has(self, job: str, part: str) -> bool:
        return (job, part) in self._parts

    def keep(self, note: RosterNote, part: str = "", arrays: Arrays | None = None) -> None:
        with self._lock:
            self._notes.setdefault(note.job, note)
            if arrays is not None:
                self._parts[note.job, part] = arrays

    def load(self, job: str, part: str) -> dict[str, np.ndarray] | None:
        found = self._parts.get((job, part))
        return None if found is None else dict(found)

    def remove(self, job: str, *, note: bool = True) -> None:
        with self._lock:
            if note:
                self._notes.pop(job, None)
            for key in [k for k in self._parts if k[0] == job]:
                del self._parts[key]


class FolderRosters:
    """In a folder that only its owner can read; files appear whole or not at all.

    ``key`` [32 bytes] encrypts the parts (AES-256-GCM): one that was changed, or lies in another's place, is none.
    """

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder = folder
        self._box = AESGCM(key)
        self._lock = threading.Lock()

    def notes(self) -> list[RosterNote]:
        found = []
        for path in self._folder.glob(f"*/{_NOTE}"):
            with contextlib.suppress(HanseError, OSError):
                note = RosterNote.from_json(path.read_text(encoding="utf-8"))
                if note.job == path.parent.name:
                    found.append(note)
        return sorted(found, key=lambda note: (note.made, note.job))

    def has(self, job: str, part: str) -> bool:
        return self._path(job, part).is_file()

    def keep(self, note: RosterNote, part: str = "", arrays: Arrays | None = None) -> None:
        folder = self._of(note.job)
        with self._lock, writing_to(self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (folder / _NOTE).is_file():
                _write(folder / _NOTE, lambda file: file.write(note.to_json().encode()))
            if arrays is not None:
                about = f"{note.job}|{part}"
                _write(self._path(note.job, part), lambda file: self._seal(file, arrays, about))

    def load(self, job: str, part: str) -> dict[str, np.ndarray] | None:
        try:
            plain = self._unsealed(self._path(job, part), f"{job}|{part}")
            with np.load(plain, allow_pickle=False) as kept:
                return {name: kept[name] for name in kept.files}
        except (OSError, ValueError, InvalidTag, zipfile.BadZipFile, EOFError):
            return None

    def _seal(self, file: Any, arrays: Arrays, about: str) -> None:
        """Write the arrays encrypted, piece by piece; the last piece says that it is the last."""
        plain = io.BytesIO()
        np.savez(plain, allow_pickle=False, **arrays)
        entropy, view = SystemEntropy(), plain.getbuffer()
        pieces = range(0, len(view), _PIECE)
        for number, start in enumerate(pieces):
            last = number == len(pieces) - 1
            nonce, said = entropy.take(_NONCE), f"{about}|{number}|{last}".encode()
            file.write(nonce + self._box.encrypt(nonce, view[start : start + _PIECE], said))

    def _unsealed(self, path: Path, about: str) -> io.BytesIO:
        plain = io.BytesIO()
        left, number = path.stat().st_size, 0
        with path.open("rb") as file:
            while left > 0:
                piece = file.read(_NONCE + _PIECE + _TAG)
                left -= len(piece)
                said = f"{about}|{number}|{left <= 0}".encode()
                plain.write(self._box.decrypt(piece[:_NONCE], piece[_NONCE:], said))
                number += 1
        plain.seek(0)
        return plain

    def remove(self, job: str, *, note: bool = True) -> None:
        with self._lock:
            if note:
                shutil.rmtree(self._of(job), ignore_errors=True)
                return
            for part in (SEAT, ORDER):
                self._path(job, part).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete what has no readable note: nobody could tell when it ends."""
        with self._lock:
            known = {note.job for note in self.notes()}
            for path in self._folder.glob("*"):
                if path.name not in known:
                    shutil.rmtree(path, ignore_errors=True)

    def _of(self, job: str) -> Path:
        if not _JOB.fullmatch(job):
            raise ValueError("a roster is named by the hash of a job")
        return self._folder / job

    def _path(self, job: str, part: str) -> Path:
        return self._of(job) / f"{part}.part"


def node_rosters(data_folder: Path, identity: Identity) -> FolderRosters:
    """The rosters of a node, under a key that follows from its own."""
    secret = identity.signing_key.private_bytes_raw()
    return FolderRosters(data_folder / FOLDER, derive(secret, "hanse-rosters-v1"))


def _write(path: Path, fill: Callable[[Any], Any]) -> None:
    """The whole file under its name, on the disk, or nothing."""
    new = path.with_suffix(path.suffix + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


# --- finding and ending -----------------------------------------------------------------------------


def newest(rosters: Rosters, contract: Contract, name: str) -> RosterNote | None:
    """The roster called ``name`` that was made last under this very contract, expired or not."""
    fitting = [n for n in rosters.notes() if n.name == name and n.contract_hash == contract.hash]
    return fitting[-1] if fitting else None


def held(
    rosters: Rosters, contract: Contract, request: JobRequest, party: str, now: datetime
) -> RosterNote | None:
    """The note on the job's roster, if ``party`` has all the parts that it must play, or had until it expired."""
    note = next((n for n in rosters.notes() if n.job == request.roster_job), None)
    needed = [SEAT] if party in contract.seats else []
    needed += [ORDER] if party in providers_of(contract, request) else []
    if note is None or now >= note.expires:
        return note
    return note if all(rosters.has(note.job, part) for part in needed) else None


def end_expired(rosters: Rosters, now: datetime, ended: Iterable[str] = ()) -> list[RosterNote]:
    """Delete rosters whose time is over, and those of contracts (hashes) that have ended; which these were.

    Of an expired one the note stays for a while, so that who names it hears what became of it.
    """
    over, gone = set(ended), []
    for note in rosters.notes():
        if note.contract_hash in over or now >= note.expires + _REMEMBERED:
            rosters.remove(note.job)
            gone.append(note)
        elif now >= note.expires and any(rosters.has(note.job, part) for part in (SEAT, ORDER)):
            rosters.remove(note.job, note=False)
            gone.append(note)
    return gone


def all_ids(
    contract: Contract, request: JobRequest, datasets: Mapping[str, Dataset],
    read: Callable[[Dataset, RowRequest], Any],
) -> list[np.ndarray]:  # fmt: skip
    """The hashed ids of everybody in a provider's own ``datasets`` of the job, active or not."""
    found = []
    for name in request.datasets:
        clause, dataset = contract.dataset(name), datasets.get(name)
        if clause is None or dataset is None:
            continue
        join = contract.join
        wanted = RowRequest(
            id_type=join.id_type, chain=join.hash, capacity=clause.capacity, keep_all=True
        )
        found.append(read(dataset, wanted).ids)
    return found


# --- one job's use of them --------------------------------------------------------------------------


@dataclass(frozen=True)
class Keeper:
    """A party's rosters as one job's roles use them.

    ``everybody`` reads the ids of all this provider's people; ``tell`` adds a line to this party's own log.
    """

    party: str
    rosters: Rosters
    clock: Clock
    everybody: Callable[[], list[np.ndarray]]
    tell: Callable[[str], None]

    def note(self, request: JobRequest) -> RosterNote:
        """The roster that the job uses; `Refusal` ``roster.unknown``."""
        for note in self.rosters.notes():
            if note.job == request.roster_job:
                return note
        raise self._lost(request)

    def load(self, request: JobRequest, part: str) -> dict[str, np.ndarray]:
        """A part of the roster that the job uses; `Refusal` ``roster.unknown``."""
        found = self.rosters.load(request.roster_job, part)
        if found is None:
            raise self._lost(request)
        return found

    def keep(
        self, contract: Contract, request: JobRequest, rows: Mapping[str, int], part: str = "",
        arrays: Arrays | None = None,
    ) -> None:  # fmt: skip
        """Keep a part of the roster that the job makes. If that fails, the job's answer is still paid for."""
        note = note_of(contract, request, rows, self.clock.now())
        try:
            self.rosters.keep(note, part, arrays)
        except (HanseError, OSError) as error:
            why = error.code if isinstance(error, HanseError) else error.strerror
            self.tell(f"roster {request.roster} could not be kept: {why}")

    def _lost(self, request: JobRequest) -> Refusal:
        return Refusal(
            "roster.unknown",
            f"{self.party} does not hold its part of roster {request.roster!r}",
            remedy="ask with a new roster name, which makes a new roster",
            where=self.party,
        )
