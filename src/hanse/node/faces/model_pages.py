"""Models for the console: what contracts allow, parts and cards held here, questions that train and score."""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path
from typing import Any

from hanse.errors import Refusal
from hanse.node.faces import models
from hanse.node.office import NodeOffice

Document = dict[str, Any]
allowed = models.clauses
held = models.listed
_SETTINGS_CHARACTERS = 4000


def model(office: NodeOffice, name: str, *, part: bool) -> Document:
    """A model's card; with ``part`` also this party's own part (coefficients, splits). What is gone has neither."""
    found = office.models.find(name)
    row = next(r for r in models.listed(office) if r["training"] == found.job)
    if found.document is None:
        return {**row, "card": None, "block": None}
    document = office.models.document(found.job)
    return {**row, "card": document["card"], "block": _block(document["block"]) if part else None}


def _block(block: Document) -> Document:
    """A part in a form that is read: linear coefficients by column, or how much a part of another form holds."""
    common = block.get("common")
    if common is not None and common["learner"] == "glm":
        rows = [{"column": c, "coefficient": v, "p": None}
                for c, v in zip(block["columns"], common["coefficients"], strict=True)]  # fmt: skip
        return {"form": "linear", "splits": 0,
                "classes": [{"name": "", "rows": rows, "intercept": common["intercept"]}]}  # fmt: skip
    if common is not None:
        splits = sum(c >= 0 for tree in common.get("trees", []) for c in tree["column"])
        return {"form": block["form"], "splits": splits, "classes": []}
    if block.get("form") != "linear":
        own = (block.get("own") or block).get("splits", [])
        return {"form": block.get("form", ""), "splits": len(own), "classes": []}
    names = (block.get("label") or {}).get("classes") or []
    p_values = block.get("p_values") or [None] * len(block["columns"])
    several = len(block["coefficients"]) > 1
    return {
        "form": "linear", "splits": 0,
        "classes": [
            {"name": str(names[i]) if several and i < len(names) else "",
             "rows": [{"column": c, "coefficient": v, "p": p}
                      for c, v, p in zip(block["columns"], row, p_values, strict=True)],
             "intercept": block["intercepts"][i]}
            for i, row in enumerate(block["coefficients"])
        ],
    }  # fmt: skip


def exported(office: NodeOffice, name: str) -> Document:
    """This party's own part, signed, as a file's content; noted in the ledger."""
    return office.models.exported(name)


def delete(office: NodeOffice, name: str, reason: str) -> Document:
    """Forget this party's part, for good."""
    if not reason.strip():
        raise Refusal("model.reason", "a part is not deleted without a reason",
                      remedy="say why; it is written into the ledger")  # fmt: skip
    return models.delete(office, name, reason[:500])


def training(office: NodeOffice, name: str, contract: str, settings: Document) -> Document:
    """The question that trains a model. `Refusal` ``model.unknown``, ``model.contract`` or ``contract.unknown``."""
    contract = models.contract_with(office, name, contract)
    office.contract(contract)
    return {"contract": contract, "computation": "train", "epsilon": 0.0,
            "parameters": {**settings, "model": name}}  # fmt: skip


def scoring(office: NodeOffice, name: str, receiver: str = "") -> Document:
    """The question that scores all rows of the receiver (this party if "")."""
    return _scoring(office, name, "score", receiver)


def scoring_one(office: NodeOffice, name: str, id_text: str) -> Document:
    """The question for the score of one row; its answer has it, and nothing of this is written down here."""
    if not 0 < len(id_text.strip()) <= 200:
        raise Refusal("model.id.malformed", "the row's id is empty or too long", remedy="give one id")  # fmt: skip
    return _scoring(office, name, "score-one", "") | {"asked": id_text.strip()}


def _scoring(office: NodeOffice, name: str, computation: str, receiver: str) -> Document:
    found = office.models.find(name)
    parameters = {"model": found.name, "training": found.job, "receiver": receiver or office.party}
    return {"contract": str(found.note["contract"]), "computation": computation, "epsilon": 0.0,
            "parameters": parameters}  # fmt: skip


def score_told(answer: Document) -> Document:
    """The figures of a score-one answer. `Refusal` ``model.no-row`` if there are none."""
    result = answer.get("result") or {}
    scores = result.get("scores") or (
        {"score": result["score"]} if result.get("score") is not None else {}
    )
    if not scores:
        raise Refusal("model.no-row", "not all parties of the model have the row, so there is no score",
                      remedy="ask for another id; which party lacks it stays hidden")  # fmt: skip
    return {"scores": {str(k): float(v) for k, v in scores.items()}}


def scores_wait(office: NodeOffice, job: str) -> bool:
    """Whether scores of a job wait here to be handed out."""
    folder = office.desk.folder
    return folder is not None and (folder / f"{job}.parquet").is_file()


def scores_file(office: NodeOffice, job: str) -> bytes:
    """A job's scores as Parquet; they are handed out once. `Refusal` ``model.scores`` if they are not here."""
    with tempfile.TemporaryDirectory() as folder:
        target = models.hand_out_scores(office, job, Path(folder) / "scores.parquet")
        return target.read_bytes()


def settings_of(text: str) -> Document:
    """``key = value`` lines (TOML) as settings of a training. `Refusal` ``question.malformed``."""
    try:
        found: Document = tomllib.loads(text[:_SETTINGS_CHARACTERS])
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Refusal("question.malformed", f"the settings are not TOML: {error}",
                      remedy="write one key = value a line, such as l2 = 0.001") from error  # fmt: skip
    if not all(isinstance(v, str | int | float | bool) for v in found.values()):
        raise Refusal("question.malformed", "a setting is neither text nor a number nor true or false",
                      remedy="write one key = value a line, such as l2 = 0.001")  # fmt: skip
    return found
