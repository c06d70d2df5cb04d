"""``hanse crowd``: named, versioned sets of people at this organisation, which contracts name like datasets.

No command prints a member or an exact size. A size is told only roughly, to its owner; everybody else learns sizes
as results of jobs, through the gate.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder
from hanse.cli.screen import moment, note, say, show, write_json

if TYPE_CHECKING:
    from hanse.catalog import Dataset
    from hanse.node.crowds import Made
    from hanse.node.office import NodeOffice

app = typer.Typer(
    help="Crowd packages: sets of people of this organisation, by definition.", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="The package's name.", show_default=False)]
Expires = Annotated[
    str,
    typer.Option(help="First day on which it no longer serves: YYYY-MM-DD.", show_default=False),
]
Evidence = Annotated[
    str, typer.Option(help="Where the evidence of consent (or of another basis) is kept.")
]
_SIGNS = (">=", "<=", "=")


@app.command()
def create(
    name: Name,
    purpose: Annotated[str, typer.Option(help="What the package is for.", show_default=False)],
    evidence: Evidence,
    expires: Expires,
    of: Annotated[str | None, typer.Option(help="A registered dataset to filter.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="A condition, may be repeated: 'city=Bergen,Visby', 'amount>=5000' (whole units), 'member=yes'."
        ),
    ] = None,
    at_least: Annotated[int, typer.Option(help="So many rows of a person.")] = 1,
    starts: Annotated[str | None, typer.Option(help="Rows from this day on.")] = None,
    ends: Annotated[str | None, typer.Option(help="Rows until the day before.")] = None,
    days: Annotated[int | None, typer.Option(help="Rows of the last so many days before each run.")] = None,
    time: Annotated[str | None, typer.Option(help="The column that dates rows, if there are several.")] = None,
    ids: Annotated[Path | None, typer.Option(help="Instead: a CSV or Parquet file of ids.")] = None,
    id_column: Annotated[str, typer.Option(help="The file's id column.")] = "id",
    id_type: Annotated[str | None, typer.Option(help="phone, email, imei, ... or a name of your own.")] = None,
    id_format: Annotated[str, typer.Option(help="plain, md5, sha256 or md5+sha256.")] = "plain",
    region: Annotated[str | None, typer.Option(help="Country of phone numbers, such as CN.")] = None,
    withdrawals_of: Annotated[
        str | None, typer.Option(help="Leave out who is on the withdrawal lists of this dataset.")
    ] = None,
    legal_basis: Annotated[str, typer.Option(help="As in contracts.")] = "consent",
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Make a package, or the next version of one: a filter over a dataset, or a file of ids.

    A filter is read anew at every run. A file of ids must stay as it is; another list is another version.
    """
    if (of is None) == (ids is None):
        raise typer.BadParameter("give either --of DATASET or --ids FILE")
    if ids is not None and id_type is None:
        raise typer.BadParameter("--ids needs --id-type")

    from hanse.node.faces import facade

    document: dict[str, Any] = {
        "name": name, "purpose": purpose, "evidence": evidence, "expires": expires,
        "legal_basis": legal_basis,
    }  # fmt: skip
    with facade.office_of(node) as office:
        if of is not None:
            conditions = [_condition(office.dataset(of), text) for text in where or []]
            document["events"] = {
                "of": of, "where": conditions, "at_least": at_least, "starts": starts, "ends": ends,
                "days": days, "time": time,
            }  # fmt: skip
        elif ids is not None:
            column = {"column": id_column, "type": id_type, "format": id_format, "region": region}
            document["listed"] = {
                "path": str(ids.absolute()), "ids": [column],
                "withdrawals": _withdrawals(office, withdrawals_of, str(id_type)),
            }  # fmt: skip
        made = office.crowds.create(document)
    _say_made(made, "Made", as_json)


