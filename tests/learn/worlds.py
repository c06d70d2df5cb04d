"""Made-up tables of several parties with a label that depends on all of them; nobody here exists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.learn import Outcome, Table, rehearse, table_of

COLUMNS = 4
LEAST = 200


def frames(
    model: str, rows: int, parties: int = 2, seed: int = 3, share: float = 0.95
) -> list[dict[str, NDArray[Any]]]:
    """Columns by party; each lacks some people. Skewed, rare and correlated columns are among them."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, COLUMNS * parties))
    x[:, 1] = random.random(rows) < 0.05
    x[:, 2] += 0.9 * x[:, 0]
    x[:, COLUMNS] = np.exp(random.normal(size=rows))
    eta = x @ random.normal(size=x.shape[1]) * 0.3
    eta = np.clip(eta - eta.mean(), -4, 4)
    label = {
        "linear": lambda: 1000 + 50 * eta + random.normal(size=rows) * 30,
        "logistic": lambda: (random.random(rows) < 1 / (1 + np.exp(1 - eta))).astype(np.int64),
        "poisson": lambda: random.poisson(0.7 * np.exp(eta / 2)),
        "gamma": lambda: 250 * random.gamma(2.0, np.exp(eta / 2)),
        "tweedie": lambda: (
            90
            * random.gamma(np.maximum(1e-9, 2.0 * random.poisson(np.exp(eta / 3))), np.exp(eta / 6))
        ),
        "multinomial": lambda: three_classes(eta, x, random),
    }[model]()
    if model == "tweedie":
        label = np.where(label < 1e-6, 0.0, label)
    ids = np.array([f"person {n}" for n in range(rows)])
    made = []
    for party in range(parties):
        kept = np.sort(random.permutation(rows)[: int(share * rows)])
        table: dict[str, NDArray[Any]] = {"id": ids[kept]}
        if party == 0:
            table["y"] = label[kept]
        table |= {f"c{party}{c}": x[kept, COLUMNS * party + c] for c in range(COLUMNS)}
        made.append(table)
    return made


def three_classes(eta: NDArray[Any], x: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """5, 7 or 9; the third is rare."""
    scores = np.stack([eta, 0.5 * x[:, 3] + 0.2, 0.6 * x[:, -1] - 0.4 * eta - 1.3], axis=1)
    return 5 + 2 * (scores + random.gumbel(size=scores.shape)).argmax(axis=1)


def tables(made: list[dict[str, Any]]) -> list[Table]:
    """As parties called ``p0``, ``p1``, ...; the first has the label ``y``."""
    return [
        table_of(
            pa.table(columns),
            "id",
            "y" if number == 0 else None,
            f"p{number}",
            f"p{number}",
            weight="weight" if "weight" in columns else None,
            offset="offset" if "offset" in columns else None,
        )
        for number, columns in enumerate(made)
    ]


def learned(made: list[dict[str, Any]], model: str, **options: Any) -> Outcome:
    """A rehearsal on few rows."""
    return rehearse(tables(made), model, **({"least_rows": LEAST} | options))
