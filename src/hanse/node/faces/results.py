"""Jobs and what they told: lists, records, results as files, and areas on a map."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import h3

from hanse.catalog.gazetteers import Gazetteer
from hanse.contracts import Contract
from hanse.errors import Refusal
from hanse.ledger import Entry
from hanse.node.faces import facade, listing
from hanse.node.faces.listing import Page
from hanse.node.office import NodeOffice
from hanse.node.storage.jobs import Job

Document = dict[str, Any]
JOB_STATES = ("admitted", "running", "done", "failed", "refused", "cancelled")
FORMS = {"csv": "text/csv", "json": "application/json", "parquet": "application/vnd.apache.parquet"}
MOST_AREAS = 4000  # that a map draws: the largest ones


# --- jobs -------------------------------------------------------------------------------------------


def jobs(
    office: NodeOffice, *, state: str = "", contract: str = "", after: str = "", limit: int = 50
) -> Page:
    """Jobs at this node, the newest first."""
    page = listing.job_page(
        office.store.database, state=state, contract=contract, after=after, limit=limit
    )
    return Page([_row(row) for row in page.rows], page.next)


def job_counts(office: NodeOffice) -> dict[str, int]:
    """Attempts in each state."""
    return listing.job_counts(office.store.database)


def job(office: NodeOffice, name: str) -> Document:
    """A job's record, without its result; ``has_result`` says whether this node received one."""
    found = office.job(name)
    stored = found.result or {}
    row = _row(
        {"job": found.job, "attempt": found.attempt, "state": found.state, "request": found.request,
         "created": found.created.isoformat(), "error": found.error,
         "finished": None if found.finished is None else found.finished.isoformat()}
    )  # fmt: skip
    return {**row, "request": found.request, "has_result": stored.get("result") is not None,
            "spent": bool(stored.get("spent"))}  # fmt: skip


def log(office: NodeOffice, name: str, since: int = 0) -> list[Document]:
    """What this node wrote down while the job ran."""
    found = office.job(name)
    return listing.log_since(office.store.database, found.job, found.attempt, since)


def result(office: NodeOffice, name: str) -> Document:
    """What this node received; `Refusal` ``result.none`` if nothing."""
    return _result(office.job(name))


def disclosure(office: NodeOffice, name: str) -> Document:
    """What was opened, to whom, and what each seat could see."""
    return facade.disclosure(office, office.job(name))


def drawn(office: NodeOffice, name: str, form: str) -> str:
    """A result as a picture ("svg") or a page ("html")."""
    return facade.drawn(office, office.job(name), form)


def exported(office: NodeOffice, name: str, form: str) -> bytes:
    """A result's rows as CSV or Parquet, or all of it as JSON."""
    found = office.job(name)
    told = _result(found)
    if form == "csv":
        return csv_of(rows_of(told)).encode()
    if form == "parquet":
        import pyarrow as pa  # noqa: PLC0415 (only where somebody wants the file)
        import pyarrow.parquet as pq  # noqa: PLC0415

        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows_of(told)), file)
        return file.getvalue()
    if form == "json":
        whole = {"job": found.job, "result": told, "disclosure": facade.disclosure(office, found)}
        return json.dumps(whole, indent=2, ensure_ascii=False).encode() + b"\n"
    raise Refusal("result.form", f"a result has no {form[:16]!r} form",
                  remedy="use " + ", ".join(FORMS))  # fmt: skip


def rows_of(told: Mapping[str, Any]) -> list[Document]:
    """A result's rows; where figures are kept in columns by area, a row for each area and target."""
    if "areas" not in told:
        return list(told.get("rows", []))
    return [
        {"at": level["at"], "level": level["level"], "area": area, "target": target, "base": level["base"][i],
         "people": people[i]}
        | {name: level[name][target][i] for name in ("tgi", "tgi_low", "tgi_high") if name in level}
        for level in told["areas"]
        for target, people in level["people"].items()
        for i, area in enumerate(level["area"])
    ]  # fmt: skip


