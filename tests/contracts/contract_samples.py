"""A small campaign contract between four organisations, and requests under it."""

from __future__ import annotations

import copy
import hashlib
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanse.contracts import Bundle, Contract, JobRequest

PARTIES = ("media", "retailer", "coupons", "neutral")
NOW = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)


def key_of(party: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(party.encode()).digest())


def public_key_of(party: str) -> str:
    return key_of(party).public_key().public_bytes_raw().hex()


def certificate_of(party: str) -> str:
    return hashlib.sha256(b"certificate of " + party.encode()).hexdigest()


TOML = f"""
format = 1
id = "spring-2026"
version = 1
title = "Spring campaign"
purpose = "Measure which messages led to purchases."
starts = 2026-01-01
expires = 2028-01-01
maximum_jobs = 200
seats = ["media", "retailer", "neutral"]
independence = "No seat holder controls another or is controlled by the same owner."
retention_days = 30

[join]
id_type = "household"
hash = "sha256"
epsilon = 0.1
delta = 1e-8
epsilon_budget = 3.0

[privacy]
k = 100
epsilon_per_query = 1.0
epsilon_budget = 10.0
delta = 1e-8
period = "contract"

[[parties]]
name = "media"
organisation = "A media company (demo)"
signing_key = "{public_key_of("media")}"
certificate = "{certificate_of("media")}"

[[parties]]
name = "retailer"
organisation = "A retailer (demo)"
signing_key = "{public_key_of("retailer")}"
certificate = "{certificate_of("retailer")}"

[[parties]]
name = "coupons"
organisation = "A coupon platform (demo)"
signing_key = "{public_key_of("coupons")}"
certificate = "{certificate_of("coupons")}"

[[parties]]
name = "neutral"
organisation = "An audit office (demo)"
signing_key = "{public_key_of("neutral")}"
certificate = "{certificate_of("neutral")}"

[[datasets]]
name = "exposures"
provider = "media"
capacity = 4096
slots = 4
personal = true
legal_basis = "consent"
evidence = "Consent records of the media company, series 2026."

[[datasets.columns]]
name = "campaign"
kind = "category"
uses = ["filter", "segment"]
values = ["email", "tv"]

[[datasets.columns]]
name = "day"
kind = "time"
uses = ["filter", "order"]

[[datasets]]
name = "baskets"
provider = "retailer"
capacity = 4096
slots = 8
personal = true
legal_basis = "contract"
evidence = "Loyalty terms, paragraph 4."

[[datasets.columns]]
name = "amount"
kind = "amount"
uses = ["value"]
maximum = 100000

[[datasets.columns]]
name = "day"
kind = "time"
uses = ["order"]

[[datasets]]
name = "places"
provider = "coupons"
capacity = 500
slots = 1
personal = false

[[datasets.columns]]
name = "visits"
kind = "integer"
uses = ["value"]
maximum = 1000

[[datasets.columns]]
name = "open"
kind = "boolean"
uses = ["filter"]

[[computations]]
name = "funnel"
recipients = ["media", "retailer"]
datasets = ["exposures", "baskets"]

[[computations]]
name = "crowd"
recipients = ["coupons"]
datasets = ["places", "baskets"]
"""

CONTRACT = Contract.from_toml(TOML)


def contract_fields() -> dict[str, Any]:
    """A fresh copy of the sample's plain values, to be spoilt."""
    return copy.deepcopy(CONTRACT.fields())


def bundle_of(contract: Contract = CONTRACT) -> Bundle:
    """The contract signed by every party."""
    bundle = Bundle(contract)
    for party in contract.parties:
        bundle = bundle.signed(party.name, key_of(party.name))
    return bundle


def request_fields(contract: Contract = CONTRACT, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "contract_id": contract.id,
        "contract_hash": contract.hash,
        "computation": "funnel",
        "parameters": {"stages": ["seen", "bought"], "days": 30},
        "analyst": "media",
        "uses": [
            {"dataset": "exposures", "column": "campaign", "purpose": "filter"},
            {"dataset": "exposures", "column": "day", "purpose": "order"},
            {"dataset": "baskets", "column": "day", "purpose": "order"},
            {"dataset": "baskets", "column": "", "purpose": "membership"},
        ],
        "noise": True,
        "epsilon": 1.0,
        "epsilon_join": 0.1,
        "recipients": ["media"],
        "attempt": 1,
        "created": "2026-07-15T11:59:00Z",
        "nonce": "00112233445566778899aabbccddeeff",
        "commitments": {"exposures": "ab" * 32, "baskets": ""},
        "code_version": "0.1.0",
        "outputs": [{"name": "cells", "shape": [3, 2]}],
    }
    fields.update(changes)
    return fields


def request(contract: Contract = CONTRACT, **changes: Any) -> JobRequest:
    return JobRequest.from_fields(request_fields(contract, **changes))
