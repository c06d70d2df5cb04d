"""The part of a contract's draft that is about a model: what partners bring, and the clause."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanse.catalog.datasets import Dataset

VERTICAL, HORIZONTAL = "vertical", "horizontal"
TEMPLATES = (VERTICAL, HORIZONTAL)
MODEL_USES = frozenset({"feature", "target"})
_TARGETS = ("boolean", "number", "amount", "integer")
_FEATURES = ("boolean", "number", "amount", "integer", "category")

_CLAUSE = """\
[[models]]                              # what may be learned; add one block per model
name = "my-model"
kind = {kind}                      # {kinds}
target = {{ dataset = {dataset}, column = {column} }}
features = [
{features}
]
alignment = {alignment}                    # {ways}
authorisation = {authorisation}
{evidence}metrics = [{party}]                      # who is told how good it is
{more}maximum_trainings = 5
least_rows = 1000                       # fewer matched rows: nothing is learned
expiry_days = 180                       # the parts of the model end then
"""


def model_blocks(
    name: str, datasets: Iterable[Dataset], party: str, others: Iterable[str]
) -> list[str]:
    """TOML blocks of a model between ``party`` and the others, to be corrected.

    The target is the first column of this party's datasets that can be one; partners' datasets are made up.
    """
    mine = list(datasets)
    chosen, target = _target(mine)
    own_name = chosen.name if chosen is not None else "our-rows"
    personal = chosen is None or chosen.legal_basis != "not-personal"
    features = (
        [c.name for c in chosen.columns if c.kind in _FEATURES and c.name != target]
        if chosen
        else []
    )
    horizontal = name == HORIZONTAL
    blocks = []
    lines = []
    if chosen is None:
        made = [("outcome", "boolean", "target")]
        made += [("a_column", "number", "feature")] if horizontal else []
        blocks.append(_rows(own_name, party, made, personal))
    if horizontal:
        features = features or ["a_column"]
        lines.append((own_name, features))
        for number, other in enumerate(others, 1):
            columns = [(target, "number", "target"), *((f, "number", "feature") for f in features)]
            blocks.append(_rows(f"rows-of-{number}", other, columns, personal))
            lines.append((f"rows-of-{number}", features))
    else:
        if features:
            lines.append((own_name, features))
        other = next(iter(others))
        columns = [("a_column", "number", "feature"), ("another_column", "number", "feature")]
        blocks.append(_rows("their-columns", other, columns, personal))
        lines.append(("their-columns", [c[0] for c in columns]))
    text = _CLAUSE.format(
        kind=_text("horizontal-glm" if horizontal else "logistic"),
        kinds="horizontal-glm, -linear, -mlp, -boosting" if horizontal
        else "linear, logistic, multinomial, poisson, gamma, tweedie, boosting",
        dataset=_text(own_name), column=_text(target),
        features=",\n".join(
            f"  {{ dataset = {_text(d)}, columns = [{', '.join(map(_text, c))}] }}" for d, c in lines
        ),
        alignment=_text("none" if horizontal else "hidden"),
        ways="everybody learns at home, sums are opened" if horizontal
        else "or open: parties see which rows match",
        authorisation=_text("authorised-by-people" if personal else "not-personal"),
        evidence='evidence = "say where the authorisation of these people is kept"\n' if personal else "",
        party=_text(party),
        more="" if horizontal else f"scores = [{_text(party)}]                       # who receives scores\n"
        'online = "no"                           # or hidden, or open-query: all parties see which row it is\n',
    )  # fmt: skip
    return [*blocks, text]


def _target(datasets: list[Dataset]) -> tuple[Dataset | None, str]:
    for kind in _TARGETS:
        for dataset in datasets:
            for column in dataset.columns:
                if column.kind == kind:
                    return dataset, column.name
    return None, "outcome"


def _rows(name: str, party: str, columns: list[tuple[str, str, str]], personal: bool) -> str:
    lines = [
        "[[datasets]]",
        f"name = {_text(name)}                   # correct it: its owner knows names and kinds",
        f"provider = {_text(party)}",
        "capacity = 100000",
        "slots = 1                               # a model needs one row per id",
    ]
    if personal:
        lines += ["personal = true", 'legal_basis = "consent"', 'evidence = "say where it is kept"']
    else:
        lines.append("personal = false")
    for column, kind, use in columns:
        lines += ["[[datasets.columns]]", f"name = {_text(column)}", f"kind = {_text(kind)}",
                  f"uses = [{_text(use)}]"]  # fmt: skip
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
