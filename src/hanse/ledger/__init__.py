"""The ledger: what a node did, hash-chained and signed; budgets and answers derived from it."""

from hanse.ledger.answers import Answer, Answers, answer_key
from hanse.ledger.chain import (
    Ledger,
    LedgerStore,
    MemoryStore,
    StaleHeadError,
    Verdict,
    verify_lines,
)
from hanse.ledger.entries import GENESIS, Entry, Signer
from hanse.ledger.redaction import redact
from hanse.ledger.refusals import Refusals
from hanse.ledger.spend import Balance, Reservation, Spend, Standing

__all__ = [
    "GENESIS",
    "Answer",
    "Answers",
    "Balance",
    "Entry",
    "Ledger",
    "LedgerStore",
    "MemoryStore",
    "Refusals",
    "Reservation",
    "Signer",
    "Spend",
    "StaleHeadError",
    "Standing",
    "Verdict",
    "answer_key",
    "redact",
    "verify_lines",
]