def csv_of(rows: list[Document]) -> str:
    """Rows as CSV; text that a spreadsheet would take for a formula is quoted with an apostrophe."""
    text = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows({key: _harmless(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _harmless(value: Any) -> Any:
    return (
        f"'{value}"
        if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
        else value
    )


def _result(found: Job) -> Document:
    told = (found.result or {}).get("result")
    if told is None:
        raise Refusal("result.none", f"this node has no result of job {found.job[:12]}",
                      remedy="ask a recipient of the job, or wait until it is done")  # fmt: skip
    return dict(told)


def _row(row: Mapping[str, Any]) -> Document:
    request, finished = row["request"], row["finished"]
    took = None
    if finished is not None:
        took = (
            datetime.fromisoformat(finished) - datetime.fromisoformat(row["created"])
        ).total_seconds()
    return {
        "job": row["job"],
        "attempt": row["attempt"],
        "state": row["state"],
        "computation": request["computation"],
        "contract": request["contract_id"],
        "asked_by": request["analyst"],
        "recipients": list(request["recipients"]),
        "epsilon": request["epsilon"],
        "created": row["created"],
        "seconds": took,
        "error": row["error"],
    }


# --- areas on a map ---------------------------------------------------------------------------------


def areas_on_map(office: NodeOffice, name: str) -> list[Document]:
    """The areas of a concentration that are told, where they lie: one entry per level and kind of whereabouts.

    An H3 cell has its ``ring`` of (longitude, latitude); other areas are a point. The largest `MOST_AREAS` are
    given, ``left_out`` counts the rest. `Refusal` ``result.form`` for a result without areas.
    """
    found = office.job(name)
    told = _result(found)
    if "areas" not in told:
        raise Refusal("result.form", "this result has no areas", remedy="look at its tables")
    contract = facade.contract_of(office, found)
    return [
        _on_map(level, _places(office, contract, found.request, level["at"]))
        for level in told["areas"]
    ]


def _places(
    office: NodeOffice, contract: Contract | None, request: Mapping[str, Any], at: str
) -> Gazetteer | None:
    """The list of places that a kind of whereabouts refers to, if this node holds it."""
    asked = next((w for w in request["parameters"].get("at", []) if w.get("name") == at), None)
    dataset = (
        contract.dataset(asked["dataset"]) if contract is not None and asked is not None else None
    )
    column = dataset.column(asked["column"]) if dataset is not None and asked is not None else None
    if contract is None or column is None or column.gazetteer is None:
        return None
    clause = contract.gazetteer(column.gazetteer)
    return office.library().find(clause.digest) if clause is not None else None


def _on_map(level: Mapping[str, Any], places: Gazetteer | None) -> Document:
    order = sorted(range(len(level["area"])), key=lambda i: -level["base"][i])
    points = _points(level["level"], places)
    areas = []
    for i in order[:MOST_AREAS]:
        area = level["area"][i]
        where = _cell(area) if level["level"] == "h3" else points.get(area)
        if where is None:
            continue
        areas.append(
            {
                "area": area, **where, "base": level["base"][i],
                "people": {t: v[i] for t, v in level["people"].items()},
                "tgi": {t: v[i] for t, v in level.get("tgi", {}).items()},
                "tgi_low": {t: v[i] for t, v in level.get("tgi_low", {}).items()},
                "tgi_high": {t: v[i] for t, v in level.get("tgi_high", {}).items()},
            }
        )  # fmt: skip
    return {
        "at": level["at"], "level": level["level"], "targets": list(level["people"]),
        "told": level["told"], "suppressed": level["suppressed"],
        "left_out": len(order) - len(areas), "areas": areas,
    }  # fmt: skip


def _cell(name: str) -> Document | None:
    if not h3.is_valid_cell(name):
        return None
    lat, lon = h3.cell_to_latlng(name)
    ring = [[round(x, 6), round(y, 6)] for y, x in h3.cell_to_boundary(name)]
    return {"label": name, "lat": round(lat, 6), "lon": round(lon, 6), "ring": ring}


def _points(level: str, places: Gazetteer | None) -> dict[str, Document]:
    """Where each area's middle is: of a place its point, of a district or city the mean of its places."""
    if places is None:
        return {}
    if level == "place":
        return {
            id: {"label": name or id, "lat": lat, "lon": lon}
            for id, name, lat, lon in zip(places.ids, places.names, places.lat.tolist(),
                                          places.lon.tolist(), strict=True)
        }  # fmt: skip
    names, group = places.grouped("city" if level == "city" else "district")
    sums: dict[int, list[float]] = {}
    for g, lat, lon in zip(group.tolist(), places.lat.tolist(), places.lon.tolist(), strict=True):
        one = sums.setdefault(g, [0.0, 0.0, 0.0])
        one[0], one[1], one[2] = one[0] + lat, one[1] + lon, one[2] + 1
    return {
        names[g]: {"label": names[g], "lat": s[0] / s[2], "lon": s[1] / s[2]}
        for g, s in sums.items()
    }


# --- the ledger -------------------------------------------------------------------------------------


def ledger_page(
    office: NodeOffice, *, kind: str = "", before: int | None = None, limit: int = 50
) -> Document:
    """Entries, the newest first; ``next`` is where the next page begins."""
    entries, further = listing.ledger_page(
        office.store.database, kind=kind, before=before, limit=limit
    )
    return {"rows": [_entry(e) for e in entries], "next": further}


def ledger_lines(office: NodeOffice) -> Iterator[bytes]:
    """The whole ledger as the lines that anybody can verify."""
    for line in office.ledger.lines():
        yield line.encode() + b"\n"


def ledger_verdict(office: NodeOffice) -> Document:
    """Whether the chain holds under this node's key."""
    verdict = facade.verify_ledger(office)
    return {"ok": verdict.ok, "entries": verdict.count, "first_bad": verdict.first_bad,
            "reason": verdict.reason, "head": verdict.head}  # fmt: skip


def _entry(entry: Entry) -> Document:
    return {"sequence": entry.sequence, "time": entry.time, "kind": entry.kind, "body": dict(entry.body),
            "hash": entry.hash}  # fmt: skip
