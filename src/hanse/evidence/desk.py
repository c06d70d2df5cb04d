"""Evidence for a console: drafts, packs that somebody brings, the verifier as a file; plain values and bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hanse.evidence import verifier
from hanse.evidence.impact import impact_page
from hanse.evidence.pack import make_pack
from hanse.node.faces import facade
from hanse.node.office import NodeOffice, bundle_of

__all__ = ["impact_draft", "make_pack", "verified", "verifier_file"]


def impact_draft(office: NodeOffice, contract_id: str) -> bytes:
    """The draft of an impact assessment of a contract, as a page. `Refusal` ``contract.unknown``."""
    contract = bundle_of(office.contract(contract_id)).contract
    accounts = {a.provider: a.body() for a in facade.accounts(office, contract)}
    return impact_page(contract, office.party, accounts)


def verified(data: bytes, keys: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Whether a pack holds, in words; ``keys`` are signing keys that are known by another way."""
    report = verifier.verify(data, keys)
    return {"ok": report.ok, "facts": list(report.facts), "problems": list(report.problems)}


def verifier_file() -> bytes:
    """The verifier's one file, for a machine that has Python and nothing else."""
    return Path(verifier.__file__).read_bytes()
