"""``hanse crowd-days``: the crowd of places, told every day with other organisations, and how good it was."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder
from hanse.cli.screen import say, show, write_json

app = typer.Typer(
    help="The crowd of places, told every day with other organisations.", no_args_is_help=True
)
Document = dict[str, Any]
Crowd = Annotated[str, typer.Argument(help="A crowd of a contract.", show_default=False)]
Ends = Annotated[
    str,
    typer.Option(
        "--ends", help="The last day of which anything is used.", show_default="yesterday"
    ),
]
Svg = Annotated[
    Path | None,
    typer.Option("--svg", "--picture", help="Write the picture to this file.", show_default=False),
]
ContractName = Annotated[str, typer.Option(help="The contract, if several tell such a crowd.")]


@app.command("train")
def train(
    crowd: Crowd, ends: Ends = "", contract: ContractName = "", node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Train the crowd's model with the other parties; each owner of counters keeps its own."""
    from hanse.cli.progress import watched
    from hanse.node.faces import crowd_days

    with watched(node) as watch:
        answer = crowd_days.train(node, crowd, crowd_days.day_of(ends), contract, watch)
    if as_json:
        write_json(answer)
        return
    result = answer.get("result")
    if result is None:
        say(f"Trained {crowd} (job {answer['job'][:12]}). This organisation is told nothing of it.")
        return
    say(
        f"{crowd}, from what was known on {result['ends']}, {result['places']:,} places: {result['guard']}."
    )
    _findings(result["findings"])


