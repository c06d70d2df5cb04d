"""Evidence for a console: drafts, packs that somebody brings, the verifier as a file; plain values and bytes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from hanse.errors import Fault, Refusal
from hanse.evidence import verifier
from hanse.evidence.impact import impact_page
from hanse.evidence.pack import make_pack, write_pack
from hanse.node.faces import facade
from hanse.node.office import NodeOffice, bundle_of

__all__ = [
    "impact_draft",
    "make_pack",
    "verified",
    "verifier_file",
    "write_pack",
    "write_pack_file",
]


def impact_draft(office: NodeOffice, contract_id: str) -> bytes:
    """The draft of an impact assessment of a contract, as a page. `Refusal` ``contract.unknown``."""
    contract = bundle_of(office.contract(contract_id)).contract
    accounts = {a.provider: a.body() for a in facade.accounts(office, contract)}
    return impact_page(contract, office.party, accounts)


def write_pack_file(office: NodeOffice, contract_id: str, made: datetime, path: Path) -> int:
    """Write a contract's pack to a file that must not exist yet; its size in bytes.

    Raises as `write_pack`, and `Refusal` ``file.exists`` or `Fault` ``file.unwritable``; then no file is left.
    """
    try:
        with path.open("xb") as file:
            try:
                write_pack(office, contract_id, made, file)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            return file.tell()
    except FileExistsError as error:
        raise Refusal("file.exists", "the file for the evidence pack exists already",
                      remedy="choose another name, or remove it first", where=str(path)) from error  # fmt: skip
    except OSError as error:
        said = f"the file for the evidence pack cannot be written: {error.strerror}"
        remedy = "check the folder, its permissions and the disk"
        raise Fault("file.unwritable", said, remedy=remedy, where=str(path)) from error


def verified(
    pack: bytes | Path | BinaryIO, keys: Mapping[str, str] | None = None, *, every: bool | None = None
) -> dict[str, Any]:  # fmt: skip
    """Whether a pack holds, in words; ``keys`` are signing keys that are known by another way.

    ``every``: see `verifier.verify`. `Fault` ``file.unreadable`` for a path that cannot be read.
    """
    try:
        report = verifier.verify(pack, keys, every=every)
    except OSError as error:
        raise Fault("file.unreadable", f"the evidence pack cannot be read: {error.strerror}",
                    remedy="check the path and its permissions", where=str(pack)) from error  # fmt: skip
    return {"ok": report.ok, "facts": list(report.facts), "problems": list(report.problems)}


def verifier_file() -> bytes:
    """The verifier's one file, for a machine that has Python and nothing else."""
    return Path(verifier.__file__).read_bytes()
