"""``hanse contract``: from a draft, through everybody's signature, to its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder, Reason
from hanse.cli.screen import console, note, plain, say, show, write_json
from hanse.clock import SystemClock

if TYPE_CHECKING:
    from hanse.node.office import NodeOffice
    from hanse.node.storage.store import StoredContract

app = typer.Typer(help="Contracts: draft, sign, exchange, suspend.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="The contract's id.", show_default=False)]


@app.command()
def draft(
    file: Annotated[
        Path | None, typer.Argument(help="The contract as TOML.", show_default=False)
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            help="Instead, write a contract to start from: campaign (a cross-scenario report, all stages), "
            "funnel, reach, overlap, attribution, lift, portrait, concentration; for models: vertical, horizontal."
        ),
    ] = None,
    node: NodeFolder = HERE,
) -> None:
    """Take in a contract that is written as TOML; parties without keys get those of their cards.

    With --template, write a contract to FILE (or to standard output) instead, made of what this node knows.
    """
    if template is None and file is None:
        raise typer.BadParameter("give the contract's FILE.toml, or --template campaign")

    from hanse.cli import contract_template
    from hanse.clock import SystemClock
    from hanse.node.faces import facade

    if template is not None:
        with facade.office_of(node) as office:
            text = contract_template.template(template, office, SystemClock().now().date())
        if file is None:
            typer.echo(text, nl=False)
            return
        from hanse.cli.documents import write_new

        write_new(file, text.encode(), "the contract's draft")
        say(f"Wrote {file}. Fill it in, then: hanse contract draft {file}")
        return

    from hanse.cli.documents import plain_values, read_toml
    from hanse.contracts import Bundle, Contract

    fields = plain_values(read_toml(file or HERE, "the contract"))
    with facade.office_of(node) as office:
        contract = Contract.from_fields(contract_template.with_keys(fields, office))
        stored = office.import_bundle(Bundle(contract))
    say(f"Drafted {contract.id}, version {contract.version}: {contract.title}")
    say(f"  Fingerprint: {contract.hash}")
    _say_standing(stored)
    say(f"Next: hanse contract show {contract.id}, sign {contract.id}, push {contract.id}")


@app.command("import")
def import_contract(
    file: Annotated[
        Path, typer.Argument(help="A bundle: contract and signatures.", show_default=False)
    ],
    node: NodeFolder = HERE,
) -> None:
    """Take in a contract, or the signatures that a bundle brings."""
    from hanse.cli.documents import read_bytes
    from hanse.contracts import Bundle
    from hanse.errors import Refusal
    from hanse.node.faces import facade

    data = read_bytes(file, "the contract's bundle")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Refusal(
            "contract.malformed",
            "the bundle cannot be read: it is not text",
            remedy="give the file that 'hanse contract export' wrote",
            where=str(file),
        ) from error
    bundle = Bundle.from_json(text)
    with facade.office_of(node) as office:
        stored = office.import_bundle(bundle)
    say(f"Imported {stored.id}, version {stored.version}: {bundle.contract.title}")
    _say_standing(stored)


@app.command("show")
def show_contract(
    contract_id: Id,
    text: Annotated[bool, typer.Option("--text", help="In plain language (the default).")] = False,
    toml: Annotated[bool, typer.Option("--toml", help="As the document that was drafted.")] = False,
    as_json: AsJson = False,
    node: NodeFolder = HERE,
) -> None:
    """The contract: what it allows in plain language, written from the terms that the machines enforce."""
    if text + toml + as_json > 1:
        raise typer.BadParameter("--text, --toml and --json exclude each other")

    from hanse.contracts import describe
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        stored = office.contract(contract_id)
        bundle = facade.bundle(office, contract_id)
    if as_json:
        write_json({**stored.bundle, "state": stored.state, "missing": list(bundle.missing())})
    elif toml:
        typer.echo(bundle.contract.to_toml(), nl=False)
    else:
        console().print(plain(describe(bundle.contract)))
        _say_standing(stored)


@app.command()
def sign(contract_id: Id, node: NodeFolder = HERE) -> None:
    """Sign the contract as this organisation. Read it first: hanse contract show."""
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        office.sign(contract_id)
        stored = office.contract(contract_id)
        party = office.party
    say(f"{party} has signed {contract_id}.")
    say(f"  Fingerprint: {stored.hash}")
    _say_standing(stored)
    say(f"Next: hanse contract push {contract_id} (or export it and send the file)")


@app.command()
def review(
    contract_id: Id,
    department: Annotated[
        str, typer.Option(help="legal, data-owner, risk or government-affairs.", show_default=False)
    ],
    approve: Annotated[bool, typer.Option("--approve", help="It may be signed.")] = False,
    object_: Annotated[bool, typer.Option("--object", help="It may not; say why.")] = False,
    comment: Annotated[str, typer.Option(help="What the department says.")] = "",
    by: Annotated[str, typer.Option(help="Who writes it, as this organisation names them.")] = "",
    node: NodeFolder = HERE,
) -> None:
    """Write down what a department of this organisation says of the newest version of a contract."""
    if approve and object_:
        raise typer.BadParameter("--approve and --object exclude each other")
    verdict = "approve" if approve else "object" if object_ else "comment"

    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        noted = office.review(contract_id, department, verdict, comment, by)
        reviewers = office.reviewers
    say(
        f"{noted.department}: {noted.verdict} of {contract_id}, version {noted.version}; written in the ledger."
    )
    if reviewers:
        say(f"  Before this node signs, these must approve: {', '.join(reviewers)}")


@app.command()
def push(contract_id: Id, node: NodeFolder = HERE) -> None:
    """Send contract and signatures to all parties, and take the signatures that they have."""
    from hanse.errors import Fault
    from hanse.node.faces import facade

    answer = facade.ask(node, {"verb": "push", "contract": contract_id})
    with facade.office_of(node) as office:
        stored = office.contract(contract_id)
    known = {"live", "pending", "suspended", "ended"}
    for party, state in sorted(answer["parties"].items()):
        say(f"  {party}: {state if state in known else 'not reached'}")
    _say_standing(stored)
    unreached = {p: s for p, s in answer["parties"].items() if s not in known}
    if unreached:
        raise Fault("contract.push", "; ".join(f"{p}: {s}" for p, s in sorted(unreached.items())),
                    remedy="push again when their nodes are linked (hanse node status)")  # fmt: skip


@app.command()
def export(
    contract_id: Id,
    file: Annotated[Path, typer.Argument(help="A new file.", show_default=False)],
    node: NodeFolder = HERE,
) -> None:
    """Write contract and signatures to a file, for partners and auditors."""
    from hanse.cli.documents import write_new
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        bundle = facade.bundle(office, contract_id)
    write_new(file, bundle.to_json(), "the contract's bundle")
    say(f"Wrote {file}.")


@app.command()
def suspend(contract_id: Id, reason: Reason, node: NodeFolder = HERE) -> None:
    """Refuse the contract's jobs at this node from now on, until it is resumed."""
    _move(node, contract_id, "suspended", reason, of=("live", "pending"))


