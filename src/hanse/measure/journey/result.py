"""The cross-scenario report as its recipient reads it: figures, sentences, tables, pictures and one page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.measure.funnel import result as funnel_result
from hanse.measure.funnel.picture import picture
from hanse.measure.funnel.result import FunnelRow
from hanse.measure.journey.protocol import JourneyPlan
from hanse.measure.tables import people, percent, told
from hanse.tables import Table

_TEXT = ("leg", "channel", "breakdown", "arm", "segment", "stage", "suppressed")


@dataclass(frozen=True)
class JourneyRow:
    """One figure. ``uplift`` is the exposed people's share of the first stage less that of the not exposed."""

    leg: str
    channel: str
    breakdown: str
    arm: str
    segment: str
    stage: str
    people: int | None
    low: float | None
    high: float | None
    rate: float | None
    rate_low: float | None
    rate_high: float | None
    overall: float | None
    overall_low: float | None
    overall_high: float | None
    uplift: float | None
    uplift_low: float | None
    uplift_high: float | None
    suppressed: str

    def body(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def as_funnel(self) -> FunnelRow:
        """The same figure as a funnel's row, for its picture."""
        names = [f.name for f in fields(FunnelRow)]
        return FunnelRow(**{name: getattr(self, name) for name in names})


_SCHEMA = pa.schema(
    [
        (f.name, pa.string() if f.name in _TEXT else pa.int64() if f.name == "people" else pa.float64())
        for f in fields(JourneyRow)
    ]
)  # fmt: skip


@dataclass(frozen=True)
class JourneyResult:
    """All figures of the report, in the order: leg, channel, breakdown, arm, segment, stage."""

    campaign: str
    period: tuple[str, str]
    rows: tuple[JourneyRow, ...]

    def to_arrow(self) -> pa.Table:
        """One row per figure; the columns are `JourneyRow`'s, null where suppressed."""
        return pa.Table.from_pylist([row.body() for row in self.rows], schema=_SCHEMA)

    def of(self, leg: str, channel: str = "", breakdown: str = "") -> tuple[JourneyRow, ...]:
        """The figures of one funnel."""
        key = leg, channel, breakdown
        return tuple(r for r in self.rows if (r.leg, r.channel, r.breakdown) == key)

    @property
    def keys(self) -> list[tuple[str, str, str]]:
        """(leg, channel, breakdown) of every funnel, in order."""
        return list(dict.fromkeys((r.leg, r.channel, r.breakdown) for r in self.rows))

    @property
    def legs(self) -> list[str]:
        return list(dict.fromkeys(r.leg for r in self.rows))

    def sentences(self) -> list[str]:
        """What the report says in words, leg by leg, for everybody."""
        return [line for leg in self.legs for line in _sentences(self.of(leg))]

    def tables(self) -> list[Table]:
        """One table per funnel and breakdown."""
        return [_table(key, self.of(*key)) for key in self.keys]

    def body(self) -> dict[str, Any]:
        """Plain values for storage and the wire."""
        return {
            "computation": "journey",
            "campaign": self.campaign,
            "period": list(self.period),
            "tables": [table.body() for table in self.tables()],
            "notes": self.sentences(),
            "rows": [row.body() for row in self.rows],
        }

    def __str__(self) -> str:
        """Sentences and tables for people to read."""
        head = f"{self.campaign}, {self.period[0]} to {self.period[1]}"
        return (
            told(self.tables(), [])
            if not self.sentences()
            else "\n".join([head, *(f"- {s}" for s in self.sentences()), "", told(self.tables())])
        )

    def to_svg(self, leg: str = "", channel: str = "") -> str:
        """The picture of one leg for everybody (by default the last, which goes furthest), as SVG text."""
        return picture([r.as_funnel() for r in self.of(leg or self.legs[-1], channel)])

    def to_html(self) -> str:
        """The report as one page that stands by itself: no script, nothing loaded, prints well."""
        return "".join(_page(self))


def _sentences(rows: tuple[JourneyRow, ...]) -> Iterator[str]:
    exposed = [r for r in rows if r.arm in ("exposed", "all")]
    first = exposed[0]
    for before, row in pairwise(exposed):
        if row.rate is None:
            yield f"{before.stage} → {row.stage}: suppressed, too few people."
            continue
        said = (
            f"Of {people(before.people)} people ({before.stage}), "
            f"{percent(row.rate, row.rate_low, row.rate_high)} went on to: {row.stage}"
        )
        if row.uplift is not None and before is first:
            more = "more" if row.uplift >= 0 else "less"
            low, high = sorted((abs(row.uplift_low or 0.0), abs(row.uplift_high or 0.0)))
            if (row.uplift_low or 0.0) * (row.uplift_high or 0.0) <= 0:
                said += "; no difference to the not exposed can be told"
            else:
                said += (
                    f", {abs(row.uplift) * 100:.1f} points ({low * 100:.1f}–{high * 100:.1f}) {more} "
                    "than of the not exposed"
                )
        yield said + "."


def _table(key: tuple[str, str, str], rows: tuple[JourneyRow, ...]) -> Table:
    leg, channel, breakdown = key
    title = (
        leg
        + (f", channel {channel}" if channel else "")
        + (f", by {breakdown}" if breakdown else "")
    )
    arms = len({r.arm for r in rows}) > 1
    heads = ("arm",) * arms + (breakdown,) * bool(breakdown) + (
        "stage", "people", "of the stage before", "of the first", "points over not exposed",
    )  # fmt: skip
    lines = []
    for r in rows:
        lead = ((r.arm,) if arms else ()) + ((r.segment,) if breakdown else ())
        lines.append(
            (
                *lead, r.stage, people(r.people, r.low, r.high),
                percent(r.rate, r.rate_low, r.rate_high),
                percent(r.overall, r.overall_low, r.overall_high),
                _points(r),
            )
        )  # fmt: skip
    number = len(heads)
    return Table(title, heads, tuple(lines), tuple(range(number - 4, number)))


def _points(r: JourneyRow) -> str:
    if r.uplift is None or r.uplift_low is None or r.uplift_high is None:
        return ""
    return f"{r.uplift * 100:+.1f} ({r.uplift_low * 100:+.1f} to {r.uplift_high * 100:+.1f})"


# --- the page ---------------------------------------------------------------------------------------

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#24292f;"
    "background:#fff}h1{font-size:1.6rem}h2{margin-top:2.2rem;font-size:1.2rem}h3{font-size:1rem}"
    "table{border-collapse:collapse;width:100%;font-size:14px}caption{text-align:left;font-weight:600;"
    "padding:.6rem 0}th,td{padding:.25rem .6rem;border-bottom:1px solid #d0d7de;text-align:left}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}td.n{white-space:nowrap}.quiet{color:#57606a}"
    "svg{max-width:100%;height:auto}div.wide{overflow-x:auto}"
    "@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}th,td{border-color:#30363d}"
    ".quiet{color:#9da7b1}}@media print{h2{break-after:avoid}table,svg{break-inside:avoid}}"
)


