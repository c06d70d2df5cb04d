"""A node's backup: configuration, keys, places, rosters and the whole store in one encrypted file; and back.

    magic | length of the header (u32) | header (JSON: format, party, time, salt, cost) | chunks

Chunks of 1 MiB are AES-256-GCM under a key that scrypt makes of the passphrase; the nonce is a random prefix, the
chunk's number and whether it is the last, the header is authenticated with each: a chunk cannot be changed,
swapped, repeated or cut off. The store travels as SQLite, whatever database it is in, from one consistent view.
Private keys are never written in the clear outside the node's own folder.

A backup that is older than the node's last job has an older ledger: budgets that were spent since are spent still
in every partner's ledger, and a joint question needs all of them, so nothing can be asked twice for free.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import tarfile
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import ValidationError
from sqlalchemy import func, select

from hanse import problems
from hanse.clock import Clock
from hanse.entropy import Entropy
from hanse.errors import Fault, HanseError, Refusal
from hanse.node.config import CONFIG_FILE, Store, load_config, parse_config
from hanse.node.disk import writing_to
from hanse.node.identity.keys import IDENTITY_CARD, KEY_FOLDER
from hanse.node.storage import tables
from hanse.node.storage.database import STORE_FILE, Database, open_sqlite, open_url
from hanse.wire.codec import canonical

MAGIC = b"HNSBKUP1"
FORMAT = "hanse-backup-1"
LEAST_PASSPHRASE = 12
_CHUNK = 1 << 20
_TAG = 16
_COST = 1 << 15  # scrypt's n: 32 MiB, about 0.1 s
_MOST_COST = 1 << 20
_LENGTH = struct.Struct("<I")
_MOST_HEADER = 1 << 16
_BATCH = 1000
_FOLDERS = ("places", "rosters")  # below the data folder, beside the store


def back_up(folder: Path, to: Path, passphrase: str, clock: Clock, entropy: Entropy) -> int:
    """Write the backup of the node in ``folder``, running or not, to the new file ``to``; its size in bytes.

    Raises `Refusal` ``backup.passphrase`` or ``file.exists``, `Fault` for a disk or store that fails.
    """
    if len(passphrase) < LEAST_PASSPHRASE:
        raise Refusal("backup.passphrase", f"the passphrase is shorter than {LEAST_PASSPHRASE} characters",
                      remedy="use several words; whoever has file and passphrase has this node's keys")  # fmt: skip
    config = load_config(folder)
    salt, prefix = entropy.take(16), entropy.take(7)
    header = canonical({"format": FORMAT, "party": config.party, "made": clock.now().isoformat(),
                        "salt": salt.hex(), "cost": _COST, "nonce": prefix.hex()})  # fmt: skip
    data = config.data_folder
    with _writing(to.parent), tempfile.TemporaryDirectory(prefix=".backup-", dir=data) as work:
        source = open_url(config.store.url) if config.store.url else open_sqlite(config.data_folder)
        copy = open_sqlite(Path(work))
        try:
            copy_store(source, copy)
        finally:
            source.close()
            copy.close()
        with _new_file(to) as file:
            file.write(MAGIC + _LENGTH.pack(len(header)) + header)
            sealing = _Sealing(file, _cipher(passphrase, salt, _COST), prefix, header)
            with tarfile.open(fileobj=cast(IO[bytes], sealing), mode="w|") as archive:
                for path, name in _files(folder, data):
                    archive.add(path, name, recursive=False, filter=_bare)
                archive.add(Path(work) / STORE_FILE, STORE_FILE, filter=_bare)
            sealing.close()
    return to.stat().st_size


@contextlib.contextmanager
def _new_file(to: Path) -> Iterator[IO[bytes]]:
    """The new file to write a backup to, on the disk when this ends; gone again if anything fails."""
    try:
        file = to.open("xb")
    except FileExistsError as error:
        raise Refusal("file.exists", "the file for the backup exists already",
                      remedy="choose another name", where=str(to)) from error  # fmt: skip
    try:
        with file:
            to.chmod(0o600)
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        to.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """As `writing_to`, and any other trouble with files becomes `Fault` ``backup.files``."""
    try:
        with writing_to(folder):
            yield
    except OSError as error:
        raise Fault("backup.files", f"a file could not be read or written: {error.strerror}",
                    remedy="check that the folder is there and yours, and the disk",
                    where=str(error.filename or folder)) from error  # fmt: skip


def restore(file: Path, folder: Path, passphrase: str) -> str:
    """Make the node in the new folder ``folder`` from a backup; its party name.

    Raises `Refusal` ``node.exists``, ``backup.malformed`` or ``backup.wrong`` (passphrase, or a changed file), and
    `Fault` ``file.unreadable``, ``backup.files`` or ``disk.full``.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refusal("node.exists", "the folder for the restored node is not empty",
                      remedy="choose a new folder", where=str(folder))  # fmt: skip
    try:
        source = file.open("rb")
    except OSError as error:
        raise Fault("file.unreadable", f"the backup cannot be read: {error.strerror}",
                    remedy="check the path and its permissions", where=str(file)) from error  # fmt: skip
    with source, _writing(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=folder.parent) as work:
            try:
                opening = _Opening(source, passphrase)
                with tarfile.open(fileobj=cast(IO[bytes], opening), mode="r|") as archive:
                    _unpack(archive, Path(work))
                opening.end()
            except (tarfile.TarError, KeyError) as error:
                raise _malformed("its content is not an archive") from error
            inside = Path(work) / "node"
            config = parse_config((inside / CONFIG_FILE).read_text(encoding="utf-8"), folder)
            _put(inside, folder)
            config.data_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _put(inside / "data", config.data_folder)
            _restore_store(Path(work), config.store.url, config.data_folder)
    return config.party


