"""Contracts: terms that people read and sign, requests made under them, and the decision.

Everything here is pure: no clock, no entropy, no input or output. Time is an argument.
"""

from hanse.contracts.accounting import Spend, composed, fits, largest_next, period_of, spread
from hanse.contracts.check import Account, Grant, History, check, check_value
from hanse.contracts.description import TRUST, describe
from hanse.contracts.model_check import ModelNote
from hanse.contracts.models import ModelClause
from hanse.contracts.places import GazetteerClause, Library
from hanse.contracts.qualifications import Qualification, QualifyingTest
from hanse.contracts.requests import (
    JobRequest,
    Output,
    Purpose,
    Use,
    permitting_parties,
    providers_of,
)
from hanse.contracts.rosters import RosterNote, note_of
from hanse.contracts.signatures import (
    Bundle,
    Permit,
    contract_signed,
    sign_contract,
    sign_permit,
    verify_permits,
)
from hanse.contracts.terms import (
    Column,
    Computation,
    Contract,
    Dataset,
    Join,
    Party,
    Privacy,
)

__all__ = [
    "TRUST",
    "Account",
    "Bundle",
    "Column",
    "Computation",
    "Contract",
    "Dataset",
    "GazetteerClause",
    "Grant",
    "History",
    "JobRequest",
    "Join",
    "Library",
    "ModelClause",
    "ModelNote",
    "Output",
    "Party",
    "Permit",
    "Privacy",
    "Purpose",
    "Qualification",
    "QualifyingTest",
    "RosterNote",
    "Spend",
    "Use",
    "check",
    "check_value",
    "composed",
    "contract_signed",
    "describe",
    "fits",
    "largest_next",
    "note_of",
    "period_of",
    "permitting_parties",
    "providers_of",
    "sign_contract",
    "sign_permit",
    "spread",
    "verify_permits",
]
