"""``hanse value``: what was used, and what the parties owe one another for it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any

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


@app.command()
def measure(
    model: Annotated[str, typer.Argument(help="A model of a contract.", show_default=False)],
    contract: Annotated[str, typer.Option(help="The contract, if several have such a model.")] = "",
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting as of a training, such as l2=0.001."),
    ] = None,
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Measure what each party adds to a model: one of every coalition is trained, and only metrics are told."""
    from hanse.cli.model_command import settings_of
    from hanse.cli.progress import watched
    from hanse.cli.report import show_result
    from hanse.node.faces import facade, value

    with facade.office_of(node) as office:
        question = value.measuring(office, model, contract, settings_of(setting or []))
    with watched(node) as watch:
        answer = facade.ask(node, {"verb": "run", "question": question}, watch)
    if as_json:
        write_json(answer)
        return
    if answer.get("result") is None:
        say(f"Measured (job {answer['job'][:12]}). This organisation is told nothing of it.")
        return
    show_result(console(), answer["result"])


@app.command("crowd")
def measure_crowd(
    config: Annotated[Path, typer.Argument(help="The tables as TOML.", show_default=False)],
    regime: Annotated[str, typer.Option(help="Which figures are judged.")] = "known_lag7",
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """What each holder of signals adds to a crowd model: back-tests with all of them, and without each."""
    from hanse.node.faces import value

    found = value.measure_crowd(node, config, regime, workers)
    if as_json:
        write_json(found)
        return
    _say_crowd(found)


@app.command()
def contributions(
    model: Annotated[str, typer.Argument(help="Only of this model.", show_default=False)] = "",
    contract: Annotated[str, typer.Option(help="Only of this contract.")] = "",
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """What each party adds to models, as it was last measured: Shapley values, shares, what is lost without it."""
    from hanse.cli.report import show_result
    from hanse.node.faces import facade, value

    with facade.office_of(node) as office:
        rows = value.contributions(office, contract, model)
        allowed = value.measurable(office)
        crowds = [] if contract or model else value.crowds(office)
    if as_json:
        write_json({"rows": rows, "measurable": allowed, "crowds": crowds})
        return
    for crowd in crowds:
        _say_crowd(crowd)
    for row in rows:
        say(f"{row['model']} ({row['contract']}), measured {row['at'][:10]}, job {row['job'][:12]}")
        show_result(console(), row)
    if not rows:
        may = ", ".join(sorted({a["model"] for a in allowed})) or "no contract allows it"
        say(f"Nothing measured yet that this organisation is told. May be measured: {may}.")


def _say_crowd(found: dict[str, Any]) -> None:
    say(f"{found['name']}, {found['regime']}: {found['places']:,} places, {found['days']} days. "
        f"P30 with all {_percent(found['p30'])}")  # fmt: skip
    for holder, p30 in found["without"].items():
        say(f"  without {holder}: {_percent(p30)}")


def _percent(value: float | None) -> str:
    return "not known" if value is None else f"{value:.2f} %"


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
