"""A settlement statement: what the parties of a contract owe one another for a period, from its price terms.

Every node makes it from its own ledger and usage, so a party checks what another asks for. Amounts are decimal and
rounded half up to cents, line by line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from hanse.contracts import Contract
from hanse.contracts.models import TRAIN
from hanse.contracts.prices import ANALYST, Price
from hanse.errors import Fault, Refusal
from hanse.node.office import NodeOffice, bundle_of
from hanse.node.value.contributed import measured
from hanse.node.value.metering import Read, Use, reads, uses

_CENT = Decimal("0.01")
_UNITS = {
    "job": "jobs with a result", "dataset-use": "jobs that read {dataset}", "epsilon": "privacy budget (epsilon)",
    "training": "trainings", "thousand-values": "thousand values served", "month": "months begun",
    "contribution": "months, by its share of what all add to {model}",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """``payer`` owes ``payee`` the ``amount``: ``quantity`` times ``price``."""

    payer: str
    payee: str
    what: str
    quantity: Decimal
    price: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Statement:
    """The statement of one contract and period. ``bought``: what copies of the data would cost instead."""

    contract: str
    version: int
    hash: str
    first: date
    last: date
    currency: str
    made_by: str
    lines: tuple[Line, ...]
    bought: tuple[tuple[str, str, Decimal], ...]  # dataset, source, amount
    remarks: tuple[str, ...] = ()  # on which measurements shares rest, and which are missing

    @property
    def total(self) -> Decimal:
        return sum((line.amount for line in self.lines), Decimal(0))

    def nets(self) -> list[tuple[str, str, Decimal]]:
        """(payer, payee, amount) after what goes both ways is set off, largest first."""
        owed: dict[tuple[str, str], Decimal] = {}
        for line in self.lines:
            pair = (line.payer, line.payee)
            owed[pair] = owed.get(pair, Decimal(0)) + line.amount
        nets = []
        for (payer, payee), amount in owed.items():
            left = amount - owed.get((payee, payer), Decimal(0))
            if left > 0:
                nets.append((payer, payee, left))
        return sorted(nets, key=lambda net: (-net[2], net[0], net[1]))

    def body(self) -> dict[str, Any]:
        """As results have it: tables and notes, amounts as text."""
        bought = sum((amount for _, _, amount in self.bought), Decimal(0))
        notes = [
            f"Made by {self.made_by} from its own ledger and usage; the other parties can make the same."
        ]
        notes += self.remarks
        if self.bought:
            notes.append(
                f"Copies of the data would cost {self.currency} {bought:,.2f} for the period, where they could be "
                f"bought; this federation costs {self.currency} {self.total:,.2f} and hands over no copy."
            )
        return {
            "contract": self.contract, "version": self.version, "hash": self.hash,
            "first": self.first.isoformat(), "last": self.last.isoformat(), "currency": self.currency,
            "total": f"{self.total:.2f}",
            "tables": [
                {"title": f"{self.contract}, {self.first} to {self.last}, in {self.currency}",
                 "heads": ["payer", "payee", "for", "quantity", "price", "amount"], "right": [3, 4, 5],
                 "rows": [[x.payer, x.payee, x.what, f"{x.quantity:,f}", f"{x.price:,f}", f"{x.amount:,.2f}"]
                          for x in self.lines]},
                {"title": "After setting off", "heads": ["payer", "payee", "amount"], "right": [2],
                 "rows": [[a, b, f"{amount:,.2f}"] for a, b, amount in self.nets()]},
                {"title": "What copies would cost instead", "heads": ["dataset", "source", "amount"],
                 "right": [2], "rows": [[d, s, f"{amount:,.2f}"] for d, s, amount in self.bought]},
            ],
            "notes": notes,
        }  # fmt: skip

    def csv(self) -> bytes:
        """The lines as CSV, UTF-8 with a mark that spreadsheets know."""
        text = io.StringIO()
        out = csv.writer(text)
        out.writerow(
            [
                "contract",
                "first",
                "last",
                "payer",
                "payee",
                "for",
                "quantity",
                "price",
                "amount",
                "currency",
            ]
        )
        for x in self.lines:
            row = [
                self.contract,
                self.first,
                self.last,
                x.payer,
                x.payee,
                x.what,
                x.quantity,
                x.price,
                x.amount,
            ]
            out.writerow([*map(_harmless, row), self.currency])
        return b"\xef\xbb\xbf" + text.getvalue().encode()

    def pdf(self) -> bytes:
        """The statement as PDF. `Fault` ``statement.pdf`` if reportlab is not installed."""
        return _pdf(self.body())


def statement(office: NodeOffice, contract_id: str, first: date, last: date) -> Statement:
    """The statement for the days from ``first`` to ``last``, both included.

    Raises `Refusal` ``statement.prices`` if the contract has no price terms, or ``statement.period``.
    """
    if last < first:
        raise Refusal("statement.period", f"the period ends ({last}) before it begins ({first})",
                      remedy="give the days in order")  # fmt: skip
    contract = bundle_of(office.contract(contract_id)).contract
    if contract.prices is None:
        raise Refusal("statement.prices", f"contract {contract_id!r} has no price terms",
                      remedy="agree on a version with [prices]", where=f"contract {contract_id}")  # fmt: skip
    jobs, read = uses(office, first, last, contract_id), reads(office, first, last, contract_id)
    months = _months(max(first, contract.starts), last, contract)
    key = _Key(office, contract, last)
    lines = [
        line for price in contract.prices.terms for line in _lines(price, jobs, read, months, key)
    ]
    bought = tuple(
        (p.dataset, p.source, _cents(p.value * months)) for p in contract.prices.purchases
    )
    return Statement(contract.id, contract.version, contract.hash, first, last, contract.prices.currency,
                     office.party, tuple(lines), bought, tuple(key.remarks))  # fmt: skip


class _Key:
    """Shares of contributions as they were last measured before the period ends, and remarks on them."""

    def __init__(self, office: NodeOffice, contract: Contract, last: date) -> None:
        self._office, self._contract, self._last = office, contract, last
        self._known: dict[str, Mapping[str, Decimal]] = {}
        self.remarks: list[str] = []

    def share(self, model: str, party: str) -> Decimal:
        """A party's share; 0 where nothing was measured or told."""
        if model not in self._known:
            self._known[model] = self._look(model)
        return self._known[model].get(party, Decimal(0))

    def _look(self, model: str) -> Mapping[str, Decimal]:
        found = measured(self._office, self._contract.id, model, self._last)
        if found:
            last = found[0]
            self.remarks.append(
                f"Shares of {model}: as measured on {last.at:%Y-%m-%d} (job {last.job[:12]}), in "
                f"{last.result['metric']}."
            )
            return last.key
        clause = self._contract.model(model)
        told = clause is not None and self._office.party in clause.contributions
        self.remarks.append(
            f"What parties add to {model} was not measured until {self._last}: nothing is owed for it."
            if told
            else f"What parties add to {model} is not told to {self._office.party}: lines for it are left out here."
        )
        return {}


