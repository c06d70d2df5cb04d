"""A form for every question: what it lets choose, from the contract's own terms, and the question it makes.

A form holds what is asked most; everything else can be written into the question's text before it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from starlette.datastructures import FormData

from hanse.errors import Refusal

Document = dict[str, Any]
MOST_STAGES = 6
NOTHING = ""
JOURNEY = ("offline", "online", "online_mall", "stores", "scans", "payments", "repeats", "topics")
LEVELS = ("place", "h3", "district", "city")
MODELS = ("last", "first", "linear", "time_decay", "position")


@dataclass(frozen=True)
class Field:
    """One thing to choose. ``kind``: one, many, number, text, check or stages; ``options`` are value and label."""

    key: str
    kind: str
    options: tuple[tuple[str, str], ...] = ()
    usual: Any = ""
    needed: bool = False
    most: int = 0  # of a number; rows of stages


@dataclass(frozen=True)
class Offer:
    """What a contract's terms give a computation to choose from, as (value, label)."""

    dated: tuple[tuple[str, str], ...] = ()  # datasets whose events have times
    datasets: tuple[tuple[str, str], ...] = ()
    segments: tuple[tuple[str, str], ...] = ()  # dataset.column that results may be broken down by
    values: tuple[tuple[str, str], ...] = ()  # dataset.column that may be added up
    places: tuple[tuple[str, str], ...] = ()  # dataset.column that says where
    day: date = field(default_factory=date.today)


def offer(terms: Mapping[str, Any], computation: str, today: date) -> Offer:
    """The choices under these terms."""
    clause = next((c for c in terms.get("computations", []) if c["name"] == computation), None)
    names = clause["datasets"] if clause is not None else []
    datasets = [d for d in terms["datasets"] if d["name"] in names]

    def columns(use: str) -> tuple[tuple[str, str], ...]:
        return tuple(
            (f"{d['name']}.{c['name']}", f"{d['name']} · {c['name']} ({d['provider']})")
            for d in datasets
            for c in d.get("columns", [])
            if use in c["uses"]
        )

    labels = tuple((d["name"], f"{d['name']} ({d['provider']})") for d in datasets)
    dated = {v.partition(".")[0] for v, _ in columns("order")}
    return Offer(
        tuple(one for one in labels if one[0] in dated), labels, columns("segment"), columns("value"),
        columns("place"), today,
    )  # fmt: skip


def fields_of(computation: str, o: Offer) -> list[Field]:
    """The form of a computation; empty for one that is only asked as text."""
    period = [
        Field("starts", "day", usual=(o.day - timedelta(days=28)).isoformat(), needed=True),
        Field("ends", "day", usual=o.day.isoformat(), needed=True),
    ]
    made = _FIELDS.get(computation)
    return [*made(o), *period] if made is not None else []


def parameters_of(computation: str, given: FormData) -> Document:
    """The parameters that a filled-in form means. Raises `Refusal` ``question.form`` naming the field."""
    made = _PARAMETERS.get(computation)
    if made is None:
        raise Refusal("question.form", f"there is no form for {computation[:40]!r}",
                      remedy="write the question as text")  # fmt: skip
    found = made(_Given(given))
    period = {"starts": _text(given, "starts"), "ends": _text(given, "ends")}
    return {
        key: value for key, value in (found | period).items() if value not in (None, "", [], {})
    }


# --- the fields -------------------------------------------------------------------------------------


def _funnel(o: Offer) -> list[Field]:
    return [
        Field("stages", "stages", o.datasets, needed=True, most=MOST_STAGES),
        Field("by", "one", o.segments),
        Field("compare_with", "one", o.datasets),
        Field("ordered", "check", usual=True),
    ]


def _journey(o: Offer) -> list[Field]:
    return [
        Field("campaign", "text", needed=True),
        *(Field(stage, "one", o.datasets) for stage in JOURNEY),
        Field("by", "many", o.segments),
        Field("compare_with", "one", o.datasets),
        Field("attraction_days", "number", usual=30, most=3660),
        Field("action_days", "number", usual=30, most=3660),
        Field("loyalty_days", "number", usual=60, most=3660),
    ]


