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
from hanse.places.crowd.model import Crowd, CrowdSettings, Kept
from hanse.places.crowd.newcomers import Prior
from hanse.places.crowd.outlook import Kernels
from hanse.places.crowd.rhythm import Rhythm, Traits
from hanse.places.feeds.feed import day

FORM = "crowd-1"
Document = dict[str, Any]


def state_of(crowd: Crowd, calendar: Calendar, keys: tuple[str, ...]) -> Document:
    """Everything that `crowd_of` needs. ``keys`` are the names of all places, ``crowd.own`` counts in them."""
    kept = crowd.state()
    prior = kept.prior
    return {
        "form": FORM, "first": str(calendar.days[0]), "newest": kept.newest, "lag": kept.lag,
        "own": [keys[place] for place in kept.own.tolist()],
        "days": _packed(kept.days), "noise": kept.rhythm.noise, "weekdays": kept.rhythm.weekdays,
        "gram": _packed(kept.rhythm.gram),
        "level": _packed(kept.traits.level), "traits": _packed(kept.traits.traits),
        "teach": _packed(kept.traits.teach.astype(np.float64)),
        "weights": _packed(kept.weights), "deviation": _packed(kept.deviation),
        "regular": _scores(kept.regular),
        "prior": None if prior is None else {
            "places": list(keys), "mean": _packed(prior.mean), "covariance": _packed(prior.covariance),
            "spread": _packed(prior.spread),
            "scores": {str(count): _scores(one) for count, one in kept.newcomers.items()},
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
    rows = unpacked(state["days"])
    offset = int((day(state["first"]) - calendar.days[0]).astype(int))
    days = np.full((calendar.size, rows.shape[1]), np.nan)
    old = np.arange(rows.shape[0])
    inside = (old + offset >= 0) & (old + offset < calendar.size)
    days[old[inside] + offset] = rows[inside]
    traits = Traits(
        unpacked(state["level"])[kept],
        unpacked(state["traits"])[kept],
        unpacked(state["teach"])[kept] > 0.5,
    )
    prior, newcomers = None, {}
    if state["prior"] is not None:
        prior = _prior_of(state["prior"], place)
        newcomers = {int(count): _scores_of(one) for count, one in state["prior"]["scores"].items()}
    found = Kept(
        own, days, int(state["newest"]) + offset, int(state["lag"]),
        Rhythm(days, float(state["noise"]), unpacked(state["gram"]), float(state["weekdays"])), traits,
        unpacked(state["weights"]), unpacked(state["deviation"])[kept], _scores_of(state["regular"]), prior,
        newcomers,
    )  # fmt: skip
    crowd.restore(found, np.zeros((calendar.size, 0)))
    return crowd


def _prior_of(state: Mapping[str, Any], place: Mapping[str, int]) -> Prior:
    """Of every place in the list; one that is new in it is expected to be like the average place."""
    mean, spread = unpacked(state["mean"]), unpacked(state["spread"])
    whole = np.tile(mean.mean(axis=0), (len(place), 1))
    wide = np.full(len(place), 2.0)
    for row, key in enumerate(state["places"]):
        if key in place:
            whole[place[key]], wide[place[key]] = mean[row], spread[row]
    return Prior(whole, whole, unpacked(state["covariance"]), wide)


def _scores(scores: Scores) -> Document:
    limit = scores.limit if np.isfinite(scores.limit) else 1e9
    return {
        "low": scores.low, "high": scores.high, "limit": limit, "shift": _packed(scores.shift),
        "p30": _packed(scores.p30), "confidence": _packed(scores.confidence),
    }  # fmt: skip


def _scores_of(state: Mapping[str, Any]) -> Scores:
    return Scores(
        float(state["low"]), float(state["high"]), unpacked(state["shift"]), unpacked(state["p30"]),
        unpacked(state["confidence"]), float(state["limit"]),
    )  # fmt: skip


def _packed(values: NDArray[np.float64]) -> Document:
    array = np.ascontiguousarray(values, "<f8")
    return {
        "shape": list(array.shape),
        "float64": base64.b64encode(array.tobytes()).decode("ascii"),
    }


def unpacked(packed: Mapping[str, Any]) -> NDArray[np.float64]:
    """An array of a state."""
    flat = np.frombuffer(base64.b64decode(packed["float64"], validate=True), "<f8")
    return flat.reshape(tuple(packed["shape"])).astype(np.float64)
