"""Cards and parts of every kind of model are told in words: no raw keys, and what a kind lacks breaks nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hanse.cli.model_card import show_block, show_card
from hanse.node.faces.model_pages import _block


def card(**changes: Any) -> dict[str, Any]:
    return {
        "model": "churn", "kind": "logistic", "training": "ab" * 32, "asked_by": "shop",
        "made": "2026-05-01T10:00:00+00:00", "expires": "2026-11-01T10:00:00+00:00",
        "contract": {"id": "spring", "version": 2, "hash": "cd" * 32}, "authorisation": "authorised-by-people",
        "evidence": "consent forms", "alignment": "hidden", "target": "customers.bought",
        "data": [{"party": "shop", "dataset": "customers", "columns": ["spend"], "commitment": "ef" * 32},
                 {"party": "media", "dataset": "audience", "columns": [], "commitment": "01" * 32}],
        "holds": {"shop": "the coefficients of its own columns"}, "metrics_told_to": ["shop"],
        "metrics": {"auc": 0.81, "auc_error": 0.0002, "log_loss": 0.5, "rows": 513.0, "ks": None},
        "disclosures": [{"what": "the coefficients", "to": ["shop"], "values": 12345},
                        {"what": "a bit an iteration", "to": ["seats"], "values": 1}],
    } | changes  # fmt: skip


GLM = {"learner": "glm", "coefficients": [0.5, -0.25], "intercept": 0.125}
NETWORK = {"learner": "network", "hidden": [8, 4], "parameters": [0.0] * 77}
TREE = {"column": [0, -1, -1], "position": [3, 0, 0], "missing_left": [True, False, False], "left": [1, -1, -1],
        "value": [0.0, 0.1, -0.1]}  # fmt: skip
SPLIT = {"tree": 0, "column": "spend", "missing_left": True, "threshold": 1.5, "codes": None}
STANDING = {"metric": "log_loss", "rows": 1554, "common": 0.61, "own_models": 0.62, "ensemble": 0.63,
            "beats_own_and_ensemble": True}  # fmt: skip


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return re.sub(r"\s+", " ", capsys.readouterr().out)


def test_a_linear_models_card(capsys: pytest.CaptureFixture[str]) -> None:
    show_card(card(iterations=1, converged=False, constant=["member"]))
    text = shown(capsys)
    for words in (
        "churn: logistic, of shop and media", "media: no columns of audience",
        "the people it is about authorised it", "nobody sees which rows match", "1 iteration, not settled",
        "member (no coefficient)", "On 513 rows kept apart",
        "AUC 0.81 ± 0.0002", "log-loss 0.5", "12,345", "shop holds the coefficients",
    ):  # fmt: skip
        assert words in text, words
    for raw in ("auc_error", "log_loss", "authorised-by-people", "a bit an iteration", "None"):
        assert raw not in text


def test_metrics_that_this_party_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    show_card(card(metrics={}, metrics_told_to=["shop", "media"]))
    assert "Metrics: told to shop and media" in shown(capsys)
    show_card(card(metrics={}, metrics_told_to=[]))
    assert "Metrics: told to nobody" in shown(capsys)


@pytest.mark.parametrize("beats", [True, False])
def test_a_card_of_pooled_rows_says_what_it_is_worth(
    capsys: pytest.CaptureFixture[str], beats: bool
) -> None:
    show_card(
        card(kind="horizontal-glm", alignment="none", choice="own", choices={"own": 1, "common": 2},
             standing=STANDING | {"beats_own_and_ensemble": beats, "ensemble": 0.63 if beats else None})
    )  # fmt: skip
    text = shown(capsys)
    assert "its own model: the common one is no better" in text
    assert "2 common, 1 own" in text
    assert "1,554 held-out rows" in text
    assert ("does not beat" in text) is not beats
    assert ("the average of own models" in text) is beats


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"form": "linear", "columns": ["spend"], "coefficients": [[0.5]], "intercepts": [0.1],
          "p_values": [0.03], "label": {"classes": []}}, ["spend 0.5 0.03", "(intercept's part) 0.1"]),
        ({"form": "linear", "columns": ["spend"], "coefficients": [[0.5], [1.5]], "intercepts": [0.1, 0.2],
          "label": {"classes": ["no", "yes"]}}, ["class no", "class yes", "spend 1.5"]),
        ({"form": "boosting", "role": "features", "splits": [SPLIT | {"gain": None}] * 3}, ["spend 3"]),
        ({"form": "boosting", "role": "label", "own": {"splits": [SPLIT | {"gain": 2.5}] * 2}}, ["spend 2 5"]),
        ({"form": "boosting", "role": "label", "own": {"splits": []}}, ["No split is of"]),
        ({"form": "horizontal", "share": 1.0, "columns": ["a", "b"], "common": GLM, "own": None},
         ["the common model", "a 0.5", "b -0.25", "(intercept) 0.125"]),
        ({"form": "horizontal", "share": 0.25, "columns": ["a", "b"], "common": GLM, "own": GLM},
         ["25% the common model, 75% this organisation's own", "this organisation's own model"]),
        ({"form": "horizontal", "share": 1.0, "columns": ["a"], "common": NETWORK, "own": None},
         ["8 and 4 hidden units, 77 parameters"]),
        ({"form": "horizontal", "share": 1.0, "columns": ["a"], "common": {"learner": "trees", "trees": [TREE] * 2},
          "own": None}, ["2 trees", "a 2"]),
    ],
)  # fmt: skip
def test_parts_of_every_form(
    capsys: pytest.CaptureFixture[str], block: dict[str, Any], words: list[str]
) -> None:
    show_block(block)
    text = shown(capsys)
    for said in words:
        assert said in text, said
    page = _block(block)  # the console shows the same parts
    if block["form"] == "horizontal" and block["common"]["learner"] == "trees":
        assert page["splits"] == 2
