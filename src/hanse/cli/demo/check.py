"""The demo's own check: what was published against the plain twin over all four organisations' files.

Only the demo can do this, since only here all data lie on one machine. The true count must lie within the noise
around every published value (that of its arm and segment: stages are made to agree with each other); a suppressed
count must be one that the noise can have brought below its threshold. The intervals hold for all values of the
demo together with a probability of 99.9 %, so that a right result fails the check once in a thousand runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hanse.contracts import Contract

TOGETHER = 0.999


@dataclass
class Findings:
    """What the check has found so far."""

    published: int = 0
    suppressed: int = 0
    largest: int = 0  # difference between a published value and the truth, in people
    widest: int = 0  # half an interval, in people
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.wrong


def tables(files: Mapping[str, Path]) -> dict[str, Any]:
    """All four files as the twin wants them: the contract's column names, and ``id``."""
    import duckdb

    columns = {
        "exposures": "start_date as at, campaign_id as campaign",
        "redemptions": "redemption_date as at",
        "baskets": "paid_at as at, cast(round(dollars * 100) as bigint) as amount",
        "people": "age, children",
    }
    with duckdb.connect() as database:
        return {
            name: database.sql(
                f"select household_id as id, {columns[name]} from read_parquet(?)",
                params=[str(path)],
            ).to_arrow_table()
            for name, path in files.items()
        }


def compare(
    findings: Findings, question: Mapping[str, Any], rows: list[dict[str, Any]], contract: Contract,
    everything: Mapping[str, Any], values: int,
) -> None:  # fmt: skip
    """Add one question's rows; ``values`` is how many the whole demo opens."""
    from hanse import menu
    from hanse.gate.laws import half_width

    entry = menu.entry(str(question["computation"]))
    plan = entry.planned(question["parameters"], contract, float(question["epsilon"]), True)
    truth = entry.twin(plan, everything, contract)
    thresholds = plan.release.thresholds()
    level = 1 - (1 - TOGETHER) / values
    halves = [half_width(*plan.release.spread(i), level) for i in range(len(truth))]
    around: dict[tuple[str, str], int] = {}
    for (arm, segment, _), half in zip(plan.outputs, halves, strict=True):
        around[arm, segment] = max(half, around.get((arm, segment), 0))
    for number, (row, exact) in enumerate(zip(rows, truth.tolist(), strict=True)):
        half = halves[number]
        findings.widest = max(findings.widest, half)
        name = f"{row['arm']}, {row['segment']}, {row['stage']}"
        if (row["arm"], row["segment"], row["stage"]) != plan.outputs[number]:
            findings.wrong.append(f"{name} is not the row that was asked for")
        elif row["people"] is None:
            findings.suppressed += 1
            if exact - half >= int(thresholds[number]):
                findings.wrong.append(f"{name} was suppressed, but has {exact} people")
        else:
            findings.published += 1
            half = around[row["arm"], row["segment"]]
            findings.largest = max(findings.largest, abs(row["people"] - exact))
            if abs(row["people"] - exact) > half:
                findings.wrong.append(
                    f"{name}: {row['people']} people were published, {exact} there are (± {half})"
                )
