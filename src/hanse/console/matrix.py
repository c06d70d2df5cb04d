"""Who may do what in the console and its API: one table of actions and roles.

Every route names an action; `area.Area` refuses a route whose action is not here, and every request whose user has
none of the action's roles. Roles are separate on purpose: an admin makes users and neither signs nor asks, unless
given those roles too, which the ledger shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ANALYST, OWNER, LEGAL, RISK, OPERATOR, MANAGER, AUDITOR, ADMIN = ROLES = (
    "analyst", "data-owner", "legal", "risk", "operator", "manager", "auditor", "admin",
)  # fmt: skip

_ALL = frozenset(ROLES)
_WORK = frozenset({ANALYST, OWNER, LEGAL, RISK, OPERATOR, AUDITOR})


def _only(*roles: str) -> frozenset[str]:
    return frozenset(roles)


# Before anybody has signed in: the door itself, its language and look, whether the console lives, the API's form.
PUBLIC = frozenset({"session.open", "look.choose", "health.read", "form.read", "file.read"})

MATRIX: Mapping[str, frozenset[str]] = {
    # oneself
    "session.close": _ALL,
    "account.read": _ALL,
    "account.change": _ALL,
    "home.read": _ALL,
    # the node
    "node.read": _ALL,
    "node.examine": _only(OPERATOR, RISK, AUDITOR),
    "node.stop": _only(OPERATOR),
    # partners
    "partner.read": _ALL,
    "partner.change": _only(OPERATOR),
    "partner.revoke": _only(OPERATOR, LEGAL, RISK),
    # what this organisation can give
    "dataset.read": _WORK,
    "dataset.change": _only(OWNER),
    "dataset.check": _only(OWNER, OPERATOR, RISK),
    "crowd.read": _WORK,
    "crowd.change": _only(OWNER),
    "place.read": _WORK,
    "place.change": _only(OWNER, OPERATOR),
    "roster.read": _WORK,
    "roster.change": _only(OPERATOR, RISK),
    # contracts
    "contract.read": _ALL,
    "contract.draft": _only(LEGAL, OWNER, ANALYST),
    "contract.review": _only(LEGAL, OWNER, RISK),
    "contract.sign": _only(LEGAL),
    "contract.push": _only(LEGAL, OPERATOR),
    "contract.move": _only(LEGAL, RISK),
    "contract.export": _only(LEGAL, RISK, AUDITOR, OPERATOR),
    # questions and answers
    "job.read": _WORK,
    "job.ask": _only(ANALYST),
    "job.preview": _only(ANALYST, OWNER, LEGAL, RISK),
    "job.cancel": _only(ANALYST, OPERATOR, RISK),
    "result.read": _only(ANALYST, RISK, AUDITOR),
    "result.export": _only(ANALYST, AUDITOR),
    "disclosure.read": _WORK,
    "standing.read": _WORK,
    "standing.change": _only(ANALYST),
    "power.read": _only(ANALYST, RISK),
    # models
    "model.read": _WORK,
    "model.train": _only(ANALYST),
    "model.score": _only(ANALYST),
    "model.export": _only(ANALYST, AUDITOR),
    "model.delete": _only(OWNER, RISK),
    # what is published, and who reads it
    "product.read": _WORK | _only(MANAGER),
    "product.tell": _only(ANALYST),
    "product.publish": _only(OWNER),
    "product.judge": _only(ANALYST, OWNER, RISK, AUDITOR),
    "consumer.read": _only(OPERATOR, OWNER, RISK, AUDITOR),
    "consumer.change": _only(OPERATOR),
    "webhook.change": _only(OPERATOR),
    # value of data
    "value.read": _WORK | _only(MANAGER),
    "value.export": _only(OWNER, LEGAL, MANAGER, AUDITOR),
    # accounts and evidence
    "evidence.read": _only(LEGAL, RISK, OWNER, AUDITOR),
    "evidence.make": _only(LEGAL, RISK, AUDITOR),
    "evidence.assess": _only(LEGAL, RISK, OWNER, AUDITOR),
    "evidence.verify": _only(LEGAL, RISK, OWNER, AUDITOR),
    "budget.read": _WORK,
    "ledger.read": _only(LEGAL, RISK, OPERATOR, AUDITOR, OWNER),
    "ledger.export": _only(LEGAL, RISK, AUDITOR),
    # users
    "user.read": _only(ADMIN, AUDITOR),
    "user.change": _only(ADMIN),
}

# What the departments of a review are reviewed by: (department of a contract's review) -> role.
REVIEW_ROLES: Mapping[str, str] = {
    "legal": LEGAL,
    "data-owner": OWNER,
    "risk": RISK,
    "government-affairs": LEGAL,
}


def may(roles: Iterable[str], action: str) -> bool:
    """Whether somebody with these roles may do this. KeyError for an action that is not in the table."""
    return action in PUBLIC or not MATRIX[action].isdisjoint(roles)
