"""What a job would cost and show, before anything is spent: price, noise, thresholds, budgets, alike questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hanse.contracts import Contract, Grant
from hanse.errors import Refusal
from hanse.gate import ReleasePlan
from hanse.gate.scores import ModelRelease
from hanse.measure.intervals import noise_half_width

Document = dict[str, Any]


def preview_of(
    contract: Contract,
    grant: Grant,
    release: ReleasePlan | ModelRelease,
    similar: Mapping[str, str],
) -> Document:
    """Plain values. ``noise`` and ``thresholds`` are of counts of people; ``kinds`` tells all outputs apart.

    ``similar`` are the period's jobs that asked almost the same, with how they differ.
    """
    if isinstance(release, ModelRelease):
        raise Refusal("model.preview", "what a model job tells is exact: it has no noise and no thresholds to see",
                      remedy="see what may be trained with 'hanse model list --allowed'")  # fmt: skip
    kinds = _kinds(release)
    counts = [kind for kind in kinds if kind["of"] == "people"]
    return {
        "outputs": release.outputs,
        "cells": release.cells,
        "epsilon": grant.epsilon,
        "epsilon_join": grant.epsilon_join,
        "k": grant.k,
        "thresholds": sorted({kind["shown_from"] for kind in counts}),
        "noise": sorted({round(kind["noise"]) for kind in counts}),
        "kinds": kinds,
        "providers": list(grant.providers),
        "recipients": list(grant.recipients),
        "similar": dict(similar),
        "similar_left": max(0, contract.privacy.similar_questions - len(similar)),
        "after": {
            name: {"recipients": a.recipients, "recipients_budget": a.recipients_budget,
                   "seats": a.seats, "seats_budget": a.seats_budget}
            for name, a in grant.after.items()
        },
    }  # fmt: skip


def _kinds(release: ReleasePlan) -> list[Document]:
    """Outputs that are noised alike and shown from the same number of people on, with how many they are."""
    marks = np.stack(
        [
            release.block_of,
            release.sums.sizes,
            release.is_value.astype(np.int64),
            release.thresholds(),
        ]
    )
    found, firsts, times = np.unique(marks, axis=1, return_index=True, return_counts=True)
    kinds: dict[tuple[str, float, int], int] = {}
    for column in range(found.shape[1]):
        first = int(firsts[column])
        half = noise_half_width(release, first)
        key = "figures" if release.is_value[first] else "people", half, int(found[3, column])
        kinds[key] = kinds.get(key, 0) + int(times[column])
    return [
        {"of": of, "outputs": count, "noise": noise, "shown_from": limit}
        for (of, noise, limit), count in sorted(kinds.items(), reverse=True)
    ]
