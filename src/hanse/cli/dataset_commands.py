"""``hanse dataset``: what this organisation can contribute, described and checked at home."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder
from hanse.cli.screen import moment, note, say, show, show_error, write_json

if TYPE_CHECKING:
    from hanse.catalog import Profile

app = typer.Typer(help="Data of this organisation; it stays where it is.", no_args_is_help=True)
AT_HOME = (
    "This profile stays at home: it is kept in this node's store and goes into no message and no contract. "
    "Contracts repeat names and kinds of columns, never counts or paths."
)
Name = Annotated[str, typer.Argument(help="The dataset's name.", show_default=False)]


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A TOML description.", show_default=False)],
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Register a dataset: check every column, and print what was found. Paths are relative to FILE."""
    from hanse.cli.documents import read_toml
    from hanse.node.faces import facade

    document = at_home(read_toml(file, "the dataset's description"), file.absolute().parent)
    with facade.office_of(node) as office:
        profile = office.register_dataset(document)
    if as_json:
        write_json(profile.model_dump(mode="json"))
        return
    say(f"Registered {profile.dataset}.")
    _show_profile(profile)
    note(AT_HOME, style="cyan")


def at_home(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The description with paths made absolute: the node may run in another folder than the writer did."""

    def absolute(table: Any, key: str) -> None:
        if isinstance(table, dict) and isinstance(table.get(key), str):
            table[key] = str(folder / table[key])

    absolute(document.get("source"), "path")
    absolute(document.get("derive"), "schedule")
    lists = document.get("withdrawals")
    for listing in lists if isinstance(lists, list) else []:
        absolute(listing, "path")
    return document


@app.command("list")
def list_datasets(node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """All registered datasets."""
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        stored = office.store.datasets.all()
    rows = [
        {
            "name": d.name,
            "rows": d.registration["profile"]["rows"],
            "columns": [c["name"] for c in d.registration["dataset"]["columns"]],
            "ids": [i["type"] for i in d.registration["dataset"]["ids"]],
            "classification": d.registration["dataset"]["classification"],
            "added": moment(d.added),
        }
        for d in stored
    ]
    if as_json:
        write_json(rows)
        return
    show(
        ("dataset", "rows when added", "ids", "columns", "class", "added (UTC)"),
        [
            (r["name"], f"{r['rows']:,}", ", ".join(r["ids"]), ", ".join(r["columns"]),
             r["classification"], r["added"])
            for r in rows
        ],
        right=(1,), empty="no datasets yet",
    )  # fmt: skip


@app.command("show")
def show_dataset(name: Name, node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """A dataset's description and the profile that registration found."""
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        dataset = office.dataset(name)
        stored = office.store.datasets.get(name)
    registration = stored.registration if stored is not None else {}
    if as_json:
        write_json(registration)
        return
    from hanse.catalog import Profile

    say(f"{dataset.name}: {dataset.description}")
    source = dataset.source
    where = getattr(source, "path", None)
    say(f"  Lies at:     {where if where is not None else 'a PostgreSQL table'}")
    say(f"  Class:       {dataset.classification}, legal basis {dataset.legal_basis}")
    if dataset.evidence:
        say(f"  Evidence:    {dataset.evidence}")
    _show_profile(Profile.model_validate(registration["profile"]))
    note(AT_HOME, style="cyan")


@app.command()
def check(
    name: Annotated[str | None, typer.Argument(help="One dataset; without it, all.")] = None,
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Read the data again: can it still serve as described, and does it fit the contracts that name it?"""
    from hanse.errors import HanseError
    from hanse.node.faces import facade

    found: list[dict[str, Any]] = []
    failed = False
    with facade.office_of(node) as office:
        names = [name] if name else [d.name for d in office.store.datasets.all()]
        for one in names:
            try:
                profile, problems = facade.check_dataset(office, one)
            except HanseError as error:
                if name and error.code == "dataset.unregistered":
                    raise
                problems, rows = [error], None
            else:
                rows = profile.rows
            failed = failed or bool(problems)
            found.append({"name": one, "rows": rows, "problems": [p.public() for p in problems]})
            if not as_json:
                _say_checked(one, rows, problems)
    if as_json:
        write_json(found)
    elif not found:
        say("no datasets yet")
    if failed:
        raise typer.Exit(1)


def _say_checked(name: str, rows: int | None, problems: list[Any]) -> None:
    if not problems:
        say(f"{name}: good, {rows:,} rows")
    for problem in problems:
        show_error(problem)


def _show_profile(profile: Profile) -> None:
    say(f"  {profile.rows:,} rows, {profile.withdrawn:,} ids on withdrawal lists")
    show(
        ("id column", "type", "form", "different", "empty", "invalid", "repeated"),
        [
            (column, p.type, p.format, f"{p.distinct:,}", f"{p.empty:,}",
             f"{sum(p.invalid.values()):,}" + _reasons(p.invalid), f"{p.duplicates:,}")
            for column, p in profile.ids.items()
        ],
        right=(3, 4, 5, 6),
    )  # fmt: skip
    show(
        ("column", "kind", "filled", "different", "from", "to"),
        [
            (name, c.kind, f"{c.coverage:.1%}", "" if c.distinct is None else f"about {c.distinct:,}",
             *_ends(c))
            for name, c in profile.columns.items()
        ],
        right=(2, 3, 4, 5), empty="no columns: only who is in it counts",
    )  # fmt: skip


def _reasons(invalid: dict[str, int]) -> str:
    return (
        f" ({', '.join(f'{why}: {count:,}' for why, count in invalid.items())})" if invalid else ""
    )


def _ends(column: Any) -> tuple[str, str]:
    if column.first is not None or column.last is not None:
        return moment(column.first), moment(column.last)
    if column.minimum is not None:
        return f"{column.minimum:,}", f"{column.maximum:,}"
    return "", ""