def _reach(o: Offer) -> list[Field]:
    return [
        Field("exposures", "many", o.datasets, needed=True),
        Field("most_frequency", "number", usual=10, most=32),
        Field("universe", "number", most=1 << 36),
        Field("by", "one", o.segments),
    ]


def _overlap(o: Offer) -> list[Field]:
    return [
        Field("crowds", "many", o.datasets, needed=True),
        Field("universe", "number", most=1 << 36),
    ]


def _attribution(o: Offer) -> list[Field]:
    channels = (*((f"credit:{v}", label) for v, label in o.segments), *o.dated)
    return [
        Field("touches", "many", channels, needed=True),
        Field("conversions", "one", o.dated, needed=True),
        Field("value", "one", o.values),
        Field("model", "choice", tuple((m, m) for m in MODELS), usual="last"),
        Field("window_days", "number", usual=28, most=366),
    ]


def _lift(o: Offer) -> list[Field]:
    return [
        Field("exposed", "one", o.datasets, needed=True),
        Field("base", "one", o.datasets, needed=True),
        Field("outcome", "one", o.datasets, needed=True),
        Field("value", "one", o.values),
        Field("by", "one", o.segments),
        Field("randomised", "check"),
    ]


def _portrait(o: Offer) -> list[Field]:
    return [
        Field("crowd", "one", o.datasets, needed=True),
        Field("labels", "many", o.segments, needed=True),
        Field("base", "one", o.datasets),
    ]


def _concentration(o: Offer) -> list[Field]:
    return [
        Field("target", "one", o.datasets, needed=True),
        Field("base", "one", o.datasets),
        Field("at", "many", o.places, needed=True),
        Field("levels", "many", tuple((x, x) for x in LEVELS), usual=("h3",), needed=True),
        Field("least", "number", usual=0, most=1 << 30),
        Field("top", "number", usual=30, most=1000),
    ]


_FIELDS: Mapping[str, Callable[[Offer], list[Field]]] = {
    "funnel": _funnel, "journey": _journey, "reach": _reach, "overlap": _overlap,
    "attribution": _attribution, "lift": _lift, "portrait": _portrait, "concentration": _concentration,
}  # fmt: skip


# --- the parameters ---------------------------------------------------------------------------------


class _Given:
    """What was filled in."""

    def __init__(self, form: FormData) -> None:
        self._form = form

    def text(self, key: str, needed: bool = False) -> str:
        value = _text(self._form, key)
        if needed and not value:
            raise _missing(key)
        return value

    def many(self, key: str) -> list[str]:
        found = [v for v in self._form.getlist(key) if isinstance(v, str) and v]
        if not found:
            raise _missing(key)
        return found

    def some(self, key: str) -> list[str]:
        return [v for v in self._form.getlist(key) if isinstance(v, str) and v]

    def number(self, key: str) -> int | float | None:
        return _number(key, _text(self._form, key))

    def segment(self, key: str) -> Document | None:
        value = self.text(key)
        return _column(value) if value else None


def _text(form: FormData, key: str) -> str:
    value = form.get(key, "")
    return value.strip() if isinstance(value, str) else ""


def _number(key: str, text: str) -> int | float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise Refusal("question.form", f"{key} is not a number", remedy="give a number") from error
    return int(value) if value.is_integer() else value


def _missing(key: str) -> Refusal:
    return Refusal("question.form", f"nothing is chosen for {key}", remedy="choose it, then look again",
                   where=key)  # fmt: skip


def _column(value: str) -> Document:
    dataset, _, column = value.partition(".")
    return {"dataset": dataset, "column": column}


def _crowd(name: str) -> Document | None:
    return {"dataset": name} if name else None