@app.command("day")
def day(
    crowd: Crowd,
    ends: Ends = "",
    without: Annotated[
        list[str] | None, typer.Option(help="A holder to leave out this time.", show_default=False)
    ] = None,
    contract: ContractName = "",
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Tell the crowd of a day and the days ahead. A model that is due is trained first."""
    from hanse.cli.progress import watched
    from hanse.node.faces import crowd_days

    with watched(node) as watch:
        answer = crowd_days.day(
            node, crowd, crowd_days.day_of(ends), contract, tuple(without or ()), watch
        )
    if as_json:
        write_json(answer)
        return
    result = answer.get("result")
    if result is None:
        say(f"Told {crowd} (job {answer['job'][:12]}). This organisation is told no figures.")
        return
    say(f"{crowd} of {result['ends']} and the days ahead: {result['published']:,} numbers, {result['abstained']:,} "
        f"withheld; {result['changed']:,} figures are new or changed.")  # fmt: skip
    for reason, count in result["reasons"].items():
        say(f"  {count:,} withheld: {reason}")
    for line in result["said"]:
        say(f"  {line}")
    _findings(result["findings"])


@app.command("list")
def crowds(node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """The crowds of this node's contracts: who takes part, and what was told last."""
    from hanse.node.faces import crowd_days, facade

    with facade.office_of(node) as office:
        rows = crowd_days.listed(office)
    if as_json:
        write_json(rows)
        return
    show(("crowd", "contract", "owners", "holders", "model of", "told"),
         [(r["crowd"], r["contract"], ", ".join(r["owners"]), ", ".join(r["holders"]), r["model"][:10] or "-",
           r["told"] or "-") for r in rows])  # fmt: skip


@app.command("show")
def figures(
    crowd: Crowd,
    on: Annotated[str, typer.Option("--on", help="The day.", show_default="yesterday")] = "",
    contract: ContractName = "",
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """The newest figures of a day, place by place, with their versions."""
    from hanse.node.faces import crowd_days, facade

    when = crowd_days.day_of(on) or crowd_days.yesterday()
    with facade.office_of(node) as office:
        rows = crowd_days.figures(office, crowd, when, contract)
    if as_json:
        write_json(rows)
        return
    show(("place", "people", "from", "to", "confidence", "rests on", "version", "withheld because"),
         [(r["place"], *(_number(r[k]) for k in ("value", "low", "high")),
           "-" if r["confidence"] is None else f"{r['confidence']:.0%}", r["regime"] or "-", str(r["version"]),
           r["reason"]) for r in rows])  # fmt: skip


@app.command("map")
def day_map(
    crowd: Crowd, svg: Svg = None, on: Annotated[str, typer.Option("--on", help="The day.",
    show_default="yesterday")] = "", contract: ContractName = "", node: NodeFolder = HERE, as_json: AsJson = False,
) -> None:  # fmt: skip
    """A day's figures on a map: places on H3 cells, as large as their crowd, coloured by how sure they are."""
    from hanse.node.faces import crowd_day_pictures, crowd_days, facade

    with facade.office_of(node) as office:
        drawn = crowd_day_pictures.map_of(office, crowd, crowd_days.day_of(on), contract)
    _told(drawn.svg, drawn.figures, svg, as_json)


@app.command("series")
def series(
    crowd: Crowd,
    place: Annotated[str, typer.Argument(help="A place of the list.", show_default=False)],
    svg: Svg = None,
    ends: Ends = "",
    days: Annotated[int, typer.Option(min=7, max=400, help="So many days before.")] = 60,
    contract: ContractName = "",
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """A place over time: numbers with their intervals, the days ahead, and at an owner what turned out."""
    from hanse.node.faces import crowd_day_pictures, crowd_days, facade

    with facade.office_of(node) as office:
        drawn = crowd_day_pictures.series_of(
            office, crowd, place, crowd_days.day_of(ends), days, contract
        )
    _told(drawn.svg, drawn.figures, svg, as_json)


@app.command("scoreboard")
def scores(
    crowd: Crowd, svg: Svg = None, ends: Ends = "", contract: ContractName = "", node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """How good the figures of the last 90 days were, at an owner of counters."""
    from hanse.node.faces import crowd_day_pictures, crowd_days, facade
    from hanse.places.scoreboard.scoreboard import lines

    with facade.office_of(node) as office:
        board, drawn = crowd_day_pictures.scoreboard_of(
            office, crowd, crowd_days.day_of(ends), contract
        )
    _told(drawn.svg, drawn.figures, svg, as_json, list(lines(board.scores)))


@app.command("contributions")
def contributions(
    crowd: Crowd, svg: Svg = None, contract: ContractName = "", node: NodeFolder = HERE, as_json: AsJson = False,
) -> None:  # fmt: skip
    """What the holders' signals add: P30 of the last known days with them and without, at an owner of counters."""
    from hanse.node.faces import crowd_day_pictures, facade

    with facade.office_of(node) as office:
        drawn = crowd_day_pictures.contributions_of(office, crowd, contract)
    said = [f"P30 {one['p30']:.1%} with everybody, {one['without']:.1%} without the {one['party']}"
            for one in drawn.figures["parties"]]  # fmt: skip
    _told(drawn.svg, drawn.figures, svg, as_json, said or ["The crowd has no holders of signals."])


def _told(
    picture: str, figures: Document, svg: Path | None, as_json: bool, lines: list[str] | None = None
) -> None:
    """Write the picture where it is wanted, and say the figures."""
    if svg is not None:
        svg.write_text(picture, encoding="utf-8")
    if as_json:
        write_json(figures)
        return
    for line in lines or []:
        say(line)
    if svg is not None:
        say(f"The picture is {svg}.")
    elif lines is None:
        say("Name a file for the picture with --svg, or ask for the figures with --json.")


@app.command("backtest")
def backtest(
    config: Annotated[Path, typer.Argument(help="The tables as TOML.", show_default=False)],
    regimes: Annotated[
        str, typer.Option(help="Some of them, with commas.", show_default="all")
    ] = "",
    quick: Annotated[bool, typer.Option("--quick", help="The joint model only.")] = False,
    without: Annotated[
        str, typer.Option(help="Leave out map, operator or payments.", show_default=False)
    ] = "",
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    rows: Annotated[
        Path | None, typer.Option(help="Write every prediction (.parquet).", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How the model would have done on one's own tables, each day told with what was known. Needs no node."""
    from hanse.errors import Refusal
    from hanse.places import backtest as test

    wanted = [name for name in regimes.split(",") if name] or list(test.REGIMES)
    unknown = sorted(set(wanted) - set(test.REGIMES))
    if unknown:
        raise Refusal("backtest.regime", f"there is no regime {unknown[0][:32]!r}",
                      remedy=f"use some of {', '.join(test.REGIMES)}")  # fmt: skip
    run = test.run(config, wanted, ("federated",) if quick else test.VARIANTS, workers, without)
    found = {name: test.figures(run, name) for name in wanted}
    if rows is not None:
        test.write_rows(run, rows)
    if as_json:
        write_json({"name": run.name, "places": run.places, "days": run.days, "owners": run.owners, **found,
                    "train_s": round(run.train_s, 3), "daily_s": round(run.daily_s, 4)})  # fmt: skip
        return
    say(f"{run.name}: {run.places:,} places, {run.days} days, {run.owners} owners; in percent:")
    columns = tuple(found[wanted[0]])
    show(
        ("regime", *(c.replace("_", " ") for c in columns)),
        [
            (name, *("-" if one[c] is None else f"{one[c]:.2f}" for c in columns))
            for name, one in found.items()
        ],
    )


def _findings(lines: list[str]) -> None:
    for line in lines:
        say(f"  {line}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
