"""A node's store with figures, a consumer with a key, and the API over it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from fastapi.testclient import TestClient

from hanse.clock import SystemClock
from hanse.entropy import SystemEntropy
from hanse.errors import Refusal
from hanse.node.products.consumers import Consumer
from hanse.node.products.publications import Figure
from hanse.node.storage.database import open_sqlite
from hanse.node.storage.store import Store
from hanse.serving.app import create_app

FIRST = date(2026, 11, 1)
ABOUT = {
    "title": "Crowd of places",
    "unit": "people a day",
    "contract": "spring",
    "synthetic": True,
}


@dataclass
class Served:
    store: Store
    client: TestClient
    key: str

    def get(self, path: str, key: str | None = None, **headers: str) -> object:
        return self.client.get(path, headers=self.headers(key, **headers))

    def headers(self, key: str | None = None, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key if key is None else key}", **more}

    def consumer(self, name: str, **rules: object) -> str:
        rules.setdefault("scopes", ("crowds", "results", "scores"))
        made = Consumer(name, **rules)  # type: ignore[arg-type]
        key = self.store.consumers.add(made, SystemEntropy(), SystemClock().now())
        self.client.app.state.desk.refresh()
        return key

    def refresh(self) -> None:
        self.client.app.state.desk.refresh()


def figures(places: int = 5, days: int = 3, more: float = 0.0) -> list[Figure]:
    """Made-up figures; the last place abstains."""
    return [
        Figure(
            f"place-{p}",
            FIRST + timedelta(days=d),
            100.0 * p + d + more,
            90.0 * p,
            130.0 * p + 50,
            0.93,
        )
        if p < places - 1
        else Figure(f"place-{p}", FIRST + timedelta(days=d), None, reason="too few accurate days")
        for p in range(places)
        for d in range(days)
    ]


def no_model(model: str, _row: str) -> dict[str, object]:
    """What a node without models answers."""
    raise Refusal("model.unknown", f"no part of a model {model[:64]!r}", remedy="see the models")


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    store = Store(open_sqlite(folder))
    store.publications.publish("crowd", ABOUT, figures(), SystemClock().now())
    app = create_app(store, webhooks=False, score_one=no_model)
    with TestClient(app, client=("127.0.0.1", 5000)) as client:
        stage = Served(store, client, "")
        stage.key = stage.consumer("analytics", rate=10_000.0)
        yield stage
    store.close()
