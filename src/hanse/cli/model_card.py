"""A model's card and this organisation's part of it, on a terminal, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from hanse.cli.screen import say, show

Document = dict[str, Any]
METRICS = {
    "auc": "AUC", "ks": "KS", "log_loss": "log-loss", "accuracy": "accuracy", "brier": "Brier score",
    "ece": "calibration error", "rmse": "RMSE", "mae": "MAE", "r2": "R2", "p30": "within 30 %",
    "deviance": "deviance", "loss": "loss",
}  # fmt: skip
AUTHORISATIONS = {
    "authorised-by-people": "the people it is about authorised it",
    "not-personal": "its rows are not people",
}
ALIGNMENTS = {
    "hidden": "matched on shares; nobody sees which rows match",
    "open": "matched in the open; the parties see which rows match",
    "none": "each party has rows of its own",
}
CHOICES = {
    "own": "its own model: the common one is no better on its held-out rows",
    "mixed": "a mixture of its own model and the common one",
    "common": "the common model",
}


def show_card(found: Mapping[str, Any]) -> None:
    """What a model is, what it rests on, how good it is, what was told to whom."""
    say(
        f"{found['model']}: {found['kind']}, of {_listed([d['party'] for d in found['data']])}",
        style="bold",
    )
    say(f"  Predicts:  {found['target']}")
    for data in found["data"]:
        columns = ", ".join(data["columns"]) or "no columns"
        say(f"  From:      {data['party']}: {columns} of {data['dataset']}")
    contract, evidence = found["contract"], found["evidence"]
    authorised = AUTHORISATIONS.get(found["authorisation"], found["authorisation"])
    say(f"  Contract:  {contract['id']}, version {contract['version']}; {authorised}"
        + (f" (evidence: {evidence})" if evidence else ""))  # fmt: skip
    say(f"  Rows:      {ALIGNMENTS.get(found['alignment'], found['alignment'])}")
    say(
        f"  Trained:   {found['made'][:16]} by job {found['training'][:12]}; ends {found['expires'][:10]}"
    )
    _show_training(found)
    _show_metrics(found)
    _show_standing(found)
    told = [o for o in found.get("disclosures", []) if o["to"] != ["seats"]]
    if told:
        show(("told", "to", "numbers"), [(o["what"], ", ".join(o["to"]), f"{o['values']:,}") for o in told],
             title="What was opened", right=(2,))  # fmt: skip
    for party, what in found["holds"].items():
        say(f"  {party} holds {what}.")


def _show_training(found: Mapping[str, Any]) -> None:
    if "iterations" in found:
        settled = (
            "settled"
            if found["converged"]
            else "not settled: separation, or columns that say the same"
        )
        say(f"  Training:  {_counted(found['iterations'], 'iteration')}, {settled}")
    if "trees" in found:
        say(
            f"  Training:  {_counted(found['trees'], 'tree')} over {found['rows']:,} rows in common"
        )
    if "choice" in found:
        say(f"  Kept:      {CHOICES.get(found['choice'], found['choice'])}")
    if found.get("choices"):
        kept = ", ".join(f"{count} {what}" for what, count in sorted(found["choices"].items()))
        say(f"  Parties:   so many kept which model: {kept}")
    if found.get("constant"):
        say(f"  Constant:  {', '.join(found['constant'])} (no coefficient)")


def _show_metrics(found: Mapping[str, Any]) -> None:
    figures = {k: v for k, v in found["metrics"].items() if isinstance(v, int | float)}
    if not figures:
        say(
            f"  Metrics:   told to {_listed(found['metrics_told_to']) if found['metrics_told_to'] else 'nobody'}"
        )
        return
    rows = figures.pop("rows", None)
    lines = []
    for name in sorted((n for n in figures if not n.endswith("_error")), key=_rank):
        error = figures.get(f"{name}_error")
        around = f" ± {error:.1g}" if error and name != "ks" else ""
        lines.append((METRICS.get(name, name), f"{figures[name]:.4g}{around}"))
    title = "" if rows is None else f"On {rows:,.0f} rows kept apart"
    show(("metric", "value"), lines, title=title, right=(1,))


def _rank(name: str) -> tuple[int, str]:
    known = list(METRICS)
    return (known.index(name) if name in known else len(known), name)


def _show_standing(found: Mapping[str, Any]) -> None:
    """Of a model over several parties' rows: what it is worth beside what parties have without it."""
    told = found.get("standing")
    if not told:
        return
    heads = [
        ("the common model", told["common"]),
        ("own models, each on its party's rows", told["own_models"]),
    ]
    if told["ensemble"] is not None:
        heads.append(("the average of own models", told["ensemble"]))
    show(("model", METRICS.get(told["metric"], told["metric"])), [(n, f"{v:.4g}") for n, v in heads],
         title=f"By secure sums, over {told['rows']:,} held-out rows (low is good)", right=(1,))  # fmt: skip
    if not told["beats_own_and_ensemble"]:
        say("  The common model does not beat what the parties have without it.", style="bold")


