"""``hanse ledger``: this node's chained and signed record, and the budgets that follow from it."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanse.cli.options import HERE, AsJson, NodeFolder
from hanse.cli.screen import console, moment, say, show, write_json

if TYPE_CHECKING:
    from hanse.ledger import Verdict

app = typer.Typer(help="The record of what this node did, and its budgets.", no_args_is_help=True)


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Argument(help="An exported ledger; without it, this node's own.")
    ] = None,
    card: Annotated[
        Path | None, typer.Option(help="With FILE: the identity card of the node it came from.")
    ] = None,
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Check that no entry was changed, removed, inserted or signed by another. Status 1 if one was."""
    if (file is None) != (card is None):
        raise typer.BadParameter("FILE and --card come together")
    verdict = _verdict(file, card, node)
    if as_json:
        write_json({"ok": verdict.ok, "entries": verdict.count, "first_bad": verdict.first_bad,
                    "reason": verdict.reason, "head": verdict.head})  # fmt: skip
        if not verdict.ok:
            raise typer.Exit(1)
        return
    if not verdict.ok:
        from hanse.errors import Foul

        raise Foul("ledger.broken", f"the ledger is broken at entry {verdict.first_bad}: {verdict.reason}",
                   remedy="keep this store as evidence; compare it with exports and the partners' ledgers",
                   where=f"entry {verdict.first_bad}, after {verdict.count} good ones")  # fmt: skip
    say(f"The ledger holds: {verdict.count:,} entries in an unbroken chain, signed by this node's key."
        if file is None else
        f"The ledger holds: {verdict.count:,} entries in an unbroken chain, signed by the card's key.")  # fmt: skip
    say(f"  Head: {verdict.head}")


def _verdict(file: Path | None, card: Path | None, node: Path) -> Verdict:
    if file is None or card is None:
        from hanse.node.faces import facade

        with facade.office_of(node) as office:
            return facade.verify_ledger(office)

    from hanse.cli.documents import read_bytes
    from hanse.errors import Fault
    from hanse.ledger import verify_lines
    from hanse.node.identity.cards import read_card

    key = read_card(read_bytes(card, "the identity card")).signing_key
    try:
        with file.open("rb") as lines:
            return verify_lines(lines, key)
    except OSError as error:
        raise Fault("file.unreadable", f"the exported ledger cannot be read: {error.strerror}",
                    remedy="check the path and its permissions", where=str(file)) from error  # fmt: skip


@app.command("list")
def list_entries(
    kind: Annotated[str | None, typer.Option(help="Only entries of this kind.")] = None,
    last: Annotated[int, typer.Option(min=1, help="At most so many, the last ones.")] = 50,
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """The last entries, oldest first."""
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        entries = deque(office.ledger.entries(kind=kind), maxlen=last)
    if as_json:
        write_json([entry.fields() for entry in entries])
        return
    show(
        ("entry", "time (UTC)", "kind", "what"),
        [(e.sequence, moment(e.time), e.kind, _summary(e.body)) for e in entries],
        right=(0,), empty="no entries yet",
    )  # fmt: skip


def _summary(body: Any) -> str:
    """The short facts of an entry; long ones are in the JSON form."""
    parts = []
    for name, value in body.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if len(text) == 64 and set(text) <= set("0123456789abcdef"):
            text = text[:12]
        if len(text) <= 60:
            parts.append(f"{name} {text}")
    return ", ".join(parts)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="A new file.", show_default=False)],
    node: NodeFolder = HERE,
) -> None:
    """Write the whole ledger to a file that anybody can verify with this node's identity card."""
    from hanse.cli.documents import write_new
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        lines = list(office.ledger.lines())
    write_new(file, b"".join(line.encode() + b"\n" for line in lines), "the exported ledger")
    say(f"Wrote {len(lines):,} entries to {file}.")
    say(f"  To check it elsewhere: hanse ledger verify {file} --card identity.json")


@app.command()
def balance(
    contract_id: Annotated[str, typer.Argument(help="The contract's id.", show_default=False)],
    node: NodeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Budgets under a contract, spent and left, by provider, as this node's ledger has them."""
    from hanse.cli.report import show_accounts
    from hanse.node.faces import facade

    with facade.office_of(node) as office:
        contract = facade.bundle(office, contract_id).contract
        accounts = [a.body() for a in facade.accounts(office, contract)]
        used = facade.jobs_used(office, contract)
    if as_json:
        write_json({"contract": contract.id, "jobs": used, "maximum_jobs": contract.maximum_jobs,
                    "period": contract.privacy.period, "accounts": accounts})  # fmt: skip
        return
    show_accounts(console(), accounts)
    say(f"{used} of {contract.maximum_jobs} jobs are used.")
