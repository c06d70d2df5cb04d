"""Trained models as plain values for a party's store, and back.

Numbers are kept as Python's shortest round-trip form, so that a model read back predicts the same. Models that a
party brought itself (scikit-learn, PyTorch) are kept as parameters; whoever reads them gives what they belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault
from hanse.learn.horizontal.home import Scaling
from hanse.learn.horizontal.kinds import Kind
from hanse.learn.horizontal.models import LinearModel, LocalModel
from hanse.learn.horizontal.networks import Network
from hanse.learn.horizontal.own import Chosen, Fitted
from hanse.learn.horizontal.trees import Tree, Trees

FORMAT = 1


def document_of(fitted: Fitted) -> dict[str, Any]:
    """A model with its scale."""
    scaling, model = fitted.scaling, fitted.model
    out: dict[str, Any] = {
        "format": FORMAT,
        "kind": {"name": scaling.kind.name, "power": scaling.kind.power, "classes": scaling.kind.classes},
        "columns": list(scaling.columns), "mean": scaling.mean.tolist(), "spread": scaling.spread.tolist(),
        "shift": scaling.shift, "stretch": scaling.stretch, "total": scaling.total, "held": scaling.held,
        "keep_missing": scaling.keep_missing,
    }  # fmt: skip
    if isinstance(model, Trees):
        trees = [
            {"column": t.column.tolist(), "position": t.position.tolist(), "left": t.left.tolist(),
             "missing_left": t.missing_left.tolist(), "value": t.value.tolist()}
            for t in model.trees
        ]  # fmt: skip
        edges = [part.tolist() for part in model.edges]
        return out | {"model": "trees", "start": model.start, "edges": edges, "trees": trees}
    out["parameters"] = model.parameters().tolist()
    if isinstance(model, LinearModel):
        return out | {"model": "linear"}
    if isinstance(model, Network):
        return out | {"model": "network", "hidden": list(model.hidden)}
    return out | {"model": "other"}


def fitted_of(
    document: Mapping[str, Any], make: Callable[[Kind, int], LocalModel] | None = None
) -> Fitted:
    """The model of a document; ``make`` for one that a party brought itself. `Fault` where it cannot be read."""
    try:
        if document["format"] != FORMAT:
            raise Fault("learn.stored", "the model was stored by another version",
                        remedy="train it again, or read it with the version that wrote it")  # fmt: skip
        kind = Kind(**document["kind"])
        scaling = Scaling(
            kind, tuple(document["columns"]), _floats(document["mean"]), _floats(document["spread"]),
            float(document["shift"]), float(document["stretch"]), int(document["total"]), int(document["held"]),
            bool(document["keep_missing"]),
        )  # fmt: skip
        return Fitted(scaling, _model(document, kind, make))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Fault(
            "learn.stored", "a stored model cannot be read", remedy="train it again"
        ) from error


def _model(
    document: Mapping[str, Any], kind: Kind, make: Callable[[Kind, int], LocalModel] | None
) -> LocalModel | Trees:
    columns = len(document["columns"])
    what = document["model"]
    if what == "trees":
        trees = [
            Tree(_whole(t["column"]), _whole(t["position"]), np.array(t["missing_left"], np.bool_),
                 _whole(t["left"]), _floats(t["value"]))
            for t in document["trees"]
        ]  # fmt: skip
        return Trees(
            kind, tuple(_floats(e) for e in document["edges"]), float(document["start"]), trees
        )
    model: LocalModel
    if what == "linear":
        model = LinearModel(kind, columns)
    elif what == "network":
        model = Network(kind, columns, hidden=[int(size) for size in document["hidden"]])
    elif make is None:
        raise Fault("learn.stored", "a stored model needs the program that it was trained with",
                    remedy="give the function that makes it")  # fmt: skip
    else:
        model = make(kind, columns)
    parameters = _floats(document["parameters"])
    if parameters.shape != model.parameters().shape:
        raise Fault("learn.stored", "a stored model has other parameters than its program",
                    remedy="use the program that it was trained with")  # fmt: skip
    model.load(parameters)
    return model


def chosen_document(chosen: Chosen) -> dict[str, Any]:
    """What a party ended with: both models and the share of the common one."""
    return {
        "format": FORMAT, "what": chosen.what, "share": chosen.share, "own_loss": chosen.own_loss,
        "common_loss": chosen.common_loss, "loss": chosen.loss, "own": document_of(chosen.own),
        "common": document_of(chosen.common),
    }  # fmt: skip


def chosen_of(
    document: Mapping[str, Any], make: Callable[[Kind, int], LocalModel] | None = None
) -> Chosen:
    """The other way round."""
    try:
        losses = (float(document[name]) for name in ("own_loss", "common_loss", "loss"))
        own, common = fitted_of(document["own"], make), fitted_of(document["common"], make)
        return Chosen(str(document["what"]), float(document["share"]), own, common, *losses)
    except (KeyError, TypeError, ValueError) as error:
        raise Fault(
            "learn.stored", "a stored model cannot be read", remedy="train it again"
        ) from error


def _floats(values: Any) -> NDArray[np.float64]:
    return np.array(values, np.float64)


def _whole(values: Any) -> NDArray[np.int64]:
    return np.array(values, np.int64)
