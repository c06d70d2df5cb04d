"""The console speaks to the node through its facade alone; every command is an action of its API."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from console_stage import new_node

from hanse.cli.main import app
from hanse.console.app import make_app, routes_of
from hanse.console.desk import Desk
from hanse.console.settings import Settings
from hanse.node.faces import facade

_ALLOWED = (
    "hanse.console",
    "hanse.evidence",
    "hanse.node.faces",
    "hanse.errors",
    "hanse.clock",
    "hanse.problems",
)

# Every command, and the route of the API that does the same; or why there is none.
VERBS: dict[str, str] = {
    "node status": "GET /api/v1/node",
    "node stop": "POST /api/v1/node/stop",
    "partner add": "POST /api/v1/partners",
    "partner list": "GET /api/v1/partners",
    "partner remove": "DELETE /api/v1/partners/{party}",
    "partner card": "GET /api/v1/partners/card",
    "partner invite": "POST /api/v1/partners/invitations",
    "partner accept": "POST /api/v1/partners/accepted",
    "partner confirm": "POST /api/v1/partners/{party}/confirmation",
    "partner revoke": "POST /api/v1/partners/{party}/revocation",
    "doctor": "GET /api/v1/node/health",
    "dataset add": "POST /api/v1/datasets",
    "dataset list": "GET /api/v1/datasets",
    "dataset show": "GET /api/v1/datasets/{name}",
    "dataset check": "POST /api/v1/datasets/checks",
    "crowd create": "POST /api/v1/crowds",
    "crowd list": "GET /api/v1/crowds",
    "crowd show": "GET /api/v1/crowds/{name}",
    "crowd renew": "POST /api/v1/crowds/{name}/renewal",
    "crowd remove": "DELETE /api/v1/crowds/{name}",
    "places add": "POST /api/v1/places",
    "places list": "GET /api/v1/places",
    "contract draft": "POST /api/v1/contracts/drafts",
    "contract import": "POST /api/v1/contracts/bundles",
    "contract show": "GET /api/v1/contracts/{contract_id}",
    "contract sign": "POST /api/v1/contracts/{contract_id}/signature",
    "contract review": "POST /api/v1/contracts/{contract_id}/reviews",
    "contract push": "POST /api/v1/contracts/{contract_id}/push",
    "contract export": "GET /api/v1/contracts/{contract_id}/bundle",
    "contract suspend": "POST /api/v1/contracts/{contract_id}/state",
    "contract resume": "POST /api/v1/contracts/{contract_id}/state",
    "contract end": "POST /api/v1/contracts/{contract_id}/state",
    "contract list": "GET /api/v1/contracts",
    "run": "POST /api/v1/jobs",
    **dict.fromkeys(
        (
            "funnel",
            "journey",
            "reach",
            "overlap",
            "attribution",
            "lift",
            "portrait",
            "concentration",
        ),
        "POST /api/v1/jobs",
    ),
    "power": "GET /api/v1/power",
    "standing add": "POST /api/v1/standing",
    "standing list": "GET /api/v1/standing",
    "standing remove": "DELETE /api/v1/standing/{name}",
    "roster list": "GET /api/v1/rosters",
    "roster remove": "DELETE /api/v1/rosters/{name}",
    "job list": "GET /api/v1/jobs",
    "job show": "GET /api/v1/jobs/{job}",
    "job draw": "GET /api/v1/jobs/{job}/picture",
    "job log": "GET /api/v1/jobs/{job}/log",
    "job cancel": "POST /api/v1/jobs/{job}/cancel",
    "job rerun": "POST /api/v1/jobs/{job}/rerun",
    "ledger verify": "GET /api/v1/ledger/verification",
    "ledger list": "GET /api/v1/ledger",
    "ledger export": "GET /api/v1/ledger/export",
    "ledger balance": "GET /api/v1/contracts/{contract_id}/budget",
    "user add": "POST /api/v1/users",
    "user list": "GET /api/v1/users",
    "user role": "POST /api/v1/users/{name}",
    "user reset": "POST /api/v1/users/{name}/reset",
    "user link": "POST /api/v1/users/{name}/account",
    "user unlink": "DELETE /api/v1/users/{name}/account",
    "publish": "POST /api/v1/publications",
    "crowd-days list": "GET /api/v1/crowd-days",
    "crowd-days train": "POST /api/v1/crowd-days/{crowd}/trainings",
    "crowd-days day": "POST /api/v1/crowd-days/{crowd}/days",
    "crowd-days show": "GET /api/v1/crowd-days/{crowd}/figures",
    "crowd-days scoreboard": "GET /api/v1/crowd-days/{crowd}/scoreboard",
    "model train": "POST /api/v1/models/{name}/trainings",
    "model list": "GET /api/v1/models",
    "model show": "GET /api/v1/models/{name}",
    "model card": "GET /api/v1/models/{name}",
    "model export": "GET /api/v1/models/{name}/part",
    "model delete": "POST /api/v1/models/{name}/deletion",
    "model score": "POST /api/v1/models/{name}/scorings",
    "model score-one": "POST /api/v1/models/{name}/rows",
    "consumer add": "POST /api/v1/consumers",
    "consumer list": "GET /api/v1/consumers",
    "consumer rekey": "POST /api/v1/consumers/{name}/key",
    "consumer revoke": "POST /api/v1/consumers/{name}/revocation",
    "webhook add": "POST /api/v1/webhooks",
    "webhook list": "GET /api/v1/webhooks",
    "webhook remove": "DELETE /api/v1/webhooks/{name}",
    "evidence make": "GET /api/v1/evidence/{contract_id}/pack",
    "evidence verify": "POST /api/v1/evidence/checks",
    "evidence verifier": "GET /api/v1/evidence/verifier",
    "evidence impact": "GET /api/v1/evidence/{contract_id}/impact",
    "value usage": "GET /api/v1/value/usage",
    "value statement": "GET /api/v1/value/statements/{contract_id}",
    "value measure": "POST /api/v1/value/contributions",
    "value contributions": "GET /api/v1/value/contributions",
}
# Commands of whoever holds the node's folder or a file.
_AT_HOME = (
    "init", "demo", "city", "learn", "features", "serve", "console",
    "node start", "node backup", "node restore", "node renew", "node move-store",
    "crowd-days backtest", "crowd-days map", "crowd-days series", "crowd-days contributions", "value crowd",
    "model audit",
)  # fmt: skip


def commands(typer: Any, path: str = "") -> Iterator[str]:
    for command in typer.registered_commands:
        yield path + (command.name or command.callback.__name__.replace("_", "-"))
    for group in typer.registered_groups:
        yield from commands(group.typer_instance, f"{path}{group.name} ")


def test_every_command_is_an_action_of_the_api_or_stays_at_home(tmp_path: Path) -> None:
    with facade.office_of(new_node(tmp_path / "node")) as office:
        made = make_app(Desk(office, None, Settings()))
    routes = {f"{method} {route.path}" for route in routes_of(made) for method in route.methods}
    found = set(commands(app))
    for verb, route in VERBS.items():
        assert verb in found, f"{verb} is no command any more"
        assert route in routes, f"{verb}: {route} is not there"
    missing = {v for v in found - set(VERBS) if not v.startswith(_AT_HOME)}
    assert not missing, "give these commands a route of the API, and name it in VERBS"


def imports(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module in ("hanse.node", "hanse"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize(
    "path", sorted(Path(str(files("hanse.console"))).rglob("*.py")), ids=lambda p: p.stem
)
def test_the_console_calls_the_facade_alone(path: Path) -> None:
    for name in imports(path.read_text()):
        if name.startswith("hanse.") and name != "hanse.__version__":
            assert name.startswith(_ALLOWED), name
