"""What command line and console may ask of a node about models: train, score, list, show, hand out, delete."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hanse import menu
from hanse.contracts import JobRequest
from hanse.contracts.models import parties_of
from hanse.errors import Fault, Refusal
from hanse.node.disk import writing_to
from hanse.node.faces import facade
from hanse.node.models.parts import StoredModel
from hanse.node.office import ENDED, NodeOffice, bundle_of

Document = dict[str, Any]
Watch = facade.Watch


def _quiet(_document: Document) -> None:
    return None


def contract_with(office: NodeOffice, model: str, contract: str = "") -> str:
    """The contract under which ``model`` is trained: the one named, or the only one that has it.

    `Refusal` ``model.unknown`` or ``model.contract`` naming those there are.
    """
    if contract:
        return contract
    found = sorted(
        {c.id for c in office.store.contracts.all()
         if c.state != ENDED and bundle_of(c).contract.model(model) is not None}
    )  # fmt: skip
    if not found:
        raise Refusal("model.unknown", f"no contract at {office.party} has a model {model[:64]!r}",
                      remedy="agree on a contract that has [[models]]: 'hanse contract draft --template vertical'",
                      )  # fmt: skip
    if len(found) > 1:
        raise Refusal("model.contract", f"several contracts have a model {model!r}: {', '.join(found)}",
                      remedy="say which one with --contract")  # fmt: skip
    return found[0]


def clauses(office: NodeOffice) -> list[Document]:
    """The models that this node's contracts allow, with how often each was trained."""
    rows = []
    for stored in office.store.contracts.all():
        contract = bundle_of(stored).contract
        for clause in contract.models:
            used = office.spend.trainings(contract.id, clause.name)
            rows.append(
                {"model": clause.name, "kind": clause.kind, "contract": contract.id, "version": contract.version,
                 "state": stored.state, "parties": list(parties_of(contract, clause)),
                 "trainings": used, "maximum_trainings": clause.maximum_trainings}
            )  # fmt: skip
    return rows


def train(
    folder: Path, model: str, settings: Document, contract: str = "", watch: Watch = _quiet
) -> Document:
    """Train a model across the federation and wait: the job's answer with this node's card, if it has one."""
    with facade.office_of(folder) as office:
        contract = contract_with(office, model, contract)
    question = {"contract": contract, "computation": "train", "epsilon": 0.0,
                "parameters": {"model": model, **settings}}  # fmt: skip
    return facade.ask(folder, {"verb": "run", "question": question}, watch)


def score(
    folder: Path, model: str, receiver: str = "", out: Path | None = None, watch: Watch = _quiet
) -> Document:
    """Score every row of the receiver's dataset; ``out`` is where the file goes, if this node receives it."""
    question = _scoring(folder, model, "score", receiver)
    answer = facade.ask(folder, {"verb": "run", "question": question}, watch)
    with facade.office_of(folder) as office:
        result = answer.get("result") or {}
        if out is not None and result.get("scores"):
            hand_out_scores(office, str(answer["job"]), out)
    return answer


def score_one(folder: Path, model: str, id_text: str, watch: Watch = _quiet) -> Document:
    """The score of one row, by its id as this party writes it, and whether other parties saw which row it was."""
    question = _scoring(folder, model, "score-one", "") | {"asked": id_text}
    answer = facade.ask(folder, {"verb": "run", "question": question}, watch)
    result = answer.get("result") or {}
    if result.get("score") is None and not result.get("scores"):
        raise Refusal("model.no-row", "not all parties of the model have the row, so there is no score",
                      remedy="ask for another id; which party lacks it stays hidden")  # fmt: skip
    with facade.office_of(folder) as office:
        agreed = office.bundle(str(question["contract"])).contract
    clause = agreed.model(str(question["parameters"]["model"]))
    return {**answer, "row_seen_by_others": clause is None or clause.online != "hidden"}


