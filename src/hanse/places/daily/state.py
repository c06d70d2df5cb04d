"""A trained crowd model as plain values, so that an owner's node keeps, signs and ends it like any other model.

What an owner keeps is its own: the levels and traits of its places, the days' common rhythm (which all owners
have), the blend of the rules, and how far off it was. Nothing of map, operator or payments is in it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault
from hanse.places.crowd.federation import Federation
from hanse.places.crowd.ground import Calendar, Ground
from hanse.places.crowd.judgement import Scores
from hanse.places.crowd.model import Crowd, CrowdSettings
from hanse.places.crowd.newcomers import Prior
from hanse.places.crowd.outlook import Kernels, Outlooks
from hanse.places.crowd.rhythm import Rhythm, Traits
from hanse.places.feeds import day

FORM = "crowd-1"
Document = dict[str, Any]


def state_of(crowd: Crowd, calendar: Calendar, keys: tuple[str, ...]) -> Document:
    """Everything that `crowd_of` needs. ``keys`` are the names of all places, ``crowd.own`` counts in them."""
    prior = crowd.prior
    return {
        "form": FORM, "first": str(calendar.days[0]), "newest": crowd._newest, "lag": crowd._lag,
        "own": [keys[place] for place in crowd.own.tolist()],
        "days": _packed(crowd._days), "noise": crowd.rhythm.noise,
        "gram": _packed(crowd.rhythm.gram),
        "level": _packed(crowd.traits.level), "traits": _packed(crowd.traits.traits),
        "teach": _packed(crowd.traits.teach.astype(np.float64)),
        "weights": _packed(crowd.weights), "deviation": _packed(crowd._deviation),
        "regular": _scores(crowd._regular_scores),
        "prior": None if prior is None else {
            "places": list(keys), "mean": _packed(prior.mean), "covariance": _packed(prior.covariance),
            "spread": _packed(prior.spread),
            "scores": {str(count): _scores(one) for count, one in crowd._newcomer_scores.items()},
        },
    }  # fmt: skip


def crowd_of(
    state: Mapping[str, Any], federation: Federation, ground: Ground, calendar: Calendar,
    settings: CrowdSettings, kernels: Kernels | None = None,
) -> Crowd:  # fmt: skip
    """The model on another calendar. Places that are no longer in the list are left out.

    Raises `Fault` ``crowd.state`` for what is no such state.
    """
    try:
        return _crowd_of(state, federation, ground, calendar, settings, kernels)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Fault("crowd.state", "the kept model cannot be read by this version",
                    remedy="train it again: hanse crowd-days train") from error  # fmt: skip


def _crowd_of(
    state: Mapping[str, Any], federation: Federation, ground: Ground, calendar: Calendar,
    settings: CrowdSettings, kernels: Kernels | None,
) -> Crowd:  # fmt: skip
    if state["form"] != FORM:
        raise ValueError("another form")
    place = {key: number for number, key in enumerate(ground.keys)}
    kept = np.array([row for row, key in enumerate(state["own"]) if key in place], np.int64)
    own = np.array([place[state["own"][row]] for row in kept.tolist()], np.int64)
    crowd = Crowd(federation, ground, calendar, own, None, settings, kernels)
    rows = _unpacked(state["days"])
    offset = int((day(state["first"]) - calendar.days[0]).astype(int))
    days = np.full((calendar.size, rows.shape[1]), np.nan)
    old = np.arange(rows.shape[0])
    inside = (old + offset >= 0) & (old + offset < calendar.size)
    days[old[inside] + offset] = rows[inside]
    crowd._days = days
    crowd._newest = int(state["newest"]) + offset
    crowd._lag = int(state["lag"])
    crowd.rhythm = Rhythm(days, float(state["noise"]), _unpacked(state["gram"]))
    crowd._outlooks = Outlooks(crowd._kernels, days, np.zeros((calendar.size, 0)))
    crowd.traits = Traits(
        _unpacked(state["level"])[kept],
        _unpacked(state["traits"])[kept],
        _unpacked(state["teach"])[kept] > 0.5,
    )
    crowd.weights = _unpacked(state["weights"])
    crowd._deviation = _unpacked(state["deviation"])[kept]
    crowd._regular_scores = _scores_of(state["regular"])
    crowd._told = {}
    crowd.prior = None
    if state["prior"] is not None:
        crowd.prior = _prior_of(state["prior"], place)
        crowd._newcomer_scores = {
            int(count): _scores_of(one) for count, one in state["prior"]["scores"].items()
        }
    return crowd


def _prior_of(state: Mapping[str, Any], place: Mapping[str, int]) -> Prior:
    """Of every place in the list; one that is new in it is expected to be like the average place."""
    mean, spread = _unpacked(state["mean"]), _unpacked(state["spread"])
    whole = np.tile(mean.mean(axis=0), (len(place), 1))
    wide = np.full(len(place), 2.0)
    for row, key in enumerate(state["places"]):
        if key in place:
            whole[place[key]], wide[place[key]] = mean[row], spread[row]
    return Prior(whole, whole, _unpacked(state["covariance"]), wide)


def _scores(scores: Scores) -> Document:
    limit = scores.limit if np.isfinite(scores.limit) else 1e9
    return {
        "low": scores.low, "high": scores.high, "limit": limit, "shift": _packed(scores.shift),
        "p30": _packed(scores.p30), "confidence": _packed(scores.confidence),
    }  # fmt: skip


def _scores_of(state: Mapping[str, Any]) -> Scores:
    return Scores(
        float(state["low"]), float(state["high"]), _unpacked(state["shift"]), _unpacked(state["p30"]),
        _unpacked(state["confidence"]), float(state["limit"]),
    )  # fmt: skip


def _packed(values: NDArray[np.float64]) -> Document:
    array = np.ascontiguousarray(values, "<f8")
    return {
        "shape": list(array.shape),
        "float64": base64.b64encode(array.tobytes()).decode("ascii"),
    }


def _unpacked(packed: Mapping[str, Any]) -> NDArray[np.float64]:
    flat = np.frombuffer(base64.b64decode(packed["float64"], validate=True), "<f8")
    return flat.reshape(tuple(packed["shape"])).astype(np.float64)
