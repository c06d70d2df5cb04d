"""``hanse city``: the sample city, as tables that everything else can be tried on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hanse.cli.options import AsJson
from hanse.cli.screen import say, show, write_json


def city(
    out: Annotated[
        Path, typer.Option(help="Folder for the tables; made if it is not there.", show_default=False)
    ],
    places: Annotated[int, typer.Option(help="Places of the town.")] = 1000,
    people: Annotated[int, typer.Option(help="People with homes, work, trips and purchases.")] = 20_000,
    days: Annotated[int, typer.Option(help="Days of crowds.")] = 365,
    seed: Annotated[int, typer.Option(help="The same seed draws the same town.")] = 1,
    starts: Annotated[str, typer.Option(help="The first day.")] = "2025-01-01",
    shock: Annotated[bool, typer.Option("--shock", help="With a sudden trouble late in the days.")] = False,
    kinds: Annotated[
        str, typer.Option(help="Only places of these kinds, such as mall,market,cafe.", show_default="all")
    ] = "",
    gazetteer: Annotated[
        Path | None,
        typer.Option(help="Put the town on these places (a list as `hanse places add` takes it)."),
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Draw a made-up city: people, places, crowds, and what four organisations see of them.

    Nobody and nothing in it exists, and every table says so.
    """
    from hanse.catalog.gazetteers import read_gazetteer
    from hanse.places import city as sample

    given = read_gazetteer(gazetteer) if gazetteer is not None else None
    wish = sample.Wish(
        places if given is None else len(given),
        people,
        days,
        seed,
        _day(starts),
        shock,
        given=given,
        kinds=tuple(kind.strip() for kind in kinds.split(",") if kind.strip()),
    )
    made = sample.city(wish)
    held = sample.tables(made)
    files = sample.write(made, out, held)
    if as_json:
        write_json(
            {"synthetic": True, "label": sample.LABEL,
             "tables": {name: {"file": str(files[name]), "rows": t.num_rows, "columns": t.column_names}
                        for name, t in held.items()}}
        )  # fmt: skip
        return
    say(f"{sample.LABEL[:1].upper()}{sample.LABEL[1:]}.", style="bold")
    show(("table", "rows", "columns"),
         [(name, f"{t.num_rows:,}", ", ".join(t.column_names)) for name, t in held.items()],
         right=(1,), empty="nothing was drawn")  # fmt: skip
    say(f"Written to {out}, with city.toml that says what was drawn.")


def _day(text: str) -> str:
    from datetime import date

    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no day such as 2025-01-01") from error
