"""``hanse standing``: questions that the node asks by itself every day."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder
from hanse.cli.screen import moment, note, say, show, write_json

if TYPE_CHECKING:
    from hanse.node.jobs.timetable import Timetable

app = typer.Typer(help="Questions that the node asks by itself every day.", no_args_is_help=True)


@contextmanager
def _timetable(node: Path) -> Iterator[Timetable]:
    """The node's timetable, whether or not it runs; it does not ask from here."""
    from hanse.clock import SystemClock
    from hanse.errors import Fault
    from hanse.node.faces import facade
    from hanse.node.jobs.timetable import Timetable

    def no(_question: Any) -> Any:
        raise Fault("standing.asked", "the command line does not ask standing queries itself")

    clock = SystemClock()
    with facade.office_of(node, clock) as office:
        yield Timetable(office.store.standing, office, clock, no)


@app.command("add")
def add(
    question: Annotated[Path, typer.Argument(help="The question as TOML.", show_default=False)],
    daily: Annotated[str, typer.Option(help="When to ask, as HH:MM in UTC.", show_default=False)],
    roster: Annotated[
        str, typer.Option(help="Match people once a period, under this name.", show_default="none")
    ] = "",
    name: Annotated[str, typer.Option(help="The query's name.", show_default="the file's")] = "",
    node: NodeFolder = HERE,
) -> None:
    """Ask a question every day while the node runs. Its days may be "today", "yesterday" or "-7d"."""
    from hanse.cli.run_command import read_question
    from hanse.errors import Refusal

    asked = read_question(question)
    if asked.pop("roster", ""):
        raise Refusal("question.malformed", "a standing query's rosters change with time",
                      remedy="leave roster out of the file and give --roster", where=str(question))  # fmt: skip
    with _timetable(node) as table:
        made = table.add(name or question.stem.lower().replace("_", "-"), asked, daily, roster)
    note(f"{made.name} is asked every day at {daily} UTC, while the node runs.")


@app.command("list")
def list_all(node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """The standing queries: when each is asked next, and how its last run went."""
    from hanse.clock import SystemClock
    from hanse.node.jobs.timetable import next_slot

    with _timetable(node) as table:
        found = table.all()
    now = SystemClock().now()
    if as_json:
        write_json(
            [
                {"name": s.name, "contract": s.question["contract"], "daily": s.daily, "roster": s.roster,
                 "computation": s.question["computation"], "next": next_slot(s, now).isoformat(),
                 "last": s.last.fields()}
                for s in found
            ]
        )  # fmt: skip
        return
    show(
        ("name", "question", "daily", "roster", "next", "last", "state", "job"),
        [
            (s.name, f"{s.question['computation']}, {s.question['contract']}", s.daily, s.roster or "-",
             moment(next_slot(s, now)), moment(s.last.slot), s.last.state, s.last.job[:12])
            for s in found
        ],
        empty="no standing queries; add one with 'hanse standing add'",
    )  # fmt: skip
    for one in found:
        if one.last.error:
            say(f"{one.name}: {one.last.error}; it is asked again at its next time")


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="The query's name.", show_default=False)],
    node: NodeFolder = HERE,
) -> None:
    """Ask a question no more."""
    with _timetable(node) as table:
        table.remove(name)
    note(f"{name} is asked no more.")
