"""Contracts to start from, as the contract commands call them; they are made in the node."""

from hanse.node.contract_template import TEMPLATES, template, with_keys

__all__ = ["TEMPLATES", "template", "with_keys"]