@app.command("list")
def list_crowds(node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """All packages with all their versions; jobs use the newest one that is not removed."""
    from hanse.clock import SystemClock
    from hanse.node.faces import facade, records

    with facade.office_of(node) as office:
        found = records.crowds(office, SystemClock())
    if as_json:
        write_json(found)
        return
    show(
        ("package", "version", "state", "who is in it", "made of", "made (UTC)", "expires"),
        [
            (f["name"], f["version"], f["state"], f["definition"], f["made_of"], moment(f["created"]), f["expires"])
            for f in found
        ],
        right=(1,), empty="no crowd packages yet",
    )  # fmt: skip


@app.command("show")
def show_crowd(name: Name, node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """A package's definition, provenance, purpose, evidence, versions and the contracts that name it."""
    from hanse.clock import SystemClock
    from hanse.node.faces import facade, records

    with facade.office_of(node) as office:
        found = records.crowds(office, SystemClock(), name)
        contracts = facade.crowd_users(office, name)
        serving = any(f["state"] == "in use" for f in found)
        roughly = office.crowds.roughly(name) if serving else ""
    if as_json:
        write_json({"versions": found, "contracts": contracts, "roughly": roughly})
        return
    newest = found[0]
    say(
        f"{newest['name']}, version {newest['version']} ({newest['state']}): {newest['definition']}"
    )
    if roughly:
        say(f"  People:      {roughly}, now")
    say(f"  Purpose:     {newest['purpose']}")
    say(f"  Legal basis: {newest['legal_basis']}; evidence: {newest['evidence']}")
    say(
        f"  Made of:     {newest['made_of']}, {moment(newest['created'])}, digest {newest['digest'][:16] or 'none'}"
    )
    say(f"  Expires:     {newest['expires']}")
    say(f"  Contracts:   {', '.join(contracts) or 'none'}")
    for older in found[1:]:
        say(f"  Version {older['version']} ({older['state']}): {older['definition']}")


@app.command()
def renew(
    name: Name,
    expires: Expires,
    evidence: Annotated[str | None, typer.Option(help="Where the newer evidence is kept.")] = None,
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Let the newest version serve longer: the same definition, so the same version."""
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        made = office.crowds.renew(name, _day(expires), evidence)
    _say_made(made, "Renewed", as_json)


@app.command()
def remove(name: Name, node: NodeFolder = HERE) -> None:
    """Let no job use the package any more; jobs of contracts that name it are refused from now on."""
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        office.crowds.remove(name)
        contracts = facade.crowd_users(office, name)
    say(f"Removed {name}.")
    if contracts:
        note(f"Jobs that use it are refused under: {', '.join(contracts)}", style="yellow")


def _say_made(made: Made, verb: str, as_json: bool) -> None:
    package = made.package
    if as_json:
        write_json(
            {"name": package.name, "version": package.version, "definition": package.in_words(),
             "roughly": made.roughly, "expires": package.expires.isoformat()}
        )  # fmt: skip
        return
    say(f"{verb} {package.name}, version {package.version}: {package.in_words()}")
    say(f"  {made.roughly} people; serves until the day before {package.expires}")
    note(
        "It stays at home. A contract names it as a dataset without columns; "
        "'hanse contract draft --template overlap' writes the clause.",
        style="cyan",
    )


def _condition(dataset: Dataset, text: str) -> dict[str, Any]:
    """A condition as it is typed; values become what the column's kind has."""
    from hanse.errors import Refusal

    column, sign, value = next((text.partition(s) for s in _SIGNS if s in text), (text, "", ""))
    column, value = column.strip(), value.strip()
    if not sign or not column or not value:
        raise Refusal("crowd.condition", f"{text!r} is not a condition",
                      remedy="write 'column=value', 'column=one,another', 'column>=5' or 'column<=5'")  # fmt: skip
    kind = dataset.column(column).kind
    values = [
        _value(column, kind, v.strip()) for v in (value.split(",") if sign == "=" else [value])
    ]
    if sign == ">=":
        return {"column": column, "at_least": values[0]}
    if sign == "<=":
        return {"column": column, "at_most": values[0]}
    return (
        {"column": column, "among": values}
        if len(values) > 1
        else {"column": column, "equals": values[0]}
    )


def _value(column: str, kind: str, text: str) -> str | int | bool:
    from hanse.errors import Refusal

    if kind in ("integer", "amount"):
        if text.isascii() and text.isdigit():
            return int(text)
        wanted = "a whole number (amounts in whole units, such as cents)"
    elif kind == "boolean":
        if text.lower() in ("yes", "true", "no", "false"):
            return text.lower() in ("yes", "true")
        wanted = "yes or no"
    elif kind == "time":
        wanted = "no condition; bound times with --starts and --ends, or --days"
    else:
        return text
    raise Refusal("crowd.condition", f"column {column!r} is {kind}, which {text!r} does not fit",
                  remedy=f"give {wanted}")  # fmt: skip


def _withdrawals(office: NodeOffice, name: str | None, id_type: str) -> list[dict[str, Any]]:
    if name is None:
        return []
    from hanse.errors import Refusal

    lists = [w for w in office.dataset(name).withdrawals if w.type == id_type]
    if not lists:
        raise Refusal("crowd.withdrawals", f"dataset {name!r} has no withdrawal list of {id_type} ids",
                      remedy="name a dataset that has one, or leave --withdrawals-of out")  # fmt: skip
    return [w.model_dump(mode="json") for w in lists]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a day such as 2027-01-31") from error
