"""``hanse learn``: a model over several parties' columns or rows, rehearsed on files at hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanse.cli.options import AsJson
from hanse.cli.screen import note, say, show, size, write_json
from hanse.errors import Fault, Refusal

if TYPE_CHECKING:
    from hanse.learn.evaluation.report import Report

Label = Annotated[
    str,
    typer.Option(metavar="FILE:COLUMN", help="The label party's Parquet or CSV file and its label.",
                 show_default=False),
]  # fmt: skip
Features = Annotated[
    list[Path],
    typer.Option(metavar="FILE", help="Another party's file; may be given several times.",
                 show_default=False),
]  # fmt: skip
IdColumn = Annotated[
    str, typer.Option("--id", metavar="COLUMN", help="The column that all files share.")
]
Without = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="A column to leave out, of any file; may be given several times.",
                 show_default=False),
]  # fmt: skip
Missing = Annotated[
    str,
    typer.Option(
        help="Missing values: fill in and mark (indicator), or refuse. Boosting takes them as they are."
    ),
]
Rehearse = Annotated[
    bool, typer.Option("--rehearse", help="Run all parties and seats in this process.")
]
Holdout = Annotated[
    float,
    typer.Option(help="Share of the ids that is kept for the metrics; 0 takes the training rows."),
]


def learn(
    context: typer.Context,
    label: Label,
    features: Features,
    id_column: IdColumn = "id",
    model: Annotated[
        str, typer.Option(help="logistic, linear, poisson, gamma, tweedie, multinomial or boosting.")
    ] = "logistic",
    rehearse: Rehearse = False,
    horizontal: Annotated[
        bool,
        typer.Option("--horizontal", help="All files have the same columns, the label too, and own rows."),
    ] = False,
    l2: Annotated[
        float | None,
        typer.Option(help="Penalty on squared standardised coefficients.",
                     show_default="1e-6, or 0.01 where rows are few"),
    ] = None,
    l1: Annotated[float, typer.Option(help="Penalty on their absolute values.")] = 0.0,
    open_rows: Annotated[
        bool, typer.Option("--open", help="Linear models: parties see which rows they share; faster.")
    ] = False,
    errors: Annotated[
        bool, typer.Option("--errors", help="Linear models: standard errors and p-values, to each owner.")
    ] = False,
    holdout: Holdout = 0.3,
    minimum_rows: Annotated[
        int | None,
        typer.Option(help="Refuse to learn from fewer matched rows.",
                     show_default="30; between organisations 1000, or 20 a coefficient"),
    ] = None,
    iterations: Annotated[int, typer.Option(min=3, max=100, help="At most so many.")] = 20,
    power: Annotated[float, typer.Option(help="Of a Tweedie model: 1.05 to 1.95.")] = 1.5,
    loss: Annotated[
        str | None,
        typer.Option(help="Of boosting: squared, logistic, poisson or multinomial.",
                     show_default="by the label"),
    ] = None,
    trees: Annotated[int, typer.Option(min=1, max=1000, help="Of boosting.")] = 30,
    depth: Annotated[int, typer.Option(min=1, max=10, help="Of boosting.")] = 4,
    weight: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Linear models: what a row counts; in the label's file.",
                     show_default=False),
    ] = None,
    offset: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Linear models of one class: what is added to a row's predictor; "
                     "in the label's file.", show_default=False),
    ] = None,
    batch_rows: Annotated[
        int | None,
        typer.Option("--batch-rows", metavar="N",
                     help="Linear models: rows in memory at a time, the others in a file.", show_default="all"),
    ] = None,
    missing: Missing = "indicator",
    without: Without = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Write the report's picture.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Train one model over several parties' data and compare it with what could be had without.

    Vertical: rows are matched by id without any party learning which matched; each party gets its own
    coefficients. Horizontal: rows stay where they are, updates are summed on shares.
    """
    require_rehearsal(rehearse)
    if missing not in ("indicator", "refuse"):
        raise typer.BadParameter(f"{missing!r} is not indicator or refuse", param_hint="--missing")
    if picture is not None:
        _check_picture(picture)
    from hanse.learn.evaluation.rehearsal import rehearse_files

    asked: dict[str, Any] = {
        "l2": l2, "l1": l1, "open_rows": open_rows, "errors": errors, "minimum_rows": minimum_rows,
        "iterations": iterations, "power": power, "loss": loss, "trees": trees, "depth": depth,
        "batch_rows": batch_rows,
    }  # fmt: skip
    # Only what was asked for is passed on: what this kind of model does not use is then refused by name.
    given = {name: value for name, value in asked.items() if _given(context, name)}
    if given.pop("open_rows", False):
        given["alignment"] = "open"
    report = rehearse_files(
        label, features, id=id_column, model=model, horizontal=horizontal,
        missing="refuse" if missing == "refuse" else "indicator", without=without or (), holdout=holdout,
        weight=weight, offset=offset, **given,
    )  # fmt: skip
    if picture is not None:
        picture.write_text(report.svg(), encoding="utf-8")
    if as_json:
        write_json(report.body())
    else:
        _show(report)


def _given(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _check_picture(file: Path) -> None:
    """Before anything runs: a training is not to be lost over its picture's name."""
    if file.suffix.lower() != ".svg":
        raise typer.BadParameter(f"{file} should end in .svg", param_hint="--picture")
    if file.is_dir() or not os.access(file.parent, os.W_OK):
        raise Fault("file.unwritable", "the picture cannot be written", where=str(file),
                    remedy="name a file in a folder that exists and that you may write to")  # fmt: skip


def require_rehearsal(rehearse: bool) -> None:
    """`Refusal` without ``--rehearse``: files at hand are for rehearsals, jobs run between nodes."""
    if not rehearse:
        raise Refusal(
            "learn.contract",
            "between organisations a model needs a contract that names it; files at hand are for rehearsals",
            remedy="add --rehearse to run all parties in this process, or train with 'hanse model train'",
        )


def _show(report: Report) -> None:
    say(f"{report.model} model of {' and '.join(report.parties)}", style="bold")
    told = []
    if report.rows_matched is not None:
        told.append(report.rows_told())
    if "iterations" in report.extra:
        settled = "settled" if report.extra.get("converged", True) else "not settled"
        told.append(f"{report.extra['iterations']} iterations, {settled}")
    told.append(f"{report.wall_s:.1f} s, {report.cpu_s:.1f} s of CPU, {size(report.bytes)} sent")
    say("; ".join(told))
    for table in report.tables():
        show(table.heads, table.rows, title=table.title, right=table.right)
    difference = report.extra.get("coefficient_difference_max")
    if difference is not None:
        say(f"largest difference of a coefficient from the plain model: {difference:.2g}")
    for line in report.verdicts():
        say(line, style="" if line.startswith("the joint model beats") else "bold")
    for line in report.notes:
        note(line)
