"""Model jobs by the kind of their clause: which page plans a training, a scoring, an answer for one row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hanse.contracts import Contract
from hanse.contracts.model_check import clause_called
from hanse.contracts.models import BOOSTING_KINDS, HORIZONTAL_KINDS, LINEAR_KINDS
from hanse.errors import Refusal
from hanse.learn.jobs import contributions, linear, pooled, trees
from hanse.learn.scoring import batch, online


def training(parameters: Mapping[str, Any], contract: Contract) -> Any:
    """The plan of a training."""
    kind = _kind(parameters, contract)
    if kind in LINEAR_KINDS:
        return linear.plan(parameters, contract)
    if kind in BOOSTING_KINDS:
        return trees.plan(parameters, contract)
    if kind in HORIZONTAL_KINDS:
        return pooled.plan(parameters, contract)
    raise _unsupported(kind, "trained")


def contributing(parameters: Mapping[str, Any], contract: Contract) -> Any:
    """The plan of measuring what each party adds."""
    kind = _kind(parameters, contract)
    if kind in LINEAR_KINDS:
        return contributions.plan(parameters, contract)
    raise Refusal("model.kind", f"what each party adds to a model of kind {kind!r} cannot be measured by a job",
                  remedy="measure it of a linear kind: " + ", ".join(LINEAR_KINDS))  # fmt: skip


def scoring(parameters: Mapping[str, Any], contract: Contract) -> Any:
    """The plan of a scoring in batches."""
    kind = _kind(parameters, contract)
    if kind in LINEAR_KINDS:
        return batch.plan(parameters, contract)
    if kind in BOOSTING_KINDS:
        return trees.scoring(parameters, contract)
    raise _unsupported(kind, "scored")


def scoring_one(parameters: Mapping[str, Any], contract: Contract) -> Any:
    """The plan of a score of one row."""
    kind = _kind(parameters, contract)
    if kind in LINEAR_KINDS:
        clause = clause_called(contract, str(parameters.get("model", "")))
        if clause.online == "hidden":
            return batch.plan(parameters, contract, single=True)
        return online.plan(parameters, contract)
    if kind in BOOSTING_KINDS:
        return trees.scoring(parameters, contract, one=True)
    raise _unsupported(kind, "scored one by one")


def _kind(parameters: Mapping[str, Any], contract: Contract) -> str:
    return clause_called(contract, str(parameters.get("model", ""))).kind


def _unsupported(kind: str, what: str) -> Refusal:
    if kind in HORIZONTAL_KINDS:
        return Refusal("model.kind", f"every party of a model of kind {kind!r} holds the whole of it",
                       remedy="score at home, with this party's own part: hanse model export")  # fmt: skip
    return Refusal("model.kind", f"models of kind {kind!r} cannot be {what} by jobs between nodes yet",
                   remedy="use a kind that can: " + ", ".join([*LINEAR_KINDS, *BOOSTING_KINDS]))  # fmt: skip
