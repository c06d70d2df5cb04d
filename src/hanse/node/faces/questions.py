"""Questions for people and programs: what a contract lets ask, questions as text, dry runs, power."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date, datetime, time
from typing import Any

from hanse import menu
from hanse.contracts import Contract
from hanse.contracts.tomltext import write
from hanse.errors import HanseError, Refusal
from hanse.measure.lift import power as reckoned
from hanse.measure.lift.power import Design
from hanse.node.office import LIVE, NodeOffice, bundle_of
from hanse.node.storage.store import StoredContract

Document = dict[str, Any]
KEYS = ("contract", "computation", "epsilon", "recipients", "roster", "parameters")
USUAL_EPSILONS = (0.5, 1.0, 2.0, 4.0)
_MOST_CHARACTERS = 1 << 20


# --- what can be asked ------------------------------------------------------------------------------


def computations(office: NodeOffice, contract_id: str) -> list[Document]:
    """What the contract lets be computed: its title, who learns what, and who may."""
    contract = _agreed(office, contract_id)
    return [
        {"name": c.name, "title": menu.MENU[c.name].title, "learns": menu.MENU[c.name].learns,
         "recipients": list(c.recipients), "datasets": list(c.datasets),
         "mine": office.party in c.recipients}
        for c in contract.computations
        if c.name in menu.MENU
    ]  # fmt: skip


def terms(office: NodeOffice, contract_id: str) -> Document:
    """The terms that questions are asked under, as plain values: those of `computations`."""
    return _agreed(office, contract_id).fields()


def askable(office: NodeOffice, limit: int = 200) -> list[Document]:
    """Contracts that are live here, with what they let be computed."""
    from hanse.node.faces.listing import contract_page  # noqa: PLC0415 (only here)

    found = []
    for stored in contract_page(office.store.database, state=LIVE, limit=limit).rows:
        text = stored["bundle"]["contract"]
        names = [c["name"] for c in text.get("computations", []) if c["name"] in menu.MENU]
        found.append({"id": stored["id"], "title": text["title"], "expires": text["expires"],
                      "computations": names})  # fmt: skip
    return found


def menu_titles() -> dict[str, Document]:
    """Every computation by name: its title and who learns what."""
    return {e.name: {"title": e.title, "learns": e.learns} for e in menu.MENU.values()}


def _agreed(office: NodeOffice, contract_id: str) -> Contract:
    """The text that jobs run under, as `NodeOffice.bundle` chooses it; `bundle` checks the partners' keys too."""
    try:
        return office.bundle(contract_id).contract
    except HanseError as error:
        if error.code in ("contract.unknown",):
            raise
        stored: StoredContract = office.contract(contract_id)
        return bundle_of(stored).contract


# --- questions as text ------------------------------------------------------------------------------


def read_question(text: str) -> Document:
    """The question in a TOML text, as plain values; `Refusal` ``question.malformed`` naming the key."""
    if len(text) > _MOST_CHARACTERS:
        raise _malformed("is too long")
    try:
        fields: Document = _plain(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _malformed(f"is not TOML: {error}") from error
    return checked_question(fields)


def checked_question(fields: Mapping[str, Any]) -> Document:
    """The question, its outer form checked; what is in its parameters the plan checks."""
    for key in fields:
        if key not in KEYS:
            raise _malformed(f"has the unknown key {str(key)[:64]!r}")
    wanted = {"contract": str, "computation": str, "epsilon": (int, float), "parameters": dict,
              "recipients": list, "roster": str}  # fmt: skip
    for key, kind in wanted.items():
        if key not in fields and key not in ("recipients", "roster"):
            raise _malformed(f"has no {key}")
        value = fields.get(key)
        if key in fields and (not isinstance(value, kind) or isinstance(value, bool)):  # type: ignore[arg-type]
            raise _malformed(f"has another kind of {key} than is wanted")
    if not all(isinstance(name, str) for name in fields.get("recipients", [])):
        raise _malformed("has recipients that are not names")
    epsilon = float(fields["epsilon"])
    if not 0 < epsilon < float("inf"):
        raise _malformed("has an epsilon that is not a positive number")
    return {**fields, "epsilon": epsilon}


def question_text(question: Mapping[str, Any]) -> str:
    """A question as the TOML that `read_question` and ``hanse run`` read."""
    return write(
        _tomlable({key: question[key] for key in KEYS if question.get(key) not in (None, "", [])})
    )


def question_of(office: NodeOffice, job: str) -> Document:
    """The question of a job, as the next attempt."""
    request = office.job(job).request
    question = {"contract": request["contract_id"], "computation": request["computation"],
                "parameters": request["parameters"], "epsilon": request["epsilon"],
                "recipients": request["recipients"], "roster": request.get("roster", "")}  # fmt: skip
    return question | {"attempt": request["attempt"] + 1}


def _malformed(what: str) -> Refusal:
    return Refusal("question.malformed", f"the question {what}",
                   remedy="use contract, computation, epsilon, recipients, roster, and parameters")  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value.isoformat() if isinstance(value, date | datetime | time) else value


def _tomlable(value: Any) -> Any:
    """Without nothings, and with keys that TOML takes as they are or quoted."""
    if isinstance(value, Mapping):
        return {_key(str(k)): _tomlable(v) for k, v in value.items() if v is not None and v != {}}
    if isinstance(value, list | tuple):
        return [_tomlable(part) for part in value]
    return value


def _key(name: str) -> str:
    import json  # noqa: PLC0415 (its escapes are TOML's)

    bare = name and all(c.isascii() and (c.isalnum() or c in "-_") for c in name)
    return name if bare else json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007F")


# --- power ------------------------------------------------------------------------------------------


def power(
    treated: int, control: int, *, share: float | None = None, mean: float | None = None,
    sd: float | None = None, most: int = 255, k: int = 100, segments: int = 1,
    epsilons: tuple[float, ...] = USUAL_EPSILONS, lift: float | None = None,
) -> list[Document]:  # fmt: skip
    """What a comparison of two arms could see at several prices; the last line is without noise (epsilon None).

    Raises `Refusal` ``power.design`` for a design that cannot be reckoned.
    """
    if (share is None) == (mean is None) or (mean is None) != (sd is None):
        raise Refusal("power.design", "the design says neither or both of a share and a mean with its sd",
                      remedy="give share, or mean and sd")  # fmt: skip
    if not epsilons or len(epsilons) > 20 or not all(0 < e <= 100 for e in epsilons):
        raise Refusal(
            "power.design", "an epsilon is not from 0 to 100", remedy="give 1 to 20 prices"
        )
    valued = mean is not None
    design = Design(treated, control, 1.0, k, segments, shares=0 if valued else 1,
                    caps=(most,) if valued else ())  # fmt: skip
    designs = [replace(design, epsilon=e) for e in sorted(epsilons)]
    designs.append(replace(designs[-1], noise=False))
    lines = []
    for one in designs:
        if share is not None:
            found = reckoned.smallest_share_lift(one, share)
            needed = None if lift is None else reckoned.sizes_for_share_lift(one, share, lift)
        else:
            found = reckoned.smallest_value_lift(one, mean or 0.0, sd or 0.0)
            needed = (
                None
                if lift is None
                else reckoned.sizes_for_value_lift(one, mean or 0.0, sd or 0.0, lift)
            )
        lines.append({"epsilon": one.epsilon if one.noise else None, **asdict(found),
                      "needed": None if needed is None else asdict(needed)})  # fmt: skip
    return lines
