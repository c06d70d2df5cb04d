"""Which option serves which kind of model: one that a kind does not use is refused by name, never passed over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hanse.errors import Refusal

ONE_CLASS = frozenset({"logistic", "linear", "poisson", "gamma", "tweedie"})
LINEAR = ONE_CLASS | {"multinomial"}
BOOSTING = frozenset({"boosting"})
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Serves:
    """Kinds over columns and kinds over rows (horizontal) that take an option; what a command calls it."""

    columns: frozenset[str]
    rows: frozenset[str]
    called: str


OPTIONS = {
    "l2": Serves(LINEAR, LINEAR, "--l2"),
    "l1": Serves(ONE_CLASS, NOTHING, "--l1"),
    "alignment": Serves(LINEAR, NOTHING, "--open"),
    "errors": Serves(ONE_CLASS, NOTHING, "--errors"),
    "weight": Serves(LINEAR, NOTHING, "--weight"),
    "offset": Serves(ONE_CLASS, NOTHING, "--offset"),
    "iterations": Serves(LINEAR, NOTHING, "--iterations"),
    "batch_rows": Serves(LINEAR, NOTHING, "--batch-rows"),
    "power": Serves(frozenset({"tweedie"}), frozenset({"tweedie"}), "--power"),
    "loss": Serves(BOOSTING, NOTHING, "--loss"),
    "trees": Serves(BOOSTING, BOOSTING, "--trees"),
    "depth": Serves(BOOSTING, BOOSTING, "--depth"),
}


def check_used(model: str, given: Iterable[str], *, horizontal: bool = False) -> None:
    """`Refusal` of the first option ``given`` that a model of this kind does not use."""
    for name in given:
        option = OPTIONS.get(name)
        if option is None:  # it serves all kinds
            continue
        served = option.rows if horizontal else option.columns
        if model in served:
            continue
        kind = f"a {'horizontal ' if horizontal else ''}{model} model"
        others = sorted(option.columns | option.rows)
        where = "" if option.rows or not horizontal else " over columns"
        raise Refusal(
            "learn.option", f"{kind} does not use {option.called}",
            remedy=f"leave it out; it serves {', '.join(others)}{where}",
        )  # fmt: skip
