"""Declared costs: every protocol says its rounds and bytes, and the test of its value checks them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Cost:
    """Per seat: sequential rounds, and bytes sent at most by one seat per item (row, element, cell)."""

    rounds: str
    bytes_per_item: str


def costs(
    *, rounds: int | str, bytes_per_item: float | str
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Attach a `Cost`; numbers, or formulas in the protocol's own parameter names."""

    def attach(function: Callable[P, R]) -> Callable[P, R]:
        function.cost = Cost(str(rounds), str(bytes_per_item))  # type: ignore[attr-defined]
        return function

    return attach


def declared(function: Callable[..., object], **values: float) -> tuple[int, float]:
    """(rounds, bytes per item) of a protocol for the given parameter values."""
    cost: Cost = function.cost  # type: ignore[attr-defined]

    def number(formula: str) -> float:
        total = _evaluate(formula, values)
        return float(total)

    return int(number(cost.rounds)), number(cost.bytes_per_item)


def _evaluate(formula: str, values: dict[str, float]) -> float:
    """Sums and products of numbers and names, ``a/b`` allowed; nothing else is understood."""
    total = 0.0
    for term in formula.split("+"):
        product = 1.0
        for factor in term.split("*"):
            top, _, bottom = factor.strip().partition("/")
            product *= _atom(top, values)
            if bottom:
                product /= _atom(bottom, values)
        total += product
    return total


def _atom(text: str, values: dict[str, float]) -> float:
    text = text.strip()
    return float(values[text]) if text in values else float(text)
