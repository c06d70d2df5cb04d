"""Jobs between nodes of which one keeps its records in PostgreSQL: trained, scored, logged at once, verified."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from model_federation import ModelFederation
from postgres_server import running

from hanse.node.backup import move_store
from hanse.node.faces import facade
from hanse.node.faces.listing import job_counts, job_page, ledger_page, log_since


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelFederation]:
    """The shop's node moved to PostgreSQL with what it had; the others are on SQLite."""
    with running() as server:
        made = ModelFederation.found(tmp_path_factory.mktemp("postgres"))
        shop, url = made["shop"], server.database()
        move_store(shop.folder, url)
        path = shop.folder / "hanse.toml"
        path.write_text(path.read_text() + f'\n[store]\nurl = "{url}"\n')
        with made.run():
            yield made


@pytest.mark.slow
def test_jobs_of_a_node_on_postgresql(models: ModelFederation) -> None:
    contract = models.contract()
    training = models.train(contract).job
    with ThreadPoolExecutor(2) as pool:  # at once: logs, budgets and the ledger from many threads
        found = [pool.submit(models.score, contract, training) for _ in range(3)]
        outcomes = [one.result(120) for one in found]
    assert {o.state for o in outcomes} == {"done"}
    models.settle()
    with models["shop"].office() as office:
        assert office.store.database._engine.dialect.name == "postgresql"
        assert facade.verify_ledger(office).ok
        assert job_counts(office.store.database) == {"done": 4}
        page = job_page(office.store.database, contract=contract, limit=3)
        rest = job_page(office.store.database, contract=contract, limit=3, after=page.next)
        assert {r["job"] for r in page.rows + rest.rows} == {training, *(o.job for o in outcomes)}
        for outcome in outcomes:
            lines = log_since(office.store.database, outcome.job, 1, 0)
            assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
            assert len(lines) > 2
        entries, _ = ledger_page(office.store.database, kind="job")
        assert len(entries) == 4
        assert office.spend.trainings(contract, "churn") == 1