def _stages(g: _Given) -> Iterable[Document]:
    for number in range(MOST_STAGES):
        dataset = g.text(f"stage_{number}")
        if dataset:
            days = g.number(f"days_{number}")
            name = g.text(f"name_{number}") or dataset
            yield {"name": name, "any_of": [{"dataset": dataset}]} | (
                {"within_days": days} if days else {}
            )


def _funnel_of(g: _Given) -> Document:
    stages = list(_stages(g))
    if not stages:
        raise _missing("stages")
    return {"stages": stages, "by": g.segment("by"), "compare_with": g.text("compare_with"),
            "ordered": bool(g.text("ordered"))}  # fmt: skip


def _journey_of(g: _Given) -> Document:
    sources = {stage: [{"dataset": g.text(stage)}] if g.text(stage) else [] for stage in JOURNEY}
    return {"campaign": g.text("campaign", needed=True), **sources,
            "by": [_column(v) for v in g.some("by")], "compare_with": g.text("compare_with"),
            **{key: g.number(key) for key in ("attraction_days", "action_days", "loyalty_days")}}  # fmt: skip


def _reach_of(g: _Given) -> Document:
    return {"exposures": [{"dataset": name} for name in g.many("exposures")],
            "most_frequency": g.number("most_frequency"), "universe": g.number("universe"),
            "by": g.segment("by")}  # fmt: skip


def _overlap_of(g: _Given) -> Document:
    return {"crowds": [{"name": name, "dataset": name} for name in g.many("crowds")],
            "universe": g.number("universe")}  # fmt: skip


def _attribution_of(g: _Given) -> Document:
    touches = []
    for touch in g.many("touches"):
        kind, colon, column = touch.partition(":")
        if colon and kind == "credit":
            found = _column(column)
            touches.append({"dataset": found["dataset"], "credit": found["column"]})
        else:
            touches.append({"dataset": touch, "name": touch})
    conversions: Document = {"dataset": g.text("conversions", needed=True)}
    value = g.segment("value")
    if value is not None:
        if value["dataset"] != conversions["dataset"]:
            raise Refusal("question.form", "the value is not one of the conversions' dataset",
                          remedy="choose a value of the same dataset, or none", where="value")  # fmt: skip
        conversions["value"] = value["column"]
    return {"touches": touches, "conversions": conversions, "model": g.text("model"),
            "window_days": g.number("window_days")}  # fmt: skip


def _lift_of(g: _Given) -> Document:
    outcomes: list[Document] = [
        {"name": g.text("outcome", needed=True), "dataset": g.text("outcome")}
    ]
    value = g.segment("value")
    if value is not None:
        outcomes.append({"name": f"{value['dataset']} {value['column']}", **value})
    return {"exposed": _crowd(g.text("exposed", needed=True)), "base": _crowd(g.text("base", needed=True)),
            "outcomes": outcomes, "by": g.segment("by"), "randomised": bool(g.text("randomised"))}  # fmt: skip


def _portrait_of(g: _Given) -> Document:
    labels = [{"name": value, **_column(value)} for value in g.many("labels")]
    return {"crowd": _crowd(g.text("crowd", needed=True)), "labels": labels,
            "base": _crowd(g.text("base"))}  # fmt: skip


def _concentration_of(g: _Given) -> Document:
    target = g.text("target", needed=True)
    where = [{"name": value, **_column(value)} for value in g.many("at")]
    return {"targets": {target: {"dataset": target}}, "base": _crowd(g.text("base")), "at": where,
            "levels": g.many("levels"), "least": g.number("least"), "top": g.number("top")}  # fmt: skip


_PARAMETERS: Mapping[str, Callable[[_Given], Document]] = {
    "funnel": _funnel_of, "journey": _journey_of, "reach": _reach_of, "overlap": _overlap_of,
    "attribution": _attribution_of, "lift": _lift_of, "portrait": _portrait_of,
    "concentration": _concentration_of,
}  # fmt: skip
