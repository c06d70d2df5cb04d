"""Hanse: a data federation that organisations run between themselves."""

__version__ = "0.1.0"