def _page(result: JourneyResult) -> Iterator[str]:
    title = escape(f"{result.campaign}: cross-scenario report")
    yield (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main><h1>{title}</h1>"
    )
    starts, ends = map(escape, result.period)
    yield f'<p class="quiet">{starts} to {ends} (the last day is not in it)</p>'
    yield "<ul>" + "".join(f"<li>{escape(s)}</li>" for s in result.sentences()) + "</ul>"
    for leg in result.legs:
        yield f"<h2>{escape(leg[:1].upper() + leg[1:])}</h2>{result.to_svg(leg)}"
        for key in result.keys:
            if key[0] == leg:
                yield _html_table(_table(key, result.of(*key)))
    reasons = dict.fromkeys(r.suppressed for r in result.rows if r.suppressed)
    if reasons:
        yield "<h2>Suppressed figures</h2><ul>"
        yield "".join(f"<li>{escape(reason)}</li>" for reason in reasons) + "</ul>"
    yield (
        '<p class="quiet">In brackets: 95 % intervals, which hold the noise that protects people and, for '
        "rates, chance as in a sample. People of the comparison were not exposed, but not at random: the "
        "difference is not proof of an effect.</p></main></body></html>\n"
    )


def _html_table(table: Table) -> str:
    def cell(tag: str, number: int, text: str) -> str:
        kind = ' class="n"' if number in table.right else ""
        scope = ' scope="col"' if tag == "th" else ""
        return f"<{tag}{kind}{scope}>{escape(text)}</{tag}>"

    head = "".join(cell("th", i, text) for i, text in enumerate(table.heads))
    lines = "".join(
        "<tr>" + "".join(cell("td", i, text) for i, text in enumerate(row)) + "</tr>"
        for row in table.rows
    )
    return (
        f'<div class="wide"><table><caption>{escape(table.title)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


# --- from the opened outputs ------------------------------------------------------------------------


def result(
    p: JourneyPlan, values: NDArray[np.int64], published: NDArray[np.bool_]
) -> JourneyResult:
    """The report from the opened outputs [outputs]. Post-processing only: costs no privacy."""
    found: list[JourneyRow] = []
    for piece, start in zip(p.pieces, p.starts(), strict=True):
        outputs = slice(start, start + piece.plan.release.outputs)
        rows = funnel_result.result(piece.plan, values[outputs], published[outputs]).rows
        for row in rows:
            if piece.breakdown and row.segment == "all":
                continue  # told with less noise by the funnel for everybody
            uplift = _uplift(row, rows)
            found.append(
                JourneyRow(
                    piece.leg.title, piece.leg.channel, piece.breakdown, row.arm, row.segment, row.stage,
                    row.people, row.low, row.high, row.rate, row.rate_low, row.rate_high, row.overall,
                    row.overall_low, row.overall_high, *uplift, row.suppressed,
                )
            )  # fmt: skip
    question = p.question
    period = question.starts.isoformat(), question.ends.isoformat()
    return JourneyResult(question.campaign, period, tuple(found))


def _uplift(
    row: FunnelRow, rows: tuple[FunnelRow, ...]
) -> tuple[float | None, float | None, float | None]:
    """Difference of the two arms' shares of the first stage, with its interval.

    Source: Newcombe 1998, method 10: from each arm's own interval, which here holds the noise too.
    """
    other = next(
        (r for r in rows if (r.arm, r.segment, r.stage) == ("not exposed", row.segment, row.stage)), None
    )  # fmt: skip
    if row.arm != "exposed" or other is None:
        return None, None, None
    a = row.overall, row.overall_low, row.overall_high
    b = other.overall, other.overall_low, other.overall_high
    if a[0] is None or a[1] is None or a[2] is None or b[0] is None or b[1] is None or b[2] is None:
        return None, None, None
    difference = a[0] - b[0]
    low = difference - math.hypot(a[0] - a[1], b[2] - b[0])
    high = difference + math.hypot(a[2] - a[0], b[0] - b[1])
    return difference, max(-1.0, low), min(1.0, high)
