"""A dry run in a notebook: what a question would cost and show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preview:
    """Price, noise, thresholds and budgets of a question that nobody has asked yet; ``body`` is plain values."""

    body: Mapping[str, Any]

    @property
    def epsilon(self) -> float:
        """The price towards recipients."""
        return float(self.body["epsilon"])

    @property
    def similar(self) -> Mapping[str, str]:
        """Jobs of this period that asked almost the same, and how they differ."""
        return dict(self.body["similar"])

    def __str__(self) -> str:
        body = self.body
        lines = [
            f"price: epsilon {body['epsilon']:g} to recipients, {body['epsilon_join']:g} to seats, "
            f"charged to {', '.join(body['providers'])}"
        ]
        for kind in body["kinds"]:
            of = "people" if kind["of"] == "people" else "sums, in units of the protocol"
            lines.append(
                f"{kind['outputs']:,} figures of {of}: noise ±{kind['noise']:,.0f} in 19 of 20 cases, "
                f"shown from {kind['shown_from']:,} people on"
            )
        for provider, after in body["after"].items():
            lines.append(
                f"{provider}: {after['recipients']:.3g} of {after['recipients_budget']:g} spent afterwards, "
                f"{after['seats']:.3g} of {after['seats_budget']:g} towards the seats"
            )
        if self.similar:
            how = list(self.similar.values())[-1]
            lines.append(
                f"{len(self.similar)} questions of this period are almost the same; from the last one it differs "
                f"{how}; {body['similar_left']} more are allowed"
            )
        return "\n".join(lines)