def _lines(
    price: Price, jobs: list[Use], read: list[Read], months: int, key: _Key
) -> Iterator[Line]:
    what = _UNITS[price.unit].format(dataset=price.dataset, model=price.model)
    if price.computation:
        what += f" of {price.computation}"
    if price.unit == "month":
        quantities = {price.payer: Decimal(months)}
    elif price.unit == "contribution":
        quantities = {price.payer: months * key.share(price.model or "", price.payee)}
    elif price.unit == "thousand-values":
        quantities = {price.payer: Decimal(sum(r.values for r in read)) / 1000}
    else:
        quantities = {}
        for use in jobs:
            payer = use.analyst if price.payer == ANALYST else price.payer
            # Nobody pays itself: a party's own questions over its own data are free to it.
            if payer == price.payee or price.computation not in (None, use.computation):
                continue
            amount = _quantity(price, use)
            if amount:
                quantities[payer] = quantities.get(payer, Decimal(0)) + amount
    for payer, quantity in sorted(quantities.items()):
        if quantity:
            yield Line(
                payer, price.payee, what, quantity, price.value, _cents(quantity * price.value)
            )


def _quantity(price: Price, use: Use) -> Decimal:
    if price.unit == "dataset-use":
        return Decimal(price.dataset in use.datasets)
    if price.unit == "epsilon":
        return Decimal(str(use.epsilon)) if price.payee in use.providers else Decimal(0)
    if price.unit == "training":
        return Decimal(
            use.computation == TRAIN
        )  # measuring contributions has a computation of its own
    return Decimal(1)


def _months(first: date, last: date, contract: Contract) -> int:
    """Calendar months begun within the period and the contract's life."""
    last = min(last, contract.expires)
    if last < first:
        return 0
    return (last.year - first.year) * 12 + last.month - first.month + 1


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT, ROUND_HALF_UP)


def _harmless(value: object) -> object:
    """Text that a spreadsheet would run as a formula is marked as text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def _pdf(body: dict[str, Any]) -> bytes:
    try:
        from reportlab.lib import colors  # noqa: PLC0415 - optional
        from reportlab.lib.pagesizes import A4  # noqa: PLC0415
        from reportlab.lib.styles import ParagraphStyle  # noqa: PLC0415
        from reportlab.pdfbase import pdfmetrics  # noqa: PLC0415
        from reportlab.pdfbase.cidfonts import UnicodeCIDFont  # noqa: PLC0415
        from reportlab.platypus import Paragraph, SimpleDocTemplate, Table, TableStyle  # noqa: PLC0415
    except ImportError as error:
        raise Fault("statement.pdf", "PDF needs the package reportlab, which is not installed",
                    remedy="pip install 'hanse[pdf]', or write CSV") from error  # fmt: skip
    from html import escape  # noqa: PLC0415

    # A font that every reader has for Chinese and Latin letters alike, so that nothing is embedded.
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    plain = ParagraphStyle("plain", fontName="STSong-Light", fontSize=9, leading=13, wordWrap="CJK")
    head = ParagraphStyle("head", parent=plain, fontSize=13, leading=20, spaceBefore=10)
    parts: list[Any] = [
        Paragraph(
            escape(f"Settlement statement: {body['contract']}, version {body['version']}"), head
        )
    ]
    for table in body["tables"]:
        if not table["rows"]:
            continue
        parts.append(Paragraph(escape(table["title"]), head))
        cells = [
            [Paragraph(escape(str(c)), plain) for c in row]
            for row in [table["heads"], *table["rows"]]
        ]
        style = TableStyle(
            [("LINEBELOW", (0, 0), (-1, -1), 0.3, colors.grey), ("VALIGN", (0, 0), (-1, -1), "TOP")]
        )
        parts.append(Table(cells, style=style, repeatRows=1))
    parts += [Paragraph(escape(note), plain) for note in body["notes"]]
    parts.append(Paragraph(escape(f"Contract fingerprint: {body['hash']}"), plain))
    buffer = io.BytesIO()
    title = f"Settlement {body['contract']} {body['first']} to {body['last']}"
    SimpleDocTemplate(buffer, pagesize=A4, title=title, author="", invariant=1).build(parts)
    return buffer.getvalue()