def move_store(folder: Path, url: str) -> dict[str, int]:
    """Copy the node's store into the empty PostgreSQL database at ``url``; rows by table.

    The node must be stopped, and is told to use the new place by ``store.url`` in hanse.toml.
    """
    config = load_config(folder)
    try:
        Store(url=url)
    except ValidationError as error:
        raise problems.fault("store.url", "the new place", error, {"url": url}) from error
    source = open_url(config.store.url) if config.store.url else open_sqlite(config.data_folder)
    try:
        target = open_url(url)
        try:
            return copy_store(source, target)
        finally:
            target.close()
    finally:
        source.close()


def copy_store(source: Database, target: Database) -> dict[str, int]:
    """Every row of every table, from one view of ``source`` into the empty ``target``; rows by table.

    Raises `Refusal` ``store.not-empty`` rather than mix two nodes' records.
    """
    counts = {}
    kept = [t for t in tables.metadata.sorted_tables if t is not tables.meta]
    with source.reading() as read, target.writing() as write:
        for table in kept:
            if write.execute(select(func.count()).select_from(table)).scalar_one():
                raise Refusal("store.not-empty", f"the store to copy to has rows in {table.name!r} already",
                              remedy="give an empty database", where=target.where)  # fmt: skip
        for table in kept:
            rows = read.execution_options(yield_per=_BATCH).execute(select(table))
            counts[table.name] = 0
            for batch in rows.partitions(_BATCH):
                write.execute(table.insert(), [dict(row._mapping) for row in batch])
                counts[table.name] += len(batch)
    return counts


# --- files ------------------------------------------------------------------------------------------


def _files(folder: Path, data: Path) -> Iterator[tuple[Path, str]]:
    for path in (
        folder / CONFIG_FILE,
        folder / IDENTITY_CARD,
        *sorted((folder / KEY_FOLDER).iterdir()),
    ):
        if path.is_file() and not path.is_symlink():
            yield path, f"node/{path.relative_to(folder).as_posix()}"
    for name in _FOLDERS:
        for path in sorted((data / name).rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield path, f"node/data/{path.relative_to(data).as_posix()}"


def _bare(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _unpack(archive: tarfile.TarFile, work: Path) -> None:
    for info in archive:
        name = PurePosixPath(info.name)
        inside = info.name == STORE_FILE or name.parts[0] == "node"
        if not info.isfile() or name.is_absolute() or ".." in name.parts or not inside:
            raise _malformed("it holds a file that no backup has")
        target = work / "store" / STORE_FILE if info.name == STORE_FILE else work / info.name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = cast(IO[bytes], archive.extractfile(info))
        target.touch(mode=0o600)
        with target.open("wb") as file:
            while block := content.read(_CHUNK):
                file.write(block)
        target.chmod(0o644 if name.name in (CONFIG_FILE, IDENTITY_CARD) else 0o600)


def _put(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_dir() or (relative.parts[0] == "data" and source.name == "node"):
            continue
        place = target / relative
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.touch(mode=0o600)
        place.write_bytes(path.read_bytes())
        place.chmod(path.stat().st_mode & 0o777)


def _restore_store(work: Path, url: str | None, data: Path) -> None:
    source = open_sqlite(work / "store")
    try:
        target = open_url(url) if url else open_sqlite(data)
        try:
            copy_store(source, target)
        finally:
            target.close()
    finally:
        source.close()


# --- encryption -------------------------------------------------------------------------------------


def _cipher(passphrase: str, salt: bytes, cost: int) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(passphrase.encode()))


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])