# --- a part -----------------------------------------------------------------------------------------


def show_block(block: Mapping[str, Any]) -> None:
    """This organisation's part."""
    form = block.get("form")
    if form == "linear":
        _show_linear(block)
    elif form == "horizontal":
        _show_common(block)
    else:
        _show_splits(block)


def _show_linear(block: Mapping[str, Any]) -> None:
    classes = (block.get("label") or {}).get("classes") or []
    several = len(block["coefficients"]) > 1
    values = block.get("p_values")
    for number, row in enumerate(block["coefficients"]):
        title = (
            f"class {classes[number] if classes else number}"
            if several
            else "coefficients of this part"
        )
        lines = [
            (name, f"{value:.6g}", "" if not values or values[place] is None else f"{values[place]:.4g}")
            for place, (name, value) in enumerate(zip(block["columns"], row, strict=True))
        ]  # fmt: skip
        lines.append(("(intercept's part)", f"{block['intercepts'][number]:.6g}", ""))
        wide = 3 if values else 2
        show(("column", "coefficient", "p-value")[:wide], [line[:wide] for line in lines], title=title,
             right=(1, 2)[: wide - 1])  # fmt: skip


def _show_splits(block: Mapping[str, Any]) -> None:
    """Of boosted trees: how often each of this party's columns splits, and, where known, what that gained."""
    splits = (block.get("own") or block).get("splits", [])
    if not splits:
        say("  No split is of this organisation's columns.")
        return
    used = Counter(str(s["column"]) for s in splits)
    gains = dict.fromkeys(used, 0.0)
    for split in splits:
        gains[str(split["column"])] += split["gain"] or 0.0
    known = any(s["gain"] is not None for s in splits)
    order = sorted(used, key=lambda name: (-gains[name], -used[name], name))
    rows = [(n, used[n], f"{gains[n]:.4g}")[: 3 if known else 2] for n in order]
    show(
        ("column", "splits", "gain")[: 3 if known else 2],
        rows,
        title="splits of this part",
        right=(1, 2),
    )


def _show_common(block: Mapping[str, Any]) -> None:
    """Of a model over rows: the whole common model, and this party's own if it keeps a part of that."""
    share = float(block["share"])
    if 0 < share < 1:
        say(f"  Kept: {share:.0%} the common model, {1 - share:.0%} this organisation's own.")
    parts = [("the common model", block["common"])]
    if block.get("own"):
        parts.append(("this organisation's own model", block["own"]))
    for title, part in parts:
        if part["learner"] == "glm":
            rows = [
                (n, f"{v:.6g}") for n, v in zip(block["columns"], part["coefficients"], strict=True)
            ]
            rows.append(("(intercept)", f"{part['intercept']:.6g}"))
            show(("column", "coefficient"), rows, title=title, right=(1,))
        elif part["learner"] == "network":
            layers = " and ".join(str(n) for n in part["hidden"]) or "no"
            say(
                f"  {title}: a network, {layers} hidden units, {len(part['parameters']):,} parameters"
            )
        else:
            used = Counter(
                block["columns"][c] for t in part["trees"] for c in t["column"] if c >= 0
            )
            rows = [(name, str(count)) for name, count in used.most_common()]
            show(
                ("column", "splits"),
                rows,
                title=f"{title}: {_counted(len(part['trees']), 'tree')}",
                right=(1,),
            )


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""
