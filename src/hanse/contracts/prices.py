"""What the parties pay one another for uses of data: price terms of a contract, in one currency.

A price says who pays whom, for one unit of what. Quantities are counted by each node from its own ledger and its
API's usage, so that every party can make the same statement by itself (`hanse.node.value.statements`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from hanse.contracts.fields import Document, Name, Slug, Text

# job: a job whose results were opened. dataset-use: a job that read the dataset. epsilon: one unit of privacy
# budget of the payee's people. training: a model's training. thousand-values: a thousand values that the API served
# on the contract's account. month: a month that began within the contract. contribution: the payee's share of what
# all parties add to a model, as it was last measured, times months: the amount is what all of them share a month.
Unit = Literal[
    "job", "dataset-use", "epsilon", "training", "thousand-values", "month", "contribution"
]
Amount = Annotated[str, Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,4})?$")]


class Price(Document):
    """``payer`` pays ``payee`` the ``amount`` per unit; of one computation or dataset only, if named.

    ``model`` is the one that contributions are to. ``payer`` "analyst" is whoever asked for the job.
    """

    payer: Slug
    payee: Slug
    unit: Unit
    amount: Amount
    computation: Name | None = None
    dataset: Name | None = None
    model: Name | None = None

    @property
    def value(self) -> Decimal:
        """The amount as an exact number."""
        return Decimal(self.amount)


class Purchase(Document):
    """What a copy of a dataset would cost a month, where it could be bought at all: for comparison only."""

    dataset: Name
    amount: Amount
    source: Text

    @property
    def value(self) -> Decimal:
        """The amount as an exact number."""
        return Decimal(self.amount)


class Prices(Document):
    """The price terms of a contract."""

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    terms: Annotated[tuple[Price, ...], Field(min_length=1, max_length=200)]
    purchases: Annotated[tuple[Purchase, ...], Field(max_length=200)] = ()


ANALYST = "analyst"
_ANALYST_PAYS = ("job", "dataset-use", "epsilon", "training")


def price_problems(
    prices: Prices | None, parties: set[str], datasets: Iterable[str], computations: set[str],
    models: Mapping[str, tuple[Collection[str], Collection[str]]],
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """What does not fit the rest of the contract. ``models``: (who may be paid for what it adds, who is told)."""
    if prices is None:
        return
    known = set(datasets)
    for number, price in enumerate(prices.terms):
        where = f"prices.terms[{number}]"
        if price.payer not in parties | {ANALYST}:
            yield f"{where}.payer", f"there is no party {price.payer!r}; name a party, or 'analyst'"
        if price.payee not in parties:
            yield f"{where}.payee", f"there is no party {price.payee!r}; add it or correct the name"
        if price.payer == price.payee:
            yield f"{where}.payee", "is the payer; remove the price"
        if price.payer == ANALYST and price.unit not in _ANALYST_PAYS:
            yield f"{where}.payer", f"nobody in particular asks for a {price.unit}; name a party"
        if price.dataset is not None and price.dataset not in known:
            yield (
                f"{where}.dataset",
                f"there is no dataset {price.dataset!r}; add it or correct the name",
            )
        if (price.unit == "dataset-use") != (price.dataset is not None):
            yield f"{where}.dataset", "is given for the unit dataset-use, and only for it"
        yield from _contribution_problems(price, where, models)
        if price.computation is not None and price.computation not in computations:
            yield (
                f"{where}.computation",
                f"there is no computation {price.computation!r}; correct the name",
            )
    for purchase in prices.purchases:
        if purchase.dataset not in known:
            yield (
                "prices.purchases",
                f"there is no dataset {purchase.dataset!r}; add it or correct the name",
            )


def _contribution_problems(
    price: Price, where: str, models: Mapping[str, tuple[Collection[str], Collection[str]]]
) -> Iterator[tuple[str, str]]:
    if (price.unit == "contribution") != (price.model is not None):
        yield f"{where}.model", "is given for the unit contribution, and only for it"
        return
    if price.model is None:
        return
    if price.model not in models:
        yield (
            f"{where}.model",
            f"there is no model {price.model!r} whose contributions are measured; correct the name",
        )
        return
    paid, told = models[price.model]
    if price.payee not in paid:
        yield f"{where}.payee", f"{price.payee!r} adds nothing to {price.model!r} that is measured"
    for name in (price.payer, price.payee):
        if name not in told:  # whoever pays or is paid can reckon it by itself
            yield (
                f"{where}.model",
                f"{name!r} is not told what the parties add; name it in the model's contributions",
            )
