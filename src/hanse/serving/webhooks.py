"""Deliveries to webhooks: changes of a product as signed POSTs, in order, tried again until they are taken.

Header ``Hanse-Signature: t=SECONDS,v1=HEX``: HMAC-SHA256 under the webhook's secret over "SECONDS." and the body.
A receiver checks it, answers 2xx, and may get the same changes again after a failure (their numbers tell).
"""

from __future__ import annotations

import json
import logging
import threading

import httpx2

from hanse.clock import Clock
from hanse.errors import HanseError
from hanse.node.products.consumers import signature
from hanse.node.products.webhooks import Webhook
from hanse.node.storage.store import Store

_log = logging.getLogger("hanse.serving")
_LOOK_SECONDS = 1.0
_MOST_CHANGES = 500
_PATIENCE = 10.0
SIGNATURE = "Hanse-Signature"


class Courier:
    """Delivers in a thread of its own. One process of a node's API should run it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hanse-courier", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the delivery that is under way."""
        self._stop.set()
        self._thread.join(_PATIENCE + 1)

    def _run(self) -> None:
        # Redirects are not followed: the address was agreed on, the one it points to was not.
        with httpx2.Client(timeout=_PATIENCE, follow_redirects=False) as client:
            while not self._stop.wait(_LOOK_SECONDS):
                try:
                    for hook in self._store.webhooks.all():
                        if self._stop.is_set():
                            return
                        self.deliver(client, hook)
                except HanseError as error:
                    _log.error("webhooks could not be looked up: %s", error)

    def deliver(self, client: httpx2.Client, hook: Webhook) -> Webhook:
        """Send what a webhook has not had, if it is due; how it stands afterwards."""
        now = self._clock.now()
        if now < hook.due:
            return hook
        found = self._store.publications.changes(hook.product, hook.sent, _MOST_CHANGES)
        if not found:
            return hook
        body = json.dumps(
            {"webhook": hook.name, "product": hook.product, "changes": [c.body() for c in found]},
            ensure_ascii=False, separators=(",", ":"),
        ).encode()  # fmt: skip
        moment = int(now.timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "hanse-webhook/1",
            SIGNATURE: f"t={moment},v1={signature(hook.secret, moment, body)}",
        }
        try:
            answer = client.post(hook.url, content=body, headers=headers)
            problem = "" if answer.is_success else f"answered {answer.status_code}"
        except httpx2.HTTPError as error:
            problem = f"could not be reached ({type(error).__name__})"
        hook = hook.failed(problem, now) if problem else hook.delivered(found[-1].number, now)
        self._store.webhooks.keep(hook)
        if problem:
            _log.warning("webhook %s %s; next try at %s", hook.name, problem, hook.due.isoformat())
        return hook