class _Sealing:
    """A file to write to that encrypts what it is given, chunk by chunk."""

    def __init__(self, file: IO[bytes], cipher: AESGCM, prefix: bytes, header: bytes) -> None:
        self._file, self._cipher, self._prefix, self._header = file, cipher, prefix, header
        self._waiting = bytearray()
        self._number = 0

    def write(self, data: bytes) -> int:
        self._waiting += data
        while len(self._waiting) > _CHUNK:  # one more byte: so this chunk is not the last
            self._send(bytes(self._waiting[:_CHUNK]), last=False)
            del self._waiting[:_CHUNK]
        return len(data)

    def close(self) -> None:
        self._send(bytes(self._waiting), last=True)

    def _send(self, block: bytes, *, last: bool) -> None:
        nonce = _nonce(self._prefix, self._number, last=last)
        self._file.write(self._cipher.encrypt(nonce, block, self._header))
        self._number += 1


class _Opening:
    """A file to read from that decrypts; every chunk is checked before any of it is given."""

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        start = file.read(len(MAGIC) + _LENGTH.size)
        if len(start) < len(MAGIC) + _LENGTH.size or not start.startswith(MAGIC):
            raise _malformed("it does not begin as one")
        (length,) = _LENGTH.unpack(start[len(MAGIC) :])
        if length > _MOST_HEADER:
            raise _malformed("its header is too long")
        self._file, self._header = file, file.read(length)
        fields = _header(self._header)
        self._cipher = _cipher(passphrase, bytes.fromhex(fields["salt"]), fields["cost"])
        self._prefix = bytes.fromhex(fields["nonce"])
        self._number, self._clear = 0, b""
        self._next = file.read(_CHUNK + _TAG)
        self._ended = False

    def read(self, size: int) -> bytes:
        while len(self._clear) < size and not self._ended:
            self._clear += self._chunk()
        taken, self._clear = self._clear[:size], self._clear[size:]
        return taken

    def end(self) -> None:
        """Read what is left, so that a file that was cut off or went on is noticed."""
        while not self._ended:
            self._chunk()

    def _chunk(self) -> bytes:
        block, self._next = self._next, self._file.read(_CHUNK + _TAG)
        self._ended = not self._next
        nonce = _nonce(self._prefix, self._number, last=self._ended)
        self._number += 1
        try:
            return self._cipher.decrypt(nonce, block, self._header)
        except InvalidTag as error:
            raise Refusal("backup.wrong", "the passphrase is not the backup's, or the file was changed or cut off",
                          remedy="try the passphrase again, or another copy of the file") from error  # fmt: skip


def _header(data: bytes) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.load(io.BytesIO(data))
        good = (
            fields["format"] == FORMAT
            and len(bytes.fromhex(fields["salt"])) == 16
            and len(bytes.fromhex(fields["nonce"])) == 7
            and isinstance(fields["cost"], int)
            and 2 <= fields["cost"] <= _MOST_COST
            and fields["cost"] & (fields["cost"] - 1) == 0
            and bool(datetime.fromisoformat(fields["made"]))
        )
    except (ValueError, KeyError, TypeError, HanseError) as error:
        raise _malformed("its header cannot be read") from error
    if not good:
        raise _malformed("its header is not one that this version knows")
    return fields


def _malformed(why: str) -> Refusal:
    return Refusal("backup.malformed", f"the file is not a backup of a Hanse node: {why}",
                   remedy="give the file that 'hanse node backup' wrote")  # fmt: skip
