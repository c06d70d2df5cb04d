"""``hanse learn``: a model over several parties' columns, rehearsed on files at hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanse.cli.options import AsJson
from hanse.cli.screen import note, say, show, size, write_json
from hanse.errors import Refusal

if TYPE_CHECKING:
    from hanse.learn import Outcome, Table


def learn(
    label: Annotated[
        str,
        typer.Option(metavar="FILE:COLUMN", help="The label party's Parquet or CSV file and its label.",
                     show_default=False),
    ],
    features: Annotated[
        list[Path],
        typer.Option(metavar="FILE", help="Another party's file; may be given several times.",
                     show_default=False),
    ],
    id_column: Annotated[
        str, typer.Option("--id", metavar="COLUMN", help="The column that all files share.")
    ] = "id",
    model: Annotated[str, typer.Option(help="logistic, linear or poisson.")] = "logistic",
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Run all parties and seats in this process.")
    ] = False,
    l2: Annotated[float, typer.Option(help="Penalty on squared standardised coefficients.")] = 1e-6,
    holdout: Annotated[
        float, typer.Option(help="Share of the ids that is kept for the metrics; 0 takes the training rows.")
    ] = 0.3,
    minimum_rows: Annotated[
        int | None,
        typer.Option(help="Learn from fewer matched rows; only for data that are not about people.",
                     show_default="1000, or 20 a coefficient"),
    ] = None,
    iterations: Annotated[int, typer.Option(min=3, max=100, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Train one model over the columns of several parties and compare it with the plain and the lonely one.

    Rows are matched by id without any party learning which matched; each party gets its own coefficients.
    """
    if not rehearse:
        raise Refusal(
            "learn.contract",
            "between organisations a model needs a contract that names it, and no contract does yet",
            remedy="add --rehearse to run all parties in this process, on files at hand",
        )
    from hanse.learn import rehearse as run

    outcome = run(
        _tables(label, features, id_column), model, l2=l2, holdout=holdout,
        least_rows=minimum_rows, iterations=iterations,
    )  # fmt: skip
    if as_json:
        write_json(outcome.body())
    else:
        _show(outcome)


def _tables(label: str, features: list[Path], id_column: str) -> list[Table]:
    from hanse.learn import read

    file, colon, column = label.rpartition(":")
    if not colon or not file or not column:
        raise typer.BadParameter(f"{label!r} is not FILE:COLUMN, such as guest.parquet:y")
    paths = [Path(file), *features]
    stems = Counter(p.stem for p in paths)
    names = [
        p.stem if stems[p.stem] == 1 else f"{p.stem}-{number}"
        for number, p in enumerate(paths, start=1)
    ]
    return [
        read(path, id_column, column if number == 0 else None, name)
        for number, (path, name) in enumerate(zip(paths, names, strict=True))
    ]


def _show(outcome: Outcome) -> None:
    say(f"{outcome.model} model of {' and '.join(outcome.parties)}", style="bold")
    say(
        f"about {outcome.rows_matched:,} rows matched (noised); {outcome.iterations} iterations, "
        f"{'settled' if outcome.settled else 'not settled'}; {outcome.wall_s:.1f} s, {size(outcome.bytes)} sent"
    )
    rows: list[tuple[Any, ...]] = [
        (name, _told(outcome.metrics.get(name)), _told(value), _told(outcome.alone[name]))
        for name, value in outcome.plaintext.items()
    ]
    show(["metric", "joint, on shares", "all columns in one place", f"{outcome.parties[0]} alone"],
         rows, right=(1, 2, 3))  # fmt: skip
    for party, coefficients in outcome.coefficients.items():
        show(["column", "standardised coefficient"],
             [(name, f"{value:.6f}") for name, value in coefficients.items()],
             title=f"told to {party} only", right=(1,))  # fmt: skip
    say(f"largest difference of a coefficient from the plain model: {outcome.difference:.2g}")
    for line in outcome.notes:
        note(line)


def _told(value: float | None) -> str:
    return "none" if value is None else f"{value:.5g}"
