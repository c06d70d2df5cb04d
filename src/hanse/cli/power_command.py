"""``hanse power``: the smallest lift that a planned question could see, before any budget is spent."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanse.cli.options import AsJson
from hanse.cli.screen import say, show, write_json

if TYPE_CHECKING:
    from hanse.measure.lift.power import Design, Sizes, Visible

_EPSILONS = [0.5, 1.0, 2.0, 4.0]


def power(
    treated: Annotated[int, typer.Option(help="People of the treated arm.", show_default=False)],
    control: Annotated[int, typer.Option(help="People of the control arm.", show_default=False)],
    share: Annotated[
        float | None, typer.Option(help="Share of the control with the outcome, such as 0.012.")
    ] = None,
    mean: Annotated[
        float | None, typer.Option(help="A value's mean per person of the control, in its units.")
    ] = None,
    sd: Annotated[
        float | None, typer.Option(help="How people differ in it: a guessed standard deviation.")
    ] = None,
    most: Annotated[int, typer.Option(help="What a person counts at most in it.")] = 255,
    k: Annotated[int, typer.Option(help="The contract's threshold.")] = 100,
    segments: Annotated[int, typer.Option(help="Segments that are compared apart.")] = 1,
    outcomes: Annotated[
        int | None,
        typer.Option(help="0/1 outcomes asked at once; they share the epsilon.", show_default="1 with --share"),
    ] = None,
    values: Annotated[
        int | None,
        typer.Option(help="Value outcomes asked at once.", show_default="1 with --mean"),
    ] = None,
    epsilon: Annotated[
        list[float] | None,
        typer.Option(help="A price to look at; may be given several times.", show_default="0.5, 1, 2, 4"),
    ] = None,
    lift: Annotated[
        float | None, typer.Option(help="Also tell the people needed to see this lift (absolute).")
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show what a comparison of two arms could see at several prices. Asks nobody and spends nothing.

    Give either --share, or --mean and --sd (with --most).
    """
    if (share is None) == (mean is None) or (mean is None) != (sd is None):
        raise typer.BadParameter("give either --share, or --mean and --sd")
    from hanse.measure.lift.power import Design

    valued = mean is not None
    design = Design(
        treated, control, 1.0, k, segments,
        shares=(0 if valued else 1) if outcomes is None else outcomes,
        caps=(most,) * ((1 if valued else 0) if values is None else values),
    )  # fmt: skip
    designs = [replace(design, epsilon=e) for e in sorted(epsilon or _EPSILONS)]
    designs.append(replace(designs[-1], noise=False))
    lines = [_line(d, share, mean, sd, lift) for d in designs]
    if as_json:
        write_json([_plain(d, *line) for d, line in zip(designs, lines, strict=True)])
        return
    base = f"{share:.4g} of the control" if share is not None else f"{mean:g} per person, sd {sd:g}"
    say(f"{treated:,} treated and {control:,} control, {base}; seen in 4 of 5 cases at p < 0.05",
        style="bold")  # fmt: skip
    heads = [
        "epsilon",
        "smallest lift",
        "relative",
        "in one segment",
        "noise",
        "shown from",
        "shown",
    ]
    if segments == 1:
        heads.remove("in one segment")
    if lift is not None:
        heads.append(f"people for {lift:g}")
    show(
        heads,
        [
            _cells(d, *line, segments=segments > 1, asked=lift is not None)
            for d, line in zip(designs, lines, strict=True)
        ],
        right=tuple(range(len(heads))),
    )
    say(
        "noise: its part of the variance. shown: how likely the smallest group passes the threshold. "
        "none: no noise, for comparison only; no node answers so."
    )


def _line(
    design: Design, share: float | None, mean: float | None, sd: float | None, lift: float | None
) -> tuple[Visible, Sizes | None]:
    from hanse.measure.lift import power as reckoned

    if share is not None:
        found = reckoned.smallest_share_lift(design, share)
        needed = reckoned.sizes_for_share_lift(design, share, lift) if lift is not None else None
    else:
        found = reckoned.smallest_value_lift(design, mean or 0.0, sd or 0.0)
        needed = (
            reckoned.sizes_for_value_lift(design, mean or 0.0, sd or 0.0, lift)
            if lift is not None
            else None
        )
    return found, needed


def _plain(design: Design, found: Visible, needed: Sizes | None) -> dict[str, Any]:
    sizes = asdict(needed) if needed is not None else None
    return {"epsilon": design.epsilon if design.noise else None, **asdict(found), "needed": sizes}


def _cells(
    design: Design, found: Visible, needed: Sizes | None, *, segments: bool, asked: bool
) -> list[str]:
    def told(value: float | None, form: str = ".4g") -> str:
        return "beyond reach" if value is None else format(value, form)

    relative = "" if found.relative is None else f"{found.relative:+.1%}"
    cells = [f"{design.epsilon:g}" if design.noise else "none", told(found.lift), relative]
    if segments:
        cells.append(told(found.in_segment))
    cells += [f"{found.noise_part:.0%}", f"{found.threshold:,}", f"{found.chance_shown:.1%}"]
    if asked:
        cells.append(
            "beyond reach" if needed is None else f"{needed.treated:,} + {needed.control:,}"
        )
    return cells