@app.command()
def resume(contract_id: Id, reason: Reason, node: NodeFolder = HERE) -> None:
    """Take part in the contract's jobs again."""
    _move(node, contract_id, "live", reason, of=("suspended",))


@app.command()
def end(contract_id: Id, reason: Reason, node: NodeFolder = HERE) -> None:
    """End the contract at this node, for good."""
    _move(node, contract_id, "ended", reason, of=("live", "pending", "suspended"))


def _move(node: Path, contract_id: str, state: str, reason: str, *, of: tuple[str, ...]) -> None:
    if not reason.strip():
        raise typer.BadParameter("--reason must say why")

    from hanse.errors import Refusal
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        before = office.contract(contract_id).state
        if before not in of:
            raise Refusal("contract.state", f"the contract {contract_id!r} is {before} at this node",
                          remedy=f"this can be done while it is {' or '.join(of)}")  # fmt: skip
        office.set_state(contract_id, state, reason)
        stored = office.contract(contract_id)
    say(f"{contract_id}: {before} before, {stored.state} now. It is written in the ledger.")


@app.command("list")
def list_contracts(node: NodeFolder = HERE, as_json: AsJson = False) -> None:
    """All contracts of this node."""
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        rows = [_row(office, stored) for stored in office.store.contracts.all()]
    if as_json:
        write_json(rows)
        return
    show(
        ("contract", "version", "title", "state", "signed", "jobs", "until"),
        [
            (r["id"], r["version"], r["title"],
             "expired" if r["state"] == "live" and _over(r["expires"]) else r["state"],
             f"{len(r['signed'])} of {len(r['parties'])}", f"{r['jobs']} of {r['maximum_jobs']}", r["expires"])
            for r in rows
        ],
        right=(1, 4, 5), empty="no contracts yet",
    )  # fmt: skip


def _row(office: NodeOffice, stored: StoredContract) -> dict[str, Any]:
    from hanse.node.faces import facade
    from hanse.node.office import bundle_of

    bundle = bundle_of(stored)
    contract = bundle.contract
    return {
        "id": contract.id,
        "version": contract.version,
        "title": contract.title,
        "hash": contract.hash,
        "state": stored.state,
        "signed": sorted(bundle.signatures),
        "parties": [p.name for p in contract.parties],
        "jobs": facade.jobs_used(office, contract),
        "maximum_jobs": contract.maximum_jobs,
        "expires": contract.expires.isoformat(),
    }


def _over(expires: str) -> bool:
    return expires <= SystemClock().now().date().isoformat()


def _say_standing(stored: StoredContract) -> None:
    """Who has signed, who has not, and what that makes it."""
    signed = sorted(stored.bundle["signatures"])
    missing = [p["name"] for p in stored.bundle["contract"]["parties"] if p["name"] not in signed]
    say(
        f"  State: {stored.state}; signed by {', '.join(signed) or 'nobody'}"
        + (f"; missing: {', '.join(missing)}" if missing else "")
    )
    expires = str(stored.bundle["contract"]["expires"])
    if _over(expires):
        note(f"  It allows nothing any more: its last day was the one before {expires}.")