def _scoring(folder: Path, model: str, computation: str, receiver: str) -> Document:
    with facade.office_of(folder) as office:
        found = office.models.find(model)
        contract, receiver = str(found.note["contract"]), receiver or office.party
    parameters = {"model": found.name, "training": found.job, "receiver": receiver}
    return {
        "contract": contract,
        "computation": computation,
        "epsilon": 0.0,
        "parameters": parameters,
    }


def listed(office: NodeOffice) -> list[Document]:
    """This node's parts of models, and those that are gone."""
    return [_row(m) for m in office.models.all()]


def _row(model: StoredModel) -> Document:
    card = (model.document or {}).get("card", {})
    return {
        "model": model.name, "version": model.version, "kind": model.note.get("kind", ""), "state": model.state,
        "training": model.job, "contract": model.note["contract"], "made": model.note["made"],
        "expires": model.note["expires"], "metrics": card.get("metrics", {}),
    }  # fmt: skip


def shown(office: NodeOffice, name: str) -> Document:
    """A model's part as this node holds it, its signature checked."""
    found = office.models.find(name)
    return {**_row(found), **office.models.document(found.job)}


def audited(office: NodeOffice, name: str) -> Document:
    """Whether this party's rows, read now, are those that it committed to before the model's training was signed.

    With what opens the commitment, for an auditor who compares it with partners' evidence packs. In the ledger.
    """
    found = office.models.find(name)
    opening = found.note.get("opening")
    stored = office.store.jobs.get(found.job)
    contract = None if stored is None else office.store.contracts.by_hash(stored.contract)
    if not opening or stored is None or contract is None:
        raise Refusal("model.audit", f"{office.party} no longer has what opens its commitment for {found.name!r}",
                      remedy="audit a model whose part and job are kept here", where=office.party)  # fmt: skip
    request, agreed = JobRequest.from_fields(stored.request), bundle_of(contract).contract
    plan = menu.entry(request.computation).planned(
        request.parameters, agreed, request.epsilon, request.noise, office.library()
    )
    side = plan.terms.side(office.party)
    signed = request.commitments.get(side.dataset, "")
    now = office.desk.bringer.audit(plan, agreed, opening)
    office.models.audited(found, now == signed)
    return {
        "model": found.name, "training": found.job, "party": office.party, "dataset": side.dataset,
        "fits": now == signed, "signed": signed, "now": now, "opening": opening,
    }  # fmt: skip


def delete(office: NodeOffice, name: str, reason: str) -> Document:
    """Forget this node's part."""
    return _row(office.models.delete(name, reason))


def hand_out_scores(office: NodeOffice, job: str, target: Path) -> Path:
    """Move a job's scores to ``target``. `Refusal` ``model.scores`` if they are not here."""
    folder = office.desk.folder
    source = None if folder is None else folder / f"{office.job(job).job}.parquet"
    if source is None or not source.is_file():
        raise Refusal("model.scores", f"there are no scores of job {job[:12]} at this node",
                      remedy="score again; scores are handed out once, at the receiver")  # fmt: skip
    try:
        with writing_to(target.absolute().parent):
            # The owner's alone from the first byte on: scores are about people.
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with source.open("rb") as scores, os.fdopen(descriptor, "wb") as file:
                target.chmod(0o600)
                shutil.copyfileobj(scores, file)
    except OSError as error:
        raise Fault("file.unwritable", f"the scores cannot be written: {error.strerror}",
                    remedy=f"they are kept in the node's folder ({source.name}): copy that file",
                    where=str(target)) from error  # fmt: skip
    source.unlink()
    return target


def end_scores(office: NodeOffice, now: datetime) -> int:
    """Delete scores that nobody collected for as long as their contract keeps working copies; how many."""
    folder, gone = office.desk.folder, 0
    for path in folder.glob("*.parquet") if folder is not None else ():
        stored = office.store.jobs.get(path.stem)
        contract = office.store.contracts.by_hash(stored.contract) if stored is not None else None
        days = bundle_of(contract).contract.retention_days if contract is not None else 0
        made = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        if now >= made + timedelta(days=days):
            path.unlink(missing_ok=True)
            gone += 1
    return gone
