"""``hanse features``: evidence, stability, correlation and inflation of several parties' columns, rehearsed."""

from __future__ import annotations

from typing import Annotated

import typer

from hanse.cli.learn_command import Features, IdColumn, Rehearse, Without, require_rehearsal
from hanse.cli.options import AsJson
from hanse.cli.screen import note, say, show, size, write_json


def features(
    features: Features,
    label: Annotated[
        str,
        typer.Option(metavar="FILE:COLUMN", help="The label party's Parquet or CSV file and its label; with --psi "
                     "a column that parts two periods.", show_default=False),
    ],
    id_column: IdColumn = "id",
    woe: Annotated[bool, typer.Option("--woe", help="Weight of evidence and information value by bin.")] = False,
    vif: Annotated[bool, typer.Option("--vif", help="Correlations between parties, variance inflation.")] = False,
    psi: Annotated[
        bool, typer.Option("--psi", help="Stability: the column after FILE: parts an earlier and a later period.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(metavar="VALUE", help="Where the later period, or the positive label, begins.",
                     show_default=False),
    ] = None,
    bins: Annotated[
        int | None, typer.Option(help="Bins of a column of numbers.", show_default="10; 5 where rows are few")
    ] = None,
    epsilon: Annotated[float, typer.Option(help="Price of all counts together, at most 4.")] = 4.0,
    k: Annotated[int, typer.Option(help="Least people behind a count.")] = 20,
    exact: Annotated[
        bool, typer.Option("--exact", help="No noise: only for rows that are not people, such as places.")
    ] = False,
    rehearse: Rehearse = False,
    without: Without = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Look at the columns of several parties before a model: which tell the label, which say the same.

    Rows are matched by id without any party learning which matched. Counts of people leave with noise, above a
    threshold; correlations go to the two parties whose columns they are of.
    """
    require_rehearsal(rehearse)
    from hanse.learn.features.files import read_features
    from hanse.learn.features.rehearsal import Asked, look

    parties, mark, notes = read_features(
        label, features, id_column, since, frozenset(without or ()), period=psi
    )
    everything = not (woe or vif or psi)
    asked = Asked(
        evidence=woe or psi or everything, correlation=vif or everything, stability=psi, bins=bins,
        epsilon=epsilon, k=k, noise=not exact,
    )  # fmt: skip
    report = look(parties, mark, asked, notes)
    if as_json:
        write_json(report.body())
        return
    say(f"Columns of {' and '.join(report.parties)}", style="bold")
    price = f"; counts at epsilon {report.epsilon:g} together" if report.epsilon else ""
    say(
        f"about {report.rows_matched:,} rows matched (noised); {report.wall_s:.1f} s, "
        f"{report.cpu_s:.1f} s of CPU, {size(report.bytes)} sent{price}"
    )
    for table in report.tables():
        show(table.heads, table.rows, title=table.title, right=table.right)
    for line in report.notes:
        note(line)
