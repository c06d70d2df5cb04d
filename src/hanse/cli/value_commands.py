"""``hanse value``: what was used, and what the parties owe one another for it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder
from hanse.cli.screen import console, say, write_json

app = typer.Typer(help="Use, cost and value of data.", no_args_is_help=True)
First = Annotated[
    str, typer.Option("--from", help="The first day, such as 2026-11-01.", show_default=False)
]
Last = Annotated[str, typer.Option("--to", help="The last day, included.", show_default=False)]


@app.command()
def usage(
    first: First,
    last: Last,
    contract: Annotated[str, typer.Option(help="Only of this contract.")] = "",
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Every use of data that this node took part in, by contract, party, dataset and consumer."""
    from hanse.cli.report import show_result
    from hanse.node.faces import facade
    from hanse.node.value.metering import summary

    days = _days(first, last)
    with facade.office_of(node) as office:
        body = summary(office, *days, contract)
    if as_json:
        write_json(body)
        return
    show_result(console(), body)


@app.command()
def statement(
    contract: Annotated[str, typer.Argument(help="The contract's id.", show_default=False)],
    first: First,
    last: Last,
    out: Annotated[
        Path | None, typer.Option(help="Also write it: .csv or .pdf, a new file.")
    ] = None,
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """What the parties owe one another for a period, from the contract's price terms."""
    from hanse.cli.documents import write_new
    from hanse.cli.report import show_result
    from hanse.node.faces import facade
    from hanse.node.value.statements import statement as make

    if out is not None and out.suffix.lower() not in (".csv", ".pdf"):
        raise typer.BadParameter("--out is a .csv or a .pdf file")
    days = _days(first, last)
    with facade.office_of(node) as office:
        made = make(office, contract, *days)
    if out is not None:
        write_new(out, made.csv() if out.suffix.lower() == ".csv" else made.pdf(), "the statement")
    if as_json:
        write_json(made.body())
        return
    show_result(console(), made.body())
    if out is not None:
        say(f"Wrote {out}.")


def _days(first: str, last: str) -> tuple[date, date]:
    days = _day(first, "--from"), _day(last, "--to")
    if days[0] > days[1]:
        raise typer.BadParameter("--from is after --to")
    return days


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} is a date such as 2026-11-01") from error
